#!/usr/bin/env bash
# One request to the Kubernetes API, made by kubectl; requests.py says which there are. Values come by the environment and
# standard input, never as text of a command. By hand:
#
#   DAGCONFIG_URI=/api/v1/namespaces/default/pods ./kubectl.sh create <pod.json
#   DAGCONFIG_URI=/api/v1/namespaces/default/pods/demo/log ./kubectl.sh get
#
#   get        GET DAGCONFIG_URI; prints the answer as it comes
#   create     POST what is on standard input
#   replace    PUT it
#   delete     DELETE, with the DeleteOptions on standard input
#   client     no request: the version of kubectl
#   plugin     no request: the command of the kubeconfig's credential plugin, if any
#
# Also read: KUBECONFIG, DAGCONFIG_KUBECTL (default kubectl), DAGCONFIG_CONTEXT, DAGCONFIG_INSECURE (1: don't verify the server),
# DAGCONFIG_REQUEST_TIMEOUT (such as 10s; default: no end), DAGCONFIG_LIFELINE (a pipe that tells when to begin; lifeline.py).
# kubectl's exit code and standard error are passed on; 127 means that there is no kubectl.
set -euo pipefail

# A byte means that this process is tied to its parent. If the pipe ends without one, the parent was killed before.
if [[ -n ${DAGCONFIG_LIFELINE:-} ]]; then
  read -r -n 1 -u "$DAGCONFIG_LIFELINE" || exit 1
  exec {DAGCONFIG_LIFELINE}<&-
fi

kubectl=${DAGCONFIG_KUBECTL:-kubectl}
if ! type -P -- "$kubectl" >/dev/null; then
  echo "kubectl.sh: no program $kubectl on this machine: install kubectl (Debian: apt-get install kubernetes-client), or name" \
    "the one that is there in the option kubectl of [dagconfig] in airflow.cfg" >&2
  exit 127
fi

flags=()
[[ -z ${DAGCONFIG_CONTEXT:-} ]] || flags+=(--context "$DAGCONFIG_CONTEXT")
[[ ${DAGCONFIG_INSECURE:-} != 1 ]] || flags+=(--insecure-skip-tls-verify=true)
[[ -z ${DAGCONFIG_REQUEST_TIMEOUT:-} ]] || flags+=(--request-timeout "$DAGCONFIG_REQUEST_TIMEOUT")

case ${1:-} in
  client) exec "$kubectl" version --client --output json ;;
  plugin) exec "$kubectl" "${flags[@]}" config view --minify --output 'jsonpath={.users[0].user.exec.command}' ;;
  get) exec "$kubectl" "${flags[@]}" get --raw "${DAGCONFIG_URI:?the path of what is asked}" ;;
  # Without --validate=false, kubectl before 1.25 first reads the API's whole description, and fails if it can't.
  replace) exec "$kubectl" "${flags[@]}" replace --validate=false --raw "${DAGCONFIG_URI:?the path of what is put}" -f - ;;
  create | delete) exec "$kubectl" "${flags[@]}" "$1" --raw "${DAGCONFIG_URI:?the path of what is meant}" -f - ;;
  *)
    sed -n '2,/^set /s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
    exit 2
    ;;
esac
