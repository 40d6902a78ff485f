#!/usr/bin/env bash
# One request to the Kubernetes API about one pod, made by kubectl. Values come by the environment and standard input, never
# as text of a command. By hand:
#
#   DAGCONFIG_NAMESPACE=default DAGCONFIG_POD=demo ./kubectl.sh create <pod.json
#   DAGCONFIG_NAMESPACE=default DAGCONFIG_POD=demo ./kubectl.sh log
#
#   create     POST the manifest on standard input; prints the pod as the API server took it. A field that Kubernetes does not
#              have is refused (from 1.25 on; before, it is dropped)
#   get        the pod
#   watch      the pod as it is, where there is one, then each change of it, one JSON object a line, for DAGCONFIG_WATCH_SECONDS
#              (300). Without a version to begin at: one that a restarted API server does not know it refuses, again and again
#   log        the log of DAGCONFIG_CONTAINER (base) from DAGCONFIG_SINCE (RFC 3339; default: all of it), each line with its time;
#              goes on while it runs
#   log-rest   the same without waiting for more
#   events     what happened to the pod
#   replace    PUT the pod on standard input
#   delete     asks for the pod's deletion, with the DeleteOptions on standard input; its own grace period holds
#
# And about no pod:
#
#   client     the version of kubectl
#   server     the version of the API server
#   review     POST the SelfSubjectAccessReview on standard input; prints it with the answer
#
# Also read: KUBECONFIG, DAGCONFIG_KUBECTL (default kubectl), DAGCONFIG_CONTEXT, DAGCONFIG_INSECURE (1: don't verify the server),
# DAGCONFIG_REQUEST_TIMEOUT (10s). kubectl's exit code and standard error are passed on; 127 means that there is no kubectl.
set -euo pipefail

kubectl=${DAGCONFIG_KUBECTL:-kubectl}
if ! type -P -- "$kubectl" >/dev/null; then
  echo "kubectl.sh: no program $kubectl on this machine: install kubectl (Debian: apt-get install kubernetes-client), or name" \
    "the one that is there in the option kubectl of [dagconfig] in airflow.cfg" >&2
  exit 127
fi

flags=()
[[ -z ${DAGCONFIG_CONTEXT:-} ]] || flags+=(--context "$DAGCONFIG_CONTEXT")
[[ ${DAGCONFIG_INSECURE:-} != 1 ]] || flags+=(--insecure-skip-tls-verify=true)
once=(--request-timeout "${DAGCONFIG_REQUEST_TIMEOUT:-10s}")

case ${1:-} in
  client) exec "$kubectl" version --client --output json ;;
  server) exec "$kubectl" "${flags[@]}" "${once[@]}" get --raw /version ;;
  review)
    exec "$kubectl" "${flags[@]}" "${once[@]}" create --raw /apis/authorization.k8s.io/v1/selfsubjectaccessreviews -f -
    ;;
esac

pods="/api/v1/namespaces/${DAGCONFIG_NAMESPACE:?the namespace}/pods"
pod="$pods/${DAGCONFIG_POD:?the name of the pod}"
log="$pod/log?container=${DAGCONFIG_CONTAINER:-base}&timestamps=true${DAGCONFIG_SINCE:+&sinceTime=$DAGCONFIG_SINCE}"

case ${1:-} in
  create) exec "$kubectl" "${flags[@]}" "${once[@]}" create --raw "$pods?fieldValidation=Strict" -f - ;;
  get) exec "$kubectl" "${flags[@]}" "${once[@]}" get --raw "$pod" ;;
  watch)
    exec "$kubectl" "${flags[@]}" get --raw \
      "$pods?watch=true&fieldSelector=metadata.name%3D$DAGCONFIG_POD&timeoutSeconds=${DAGCONFIG_WATCH_SECONDS:-300}"
    ;;
  log) exec "$kubectl" "${flags[@]}" get --raw "$log&follow=true" ;;
  log-rest) exec "$kubectl" "${flags[@]}" get --raw "$log" ;;
  events)
    exec "$kubectl" "${flags[@]}" "${once[@]}" get --raw \
      "/api/v1/namespaces/$DAGCONFIG_NAMESPACE/events?fieldSelector=involvedObject.kind%3DPod,involvedObject.name%3D$DAGCONFIG_POD"
    ;;
  # Without --validate, a kubectl before 1.25 first reads the API's whole description, and fails where it can't.
  replace) exec "$kubectl" "${flags[@]}" "${once[@]}" replace --validate=false --raw "$pod" -f - ;;
  delete) exec "$kubectl" "${flags[@]}" "${once[@]}" delete --raw "$pod" -f - ;;
  *)
    sed -n '2,/^set /s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
    exit 2
    ;;
esac
