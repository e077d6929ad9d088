"""The exchange's clock: real time plus a shift that faults may set."""

from __future__ import annotations

import time


class Clock:
    """Epoch milliseconds as the simulated exchange sees them."""

    def __init__(self) -> None:
        self.offset_ms = 0

    def now(self) -> int:
        """Exchange time in epoch ms."""
        return time.time_ns() // 1_000_000 + self.offset_ms
