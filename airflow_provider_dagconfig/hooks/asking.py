"""Questions to others whose answer nobody can wait for for long: asked in a thread, which is left alone when the time is over."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

_Answer = TypeVar("_Answer")


class NoAnswerError(Exception):
    """Somebody could not be asked, or did not answer in time. The message is a clause that says which."""


class Question(Generic[_Answer]):
    """
    A question that is being asked. Not for a signal handler, which could dead-lock.

    :param ask: gives the answer, or raises.
    :param whom: is asked; for the message.
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
        Wait for the answer.

        :raises NoAnswerError: there is none in time.
        """
        self._asking.join(seconds)
        if self._error is not None:
            raise NoAnswerError(f"{self._whom} could not be asked ({self._error!r})")
        if not self._answers:
            raise NoAnswerError(f"{self._whom} did not answer in {seconds:g} s")
        return self._answers[0]
