"""Questions whose answer may take too long: they are asked in a thread, which is abandoned after a timeout."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

_Answer = TypeVar("_Answer")


class NoAnswerError(Exception):
    """The question could not be asked, or was not answered in time. The message is a clause that says which."""


class Question(Generic[_Answer]):
    """
    A question that is being asked. Do not use it in a signal handler: it could deadlock.

    :param ask: returns the answer, or raises.
    :param whom: the name of who is asked, for the message.
    """

    def __init__(self, ask: Callable[[], _Answer], whom: str) -> None:
        self._whom = whom
        self._answers: list[_Answer] = []
        self._error: Exception | None = None

        def work() -> None:
            try:
                self._answers.append(ask())
            except Exception as error:  # noqa: BLE001 - whatever it is, there is no answer
                self._error = error

        self._asking = threading.Thread(target=work, name="dagconfig-question", daemon=True)
        self._asking.start()

    def answer(self, seconds: float) -> _Answer:
        """
        Wait for the answer and return it.

        :raises NoAnswerError: there is none in time, or the question failed.
        """
        self._asking.join(seconds)
        if self._error is not None:
            raise NoAnswerError(f"{self._whom} could not be asked ({self._error!r})")
        if not self._answers:
            raise NoAnswerError(f"{self._whom} did not answer in {seconds:g} s")
        return self._answers[0]
