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
from dataclasses import dataclass, field
from pathlib import Path

from exchanges.connections import WrongHost, host_of
from exchanges.emergency_cancel import AccountOfKit, Pauses, Say
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
    """Watches one heartbeat for the accounts of one kit, on its own monotonic ``clock`` (seconds).

    It counts from the last beat that it saw come, or its own begin: what was before it watched, or while it was itself
    at a standstill, says nothing about an engine that is only being started again.
    """

    accounts: tuple[KitAccount, ...]
    heartbeat: Path
    say: Say
    stale_after_s: float = STALE_AFTER_S
    clock: Callable[[], float] = time.monotonic
    _beat: bytes = b""
    _beaten_at: float = 0.0
    _looked_at: float = 0.0
    _dead: bool = False
    _pauses: Pauses = field(default_factory=Pauses)
    _empty_at: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._beaten_at = self._looked_at = self.clock()

    def age_s(self) -> float:
        """Seconds since a beat was seen to come, or since this began to watch."""
        now = self.clock()
        stood_still = not self._dead and now - self._looked_at > self.stale_after_s
        self._looked_at = now
        try:
            beat = self.heartbeat.read_bytes()
        except OSError:
            beat = self._beat
        if beat != self._beat or stood_still:
            self._beat, self._beaten_at = beat, now
        return now - self._beaten_at

    def file_age_s(self) -> float:
        """Seconds since the last beat by the wall clock and the file's time, for one look alone; 0 without a file."""
        try:
            return time.time() - self.heartbeat.stat().st_mtime
        except OSError:
            return 0.0

    def step(self, age_s: float | None = None) -> int:
        """Look once; returns how many orders were found working while the heart stood still. ``age_s``: as known by
        other means than watching."""
        if age_s is None:
            age_s = self.age_s()
        if age_s <= self.stale_after_s:
            if self._dead:
                self.say("The heart beats again. The engine starts halted and compares its books before it trades.")
            self._dead = False
            return 0
        if not self._dead:
            self.say(f"No heartbeat for {age_s:.0f} s ({self.heartbeat}): looking for orders at the exchanges.")
        self._dead = True
        due = self.due()
        if not due:
            return 0
        with ThreadPoolExecutor(len(due)) as pool:
            return sum(pool.map(self._end_all, due))

    def due(self) -> list[KitAccount]:
        """The accounts to list now: not in a pause of their host, and where nothing worked, the less often the more of
        them share a host, for it counts what all of them ask."""
        hosts = [host_of(entry.as_account()) for entry in self.accounts]
        now = self.clock()
        return [
            entry
            for entry, host in zip(self.accounts, hosts, strict=True)
            if not self._pauses.left_s(host)
            and now - self._empty_at.get(entry.name, float("-inf")) >= LOOK_EVERY_S * (hosts.count(host) - 1)
        ]

    def _end_all(self, entry: KitAccount) -> int:
        """List and cancel on one account; an exchange that does not answer is asked again in the next step."""
        try:
            desk = AccountOfKit(entry, self._pauses)
        except (WrongHost, ValueError) as error:
            self.say(f"{entry.name}: {error}")
            return 0
        try:
            self._empty_at.pop(entry.name, None)
            found, said = desk.end_all()
            if not found:
                self._empty_at[entry.name] = self.clock()
        except ReadFailed as error:
            self._pauses.note(desk.host, error.outcome)
            self.say(f"{entry.name}: no believable answer, asked again: {error}")
            return 0
        finally:
            desk.close()
        if found:
            self.say(f"{entry.name}: canceled {found} orders of a dead engine. {' '.join(said)}".strip())
        return found
