"""Append-only journal: one JSON line per change, on its way to the kernel before the change is acknowledged.

A killed process loses nothing it has answered for, since every line is one unbuffered write. A machine that loses power
may lose the last lines: this is a simulator, so there is no fsync per line.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

Entry = dict[str, Any]


# One encoder for all lines: json.dumps would build one per call.
_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


def _line(entry: Entry) -> bytes:
    return _encode(entry).encode() + b"\n"


def tagged(exchange: str, entries: Iterable[Entry]) -> Iterator[Entry]:
    """Entries marked as another exchange's; Binance's carry no mark."""
    return ({**entry, "exchange": exchange} for entry in entries)


def chosen(exchange: str, entries: Iterable[Entry]) -> Iterator[Entry]:
    """The entries of one exchange."""
    return (entry for entry in entries if entry.get("exchange", "binance") == exchange)


class JournalBusy(RuntimeError):
    """Another simulator uses this data directory."""


class Journal:
    """The journal file of one data directory, held by a lock while open."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.path = directory / "simulator.journal"
        self._lock = os.open(directory / "simulator.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise JournalBusy(f"{directory} is in use by another simulator") from error
        self._file = self._open()

    def _open(self) -> int:
        return os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def load(self) -> Iterator[Entry]:
        """All whole entries in order. A torn last line was never acknowledged and is skipped."""
        with self.path.open("rb") as lines:
            for line in lines:
                if not line.endswith(b"\n"):
                    return
                yield json.loads(line)

    def append(self, entry: Entry) -> None:
        """Write one entry; it survives the death of the process once this returns."""
        data = _line(entry)
        written = os.write(self._file, data)
        while written < len(data):
            written += os.write(self._file, data[written:])

    def rewrite(self, entries: Iterable[Entry]) -> None:
        """Replace the journal by a snapshot, at once or not at all."""
        fresh = self.path.with_suffix(".new")
        with fresh.open("wb") as out:
            fresh.chmod(0o600)
            for entry in entries:
                out.write(_line(entry))
            out.flush()
            os.fsync(out.fileno())
        fresh.replace(self.path)
        os.close(self._file)
        self._file = self._open()

    def close(self) -> None:
        """Flush to the disk and let go of the directory."""
        os.fsync(self._file)
        os.close(self._file)
        os.close(self._lock)
