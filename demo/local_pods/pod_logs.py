"""A request for a pod's log: its container, its options, and the reason if there is no log yet."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from time import time_ns

from demo.local_pods.admission import Problem, containers, refuse
from demo.local_pods.logs import LogOptions
from demo.local_pods.store import ApiError, Object

_TRUE = ("1", "true")


def container_name(pod: Object, wanted: str) -> str:
    """
    Return the container that is meant.

    :raises ApiError: BadRequest, if there is no such container, or none is named and there are several.
    """
    name = pod["metadata"]["name"]
    if wanted:
        if wanted not in [container["name"] for _, container in containers(pod["spec"])]:
            raise ApiError(400, "BadRequest", f"container {wanted} is not valid for pod {name}")
        return wanted
    mains = [container["name"] for container in pod["spec"]["containers"]]
    if len(mains) > 1:
        message = f"a container name must be specified for pod {name}, choose one of: [{' '.join(mains)}]"
        raise ApiError(400, "BadRequest", message)
    return str(mains[0])


def no_log(pod: Object, container: str, *, previous: bool) -> ApiError:
    """Return the error that says why a container has no log."""
    name = pod["metadata"]["name"]
    if previous:
        message = f'previous terminated container "{container}" in pod "{name}" not found'
        return ApiError(400, "BadRequest", message)
    status = pod["status"]
    reason = "ContainerCreating"
    for each in (status.get("initContainerStatuses") or []) + (status.get("containerStatuses") or []):
        if each["name"] == container:
            reason = each["state"].get("waiting", {}).get("reason", reason)
    told = {"ErrImagePull": "image can't be pulled", "ImagePullBackOff": "trying and failing to pull image"}
    message = f'container "{container}" in pod "{name}" is waiting to start: {told.get(reason, reason)}'
    return ApiError(400, "BadRequest", message)


def options(query: Mapping[str, str], pod_name: str) -> LogOptions:
    """
    Return the options of a request.

    :raises ApiError: BadRequest or Invalid.
    """
    tail, limit = number(query.get("tailLines")), number(query.get("limitBytes"))
    since, seconds = query.get("sinceTime"), number(query.get("sinceSeconds"))
    problems: list[Problem] = []
    if tail is not None and tail < 0:
        message = f"Invalid value: {tail}: must be greater than or equal to 0"
        problems.append(("FieldValueInvalid", "tailLines", message))
    if limit is not None and limit < 1:
        problems.append(("FieldValueInvalid", "limitBytes", f"Invalid value: {limit}: must be greater than 0"))
    if since and seconds is not None:
        message = "Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified"
        problems.append(("FieldValueForbidden", "[]", message))
    refuse("PodLogOptions", pod_name, problems)
    since_ns = time_ns() - seconds * 1_000_000_000 if seconds is not None else None
    return LogOptions(
        follow=query.get("follow") in _TRUE,
        timestamps=query.get("timestamps") in _TRUE,
        tail_lines=tail,
        limit_bytes=limit,
        since_ns=_nanoseconds(since) if since else since_ns,
    )


def _nanoseconds(text: str) -> int:
    """Read an RFC 3339 time. A ``metav1.Time`` drops fractions of seconds."""
    whole = text[:19]
    zone = text[19:].lstrip(".0123456789").replace("Z", "+00:00")
    try:
        when = datetime.strptime(whole + zone, "%Y-%m-%dT%H:%M:%S%z")
    except ValueError:
        shape = "2006-01-02T15:04:05Z07:00"
        message = f'parsing time "{text}" as "{shape}": cannot parse "{text}" as "2006"'
        raise ApiError(400, "BadRequest", message) from None
    return int(when.astimezone(timezone.utc).timestamp()) * 1_000_000_000


def number(text: str | None) -> int | None:
    """
    Return a number from a query.

    :raises ApiError: BadRequest.
    """
    if not text:
        return None
    try:
        return int(text)
    except ValueError:
        message = f'strconv.ParseInt: parsing "{text}": invalid syntax'
        raise ApiError(400, "BadRequest", message) from None
