"""BTCTurk's rate limits: fixed windows that open with the first call (docs/btcturk.md §2.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(slots=True, frozen=True)
class Exceeded:
    """A quota that is used up: calls per `period` seconds, and seconds until it starts again."""

    limit: int
    period: int
    retry_after: int


class FixedWindows:
    """Counters per group of endpoints and caller. A window starts with its first call and ends on time."""

    def __init__(self) -> None:
        self._windows: dict[tuple[str, str, int], list[int]] = {}

    def reset(self) -> None:
        """Forget all counts."""
        self._windows.clear()

    def count(self, group: str, caller: str, limits: Sequence[tuple[int, int]], now: int) -> Exceeded | None:
        """Count one call, or say which of the limits (calls, seconds) it exceeds; a refused call counts nowhere."""
        windows = []
        for allowed, seconds in limits:
            window = self._windows.setdefault((group, caller, seconds), [now, 0])
            if now >= window[0] + seconds * 1000:
                window[:] = [now, 0]
            if window[1] >= allowed:
                left = window[0] + seconds * 1000 - now
                return Exceeded(allowed, seconds, max(1, -(-left // 1000)))
            windows.append(window)
        for window in windows:
            window[1] += 1
        return None
