"""How long to wait before a request that failed is made again."""

from __future__ import annotations

import random


class Pauses:
    """Growing pauses between attempts, in seconds: 1, 2, 4 ... 30, each up to a fifth longer, so that tasks don't ask in step."""

    def __init__(self, longest: float = 30.0) -> None:
        self._longest = longest
        self._next = 1.0

    def next(self) -> float:
        """The pause before the next attempt."""
        pause, self._next = self._next, min(self._next * 2, self._longest)
        return pause * random.uniform(1, 1.2)  # noqa: S311

    def reset(self) -> None:
        """Begin again with the shortest."""
        self._next = 1.0
