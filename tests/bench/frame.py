"""What every case uses: interleaved rounds, medians, a table; a durable database and processes on it."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from execution_project.postgres import EmbeddedPostgres
from tests.processes import Processes

DATABASE = "bench"


@dataclass(frozen=True, slots=True)
class Sample:
    """One round of one subject: how long each act took, and how long all of them took together (seconds)."""

    latencies: Sequence[float]
    elapsed: float

    @property
    def rate(self) -> float:
        """Acts per second."""
        return len(self.latencies) / self.elapsed

    def percentile(self, percent: int) -> float:
        """The latency that ``percent`` of the acts did not exceed."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


@dataclass(frozen=True, slots=True)
class Figure:
    """Medians over the rounds of one subject; latencies in ms."""

    rate: float
    p50: float
    p99: float
    acts: int


def interleave(rounds: int, subjects: dict[str, Callable[[], Sample]]) -> dict[str, Figure]:
    """Run every subject once per round, each round in the opposite order, and take medians.

    A machine that slows down in between slows down all of them.
    """
    samples: dict[str, list[Sample]] = {name: [] for name in subjects}
    for turn in range(rounds):
        for name in list(subjects)[:: -1 if turn % 2 else 1]:
            samples[name].append(subjects[name]())
    return {name: figure(taken) for name, taken in samples.items()}


def figure(samples: Sequence[Sample]) -> Figure:
    """Medians of several rounds."""
    return Figure(
        rate=statistics.median(sample.rate for sample in samples),
        p50=statistics.median(sample.percentile(50) for sample in samples) * 1000,
        p99=statistics.median(sample.percentile(99) for sample in samples) * 1000,
        acts=sum(len(sample.latencies) for sample in samples),
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; the first column is text, the others are numbers."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    for row in [head, *rows]:
        print(
            "  ".join(
                cell.rjust(w) if i else cell.ljust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
            )
        )


def describe_machine() -> str:
    """Date, size and load of the machine, for the record."""
    size = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {size}, load {os.getloadavg()[0]:.1f} at the start"


class Bench:
    """One run: a PostgreSQL of its own with fsync on, migrated, and a place for processes."""

    def __init__(self, folder: Path, share: float = 1.0) -> None:
        self.folder = folder
        self._share = share
        self._postgres = EmbeddedPostgres(folder / "postgres", durable=True)
        self.processes: Processes

    def __enter__(self) -> Bench:
        self._postgres.start()
        self._postgres.ensure_database(DATABASE)
        # The bench itself works as the owner, for it makes tables and clears rows; what it measures runs as the engine.
        os.environ["EXEC_DATABASE_ROLE"] = ""
        os.environ["DATABASE_URL"] = self.url
        subprocess.run([sys.executable, "manage.py", "migrate", "--verbosity", "0"], check=True)
        self.begin_case()
        return self

    def begin_case(self) -> None:
        """Processes of its own for every case; those of the one before are ended."""
        self._end_case()
        self.processes = Processes(self.folder, database_url=self.url).__enter__()

    def _end_case(self) -> None:
        if hasattr(self, "processes"):
            self.processes.__exit__(None, None, None)

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        try:
            self._end_case()
            if kind is not None:
                for log in sorted(self.folder.glob("process-*.log")):
                    print(f"--- {log.name}\n{log.read_text(encoding='utf-8', errors='replace')}", file=sys.stderr)
        finally:
            self._postgres.stop()

    def acts(self, usual: int) -> int:
        """How many acts of a round to take: the usual number, or the share of it that was asked for; at least 4."""
        return max(4, round(usual * self._share))

    def seconds(self, usual: float) -> float:
        """How long a batch takes: as usual, or the share of it that was asked for."""
        return usual * self._share

    @property
    def url(self) -> str:
        """For ``DATABASE_URL``."""
        return self._postgres.url(DATABASE)
