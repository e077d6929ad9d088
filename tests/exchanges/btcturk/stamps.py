"""Stamps of requests without a database."""

from __future__ import annotations


class Stamps:
    """What the database does for the engine: every stamp larger than the one before."""

    def __init__(self) -> None:
        self._last = 0

    def __call__(self, now_ms: int) -> int:
        self._last = max(self._last + 1, now_ms)
        return self._last
