"""A kubectl that gives prepared answers and records its requests: for tests of decisions, which need no process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_dagconfig.kubectl.client import Kubectl
from airflow_provider_dagconfig.kubectl.errors import Fault, KubectlError

Scripted = dict[str, Any] | Fault | Callable[[], None]
"""An answer: a pod; a refusal; or a function that is called, after which the answer is lost."""


@dataclass
class Asked:
    """The requests, in order."""

    requests: list[str] = field(default_factory=list)
    created: list[dict[str, Any]] = field(default_factory=list)
    """The body of each create."""
    written: list[dict[str, Any]] = field(default_factory=list)
    """The body of each replace."""
    unchanged: list[bool] = field(default_factory=list)
    """Whether each deletion was only of the known version of the pod."""


class ScriptedKubectl(Kubectl):
    """
    Gives the answers of each verb one after the other; the last one is repeated. A verb without answers succeeds.

    :param asked: records the requests; several kubectls may share it.
    """

    def __init__(
        self, name: str = "collect", asked: Asked | None = None, namespace: str = "jobs", **answers: list[Scripted]
    ) -> None:
        super().__init__({}, namespace, name)
        self.asked = asked or Asked()
        self.answers = answers
        self.one_after_the_other: list[Scripted] | None = None
        """If given, the answers to all gets and replaces, each used once."""

    def _next(self, verb: str, otherwise: dict[str, Any]) -> Scripted:
        if self.one_after_the_other is not None and verb in ("get", "replace"):
            return self.one_after_the_other.pop(0)
        answers = self.answers.get(verb) or [otherwise]
        return answers.pop(0) if len(answers) > 1 else answers[0]

    def _answer(self, verb: str, otherwise: dict[str, Any]) -> dict[str, Any]:
        self.asked.requests.append(f"{verb} {self.pod}")
        answer = self._next(verb, otherwise)
        if callable(answer):
            answer()
            answer = Fault.UNREACHABLE
        if isinstance(answer, Fault):
            raise KubectlError(answer, answer.value, verb)
        return answer

    def create(self, manifest: Any) -> dict[str, Any]:
        self.asked.created.append(manifest)
        made = {**manifest, "metadata": {**manifest["metadata"], "uid": "made", "resourceVersion": "1"}}
        return self._answer("create", made)

    def get(self, seconds: int = 10) -> dict[str, Any]:
        return self._answer("get", {})

    def replace(self, pod: Any) -> dict[str, Any]:
        self.asked.written.append(pod)
        return self._answer("replace", pod)

    def delete(self, pod: Any, seconds: int = 10, *, unchanged: bool = False) -> None:
        self.asked.unchanged.append(unchanged)
        self._answer("delete", {})

    def watch(self) -> Any:
        return self._answer("watch", {})
