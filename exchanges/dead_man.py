"""The dead-man watchdog: when the engine's heart stops while orders work at an exchange, it cancels them.

A process of its own, better on another machine, with a kit and a heartbeat and nothing else of the engine: no database.
It never ends by itself, and it never trades: it lists and cancels.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from exchanges.connections import WrongHost
from exchanges.emergency_cancel import AccountOfKit, Say
from exchanges.emergency_kit import KitAccount
from exchanges.reports import ReadFailed

STALE_AFTER_S = 30.0
LOOK_EVERY_S = 2.0


def write_heartbeat(path: Path) -> None:
    """Say that the engine's loop has turned; whoever reads finds the old line or the new one, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(descriptor, "w") as file:
        file.write(f"{time.time():.3f} {os.getpid()}\n")
    Path(name).replace(path)


@dataclass(slots=True)
class Watchdog:
    """Watches one heartbeat for the accounts of one kit. ``clock``: seconds of wall time, as the heartbeat's file."""

    accounts: tuple[KitAccount, ...]
    heartbeat: Path
    say: Say
    stale_after_s: float = STALE_AFTER_S
    clock: Callable[[], float] = time.time
    _begun: float = 0.0
    _dead: bool = False

    def __post_init__(self) -> None:
        self._begun = self.clock()

    def age_s(self) -> float:
        """Seconds since the last beat, or since this began to watch when there was none."""
        try:
            return self.clock() - self.heartbeat.stat().st_mtime
        except OSError:
            return self.clock() - self._begun

    def step(self) -> int:
        """Look once; returns how many orders were found working while the heart stood still."""
        age_s = self.age_s()
        if age_s <= self.stale_after_s:
            if self._dead:
                self.say("The heart beats again. The engine starts halted and compares its books before it trades.")
            self._dead = False
            return 0
        if not self._dead:
            self.say(f"No heartbeat for {age_s:.0f} s ({self.heartbeat}): looking for orders at the exchanges.")
        self._dead = True
        if not self.accounts:
            return 0
        with ThreadPoolExecutor(len(self.accounts)) as pool:
            return sum(pool.map(self._end_all, self.accounts))

    def _end_all(self, entry: KitAccount) -> int:
        """List and cancel on one account; an exchange that does not answer is asked again in the next step."""
        try:
            desk = AccountOfKit(entry)
        except (WrongHost, ValueError) as error:
            self.say(f"{entry.name}: {error}")
            return 0
        try:
            found, said = desk.end_all()
        except ReadFailed as error:
            self.say(f"{entry.name}: no believable answer, asked again: {error}")
            return 0
        finally:
            desk.close()
        if found:
            self.say(f"{entry.name}: canceled {found} orders of a dead engine. {' '.join(said)}".strip())
        return found
