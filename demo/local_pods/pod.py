"""The life cycle of a pod on the node: the parts of the scheduler and of the kubelet, until its removal."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from demo.local_pods.access import NAME
from demo.local_pods.container import Container, volume_directory, write_volume
from demo.local_pods.store import Object, now, timestamp

if TYPE_CHECKING:
    from demo.local_pods.node import Node

# Seconds; then a container that cannot be started is checked again. A kubelet takes about ten times as long.
_SYNC_SECONDS = 1.0
_PULL_SECONDS = 2.0
_BACK_OFF_SECONDS = 10.0
_LONGEST_BACK_OFF_SECONDS = 300.0
_DEADLINE_EXCEEDED = {
    "phase": "Failed",
    "message": "Pod was active on the node longer than the specified deadline",
    "reason": "DeadlineExceeded",
}


class Pod:
    """The life cycle of one pod, which begins with this object."""

    def __init__(self, node: Node, manifest: Object) -> None:
        self._node = node
        self._manifest = manifest
        self._spec: Object = manifest["spec"]
        metadata = manifest["metadata"]
        self._key = metadata["namespace"], metadata["name"]
        self._uid: str = metadata["uid"]
        self._directory = node.directory / self._uid
        self._inits = [Container(node, self._directory, spec) for spec in self._spec.get("initContainers") or []]
        self._mains = [Container(node, self._directory, spec) for spec in self._spec["containers"]]
        self._started_at = ""
        self._verdict: Object = {}
        self._unmounted = ""
        self._changed_at: dict[tuple[str, bool], str] = {}
        self._stopping = asyncio.Event()
        self._task = asyncio.ensure_future(self._live())

    @property
    def containers(self) -> list[Container]:
        """All containers, the init containers first."""
        return self._inits + self._mains

    def memory_limits(self) -> Iterator[tuple[int, int]]:
        """Yield the process id and the limit, in bytes, of each container that runs with one."""
        for container in self.containers:
            limit = container.memory_limit()
            if limit is not None:
                yield limit

    def delete(self, grace: float) -> None:
        """End the pod; it is removed when its processes have ended. A second call with less grace makes that sooner."""
        self._stop(grace)

    def gone(self) -> None:
        """End the rest of a pod that no longer exists."""
        self._stop(0)
        if not self._started_at:
            self._task.cancel()

    def _stop(self, grace: float) -> None:
        if not self._stopping.is_set():
            self._stopping.set()
            for container in self.containers:
                if "running" in container.state:
                    self._tell("Killing", f"Stopping container {container.name}", container)
                container.terminate()
        asyncio.get_running_loop().call_later(grace, self._kill)

    def _kill(self) -> None:
        for container in self.containers:
            container.kill()

    def _tell(self, reason: str, message: str, container: Container | None = None, *, warning: bool = False) -> None:
        self._node.event(self._manifest, reason, message, container.name if container else "", warning=warning)

    async def _live(self) -> None:
        await self._schedule()
        self._started_at = now()
        self._publish()
        work = asyncio.ensure_future(self._work())
        try:
            done, _ = await asyncio.wait({work}, timeout=self._spec.get("activeDeadlineSeconds"))
            if not done and not self._stopping.is_set():
                self._verdict = _DEADLINE_EXCEEDED
                self._tell("DeadlineExceeded", self._verdict["message"])
                self._publish()
                self._stop(self._spec["terminationGracePeriodSeconds"])
            await work
        finally:
            work.cancel()
        self._publish()
        if "deletionTimestamp" in self._manifest["metadata"]:
            self._remove()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _remove(self) -> None:
        """Remove the pod from the store as a kubelet does: by a deletion without grace."""
        if self._is_there():
            self._update(_without_grace)
            self._node.store.remove("pods", *self._key)

    async def _schedule(self) -> None:
        """Bind the pod to the node; if it does not fit, wait for its deletion."""
        problem = self._node.unschedulable(self._spec)
        condition = self._condition("PodScheduled", not problem, "Unschedulable" if problem else "", problem or "")

        def bind(pod: Object) -> None:
            pod["status"]["conditions"] = [condition]
            if problem is None:
                pod["spec"]["nodeName"] = NAME

        self._update(bind)
        if problem is not None:
            self._tell("FailedScheduling", problem, warning=True)
            await asyncio.Event().wait()
        self._tell("Scheduled", f"Successfully assigned {'/'.join(self._key)} to {NAME}")

    def _is_there(self) -> bool:
        """Return whether this pod is in the store: it may be gone, or another pod may have its name."""
        found = self._node.store.find("pods", *self._key)
        return found is not None and found["metadata"]["uid"] == self._uid

    def _update(self, change: Callable[[Object], None]) -> None:
        if self._is_there():
            self._manifest = self._node.store.update("pods", *self._key, change)

    def _publish(self) -> None:
        self._update(lambda pod: pod.update(status={**self._status(), "qosClass": pod["status"]["qosClass"]}))

    def _status(self) -> Object:
        created = any(container.created for container in self.containers)
        rest: Object = {
            **({"podIP": "127.0.0.1", "podIPs": [{"ip": "127.0.0.1"}]} if created else {}),
            "startTime": self._started_at,
            **({"initContainerStatuses": [each.status() for each in self._inits]} if self._inits else {}),
            "containerStatuses": [each.status() for each in self._mains],
        }
        if self._verdict:
            # A kubelet that ends a pod itself writes no conditions.
            return {**self._verdict, **rest}
        return {"phase": self._phase(), "conditions": self._conditions(), "hostIP": "127.0.0.1", **rest}

    def _phase(self) -> str:
        """Return the phase. Kubernetes: Pod Lifecycle, "Pod phase"."""
        if any(each.failed and not self._again(each) for each in self._inits):
            return "Failed"
        if all("terminated" in each.state and not self._again(each) for each in self._mains):
            return "Failed" if any(each.failed for each in self._mains) else "Succeeded"
        return "Running" if any("waiting" not in each.state or each.restarts for each in self._mains) else "Pending"

    def _again(self, container: Container) -> bool:
        """Return whether a container that has ended must be started again."""
        policy = self._spec["restartPolicy"]
        if self._stopping.is_set() or policy == "Never":
            return False
        return container.failed if container in self._inits or policy == "OnFailure" else True

    def _conditions(self) -> list[Object]:
        unready = [each.name for each in self._mains if "running" not in each.state]
        incomplete = [each.name for each in self._inits if each.state.get("terminated", {}).get("exitCode") != 0]
        completed = self._phase() == "Succeeded"
        initialized = ready = ("PodCompleted" if completed else "", "")
        if unready and not completed:
            ready = ("ContainersNotReady", f"containers with unready status: [{' '.join(unready)}]")
        if incomplete:
            initialized = ("ContainersNotInitialized", f"containers with incomplete status: [{' '.join(incomplete)}]")
        return [
            self._condition("Initialized", not incomplete, *initialized),
            self._condition("Ready", not unready, *ready),
            self._condition("ContainersReady", not unready, *ready),
            self._condition("PodScheduled", True),
        ]

    def _condition(self, type_: str, holds: bool, reason: str = "", message: str = "") -> Object:
        return {
            "type": type_,
            "status": str(holds),
            "lastProbeTime": None,
            "lastTransitionTime": self._changed_at.setdefault((type_, holds), now()),
            **({"reason": reason} if reason else {}),
            **({"message": message} if message else {}),
        }

    async def _work(self) -> None:
        if self._inits:
            for container in self._mains:
                container.state = {"waiting": {"reason": "PodInitializing"}}
            self._publish()
        for container in self._inits:
            await self._keep_running(container)
            if container.failed or self._stopping.is_set():
                return
        await asyncio.gather(*(self._keep_running(container) for container in self._mains))

    async def _keep_running(self, container: Container) -> None:
        """Run a container until it is not restarted any more."""
        seconds = _BACK_OFF_SECONDS
        while await self._can_start(container):
            await container.run(self._manifest, self._tell, self._publish)
            self._publish()
            if not self._again(container):
                return
            if container.restarts:
                self._tell("BackOff", "Back-off restarting failed container", container, warning=True)
                name = f"{self._key[1]}_{self._key[0]}({self._uid})"
                container.back_off(f"back-off {seconds:.0f}s restarting failed container={container.name} pod={name}")
                self._publish()
                if await self._pause(seconds):
                    return
                seconds = min(2 * seconds, _LONGEST_BACK_OFF_SECONDS)
            container.restart()

    async def _pause(self, seconds: float) -> bool:
        """Wait, unless the pod must end first; return whether it must end."""
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)
        return self._stopping.is_set()

    async def _can_start(self, container: Container) -> bool:
        """Wait until a container has all that it needs; return False if the pod must end first."""
        pulls = _BACK_OFF_SECONDS
        while not self._mount():
            if await self._pause(_SYNC_SECONDS):
                return False
        while problem := container.problem(self._manifest):
            self._wait(container, *problem)
            if problem[0] != "ErrImagePull":
                if await self._pause(_SYNC_SECONDS):
                    return False
                continue
            if await self._pause(_PULL_SECONDS):
                return False
            self._wait(container, "ImagePullBackOff", f'Back-off pulling image "{container.spec["image"]}"')
            if await self._pause(pulls):
                return False
            pulls = min(2 * pulls, _LONGEST_BACK_OFF_SECONDS)
        return not self._stopping.is_set()

    def _wait(self, container: Container, reason: str, message: str) -> None:
        """Record why a container waits, with the events of a kubelet."""
        state = {"waiting": {"reason": reason, "message": message}}
        if state == container.state:
            return
        container.state = state
        first = {
            "ErrImagePull": ("Failed", f'Failed to pull image "{container.spec["image"]}": {message}'),
            "ErrImageNeverPull": ("ErrImageNeverPull", message),
            "InvalidImageName": ("InspectFailed", message),
        }.get(reason)
        if first is not None:
            self._tell(*first, container, warning=True)
        told = message if reason.startswith("CreateContainer") else reason
        self._tell("Failed", f"Error: {told}", container, warning=True)
        self._publish()

    def _mount(self) -> bool:
        """Write the content of the volumes into the pod's directory; return False while something is missing."""
        for volume in self._spec.get("volumes") or []:
            directory = volume_directory(self._directory, volume["name"])
            directory.mkdir(parents=True, exist_ok=True)
            for key, plural, named in (("secret", "secrets", "secretName"), ("configMap", "configmaps", "name")):
                if key not in volume:
                    continue
                name = volume[key].get(named) or ""
                found = self._node.store.find(plural, self._key[0], name)
                if found is None and not volume[key].get("optional"):
                    self._missing(f'volume "{volume["name"]}" : {plural.removesuffix("s")} "{name}" not found')
                    return False
                write_volume(directory, (found or {}).get("data") or {}, encoded=key == "secret")
        return True

    def _missing(self, what: str) -> None:
        if what != self._unmounted:
            self._unmounted = what
            self._tell("FailedMount", f"MountVolume.SetUp failed for {what}", warning=True)


def _without_grace(pod: Object) -> None:
    """Set the grace period to 0, and the deletion's time to the moment of the request, as the API server does."""
    metadata = pod["metadata"]
    deleted = datetime.fromisoformat(metadata["deletionTimestamp"].replace("Z", "+00:00"))
    metadata["deletionTimestamp"] = timestamp(deleted - timedelta(seconds=metadata["deletionGracePeriodSeconds"]))
    metadata["deletionGracePeriodSeconds"] = 0
