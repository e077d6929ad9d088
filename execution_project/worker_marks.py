"""What each worker of a cluster is doing, in a few bytes of memory that its parent can read at any time.

Beats alone cannot tell a deaf cluster from one whose workers all sit in a slow call; killing the second would cut
orders off in mid call. So every worker notes when it began or ended a task.
"""

from __future__ import annotations

import os
import struct
import time
from dataclasses import dataclass

_HEADER = struct.Struct("<q")
_RECORD = struct.Struct("<qdq")


@dataclass(frozen=True, slots=True)
class Mark:
    """A worker's last change: since ``since`` (seconds of the monotonic clock of this host) it is busy or idle."""

    pid: int
    since: float
    busy: bool


class WorkerMarks:
    """An anonymous file of fixed records, one for each worker that was ever started on it."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._offset = 0

    @classmethod
    def create(cls) -> WorkerMarks:
        """A new, empty file; hand ``descriptor`` to the cluster's process."""
        descriptor = os.memfd_create("exec-worker-marks")
        os.pwrite(descriptor, _HEADER.pack(0), 0)
        return cls(descriptor)

    def close(self) -> None:
        """Give the memory back once no process has it open."""
        os.close(self.descriptor)

    def note(self, busy: bool) -> None:
        """Called in the worker: it begins or ends a task now."""
        if not self._offset:
            self._claim()
        os.pwrite(self.descriptor, _RECORD.pack(os.getpid(), time.monotonic(), int(busy)), self._offset)

    def read(self) -> list[Mark]:
        """All records; those of dead workers too."""
        (count,) = _HEADER.unpack(os.pread(self.descriptor, _HEADER.size, 0))
        data = os.pread(self.descriptor, count * _RECORD.size, _HEADER.size)
        whole = len(data) - len(data) % _RECORD.size
        return [Mark(pid, since, bool(busy)) for pid, since, busy in _RECORD.iter_unpack(data[:whole]) if pid]

    def _claim(self) -> None:
        """Take the next free record; workers start at the same time, so under a lock of the file."""
        os.lockf(self.descriptor, os.F_LOCK, 0)
        try:
            (count,) = _HEADER.unpack(os.pread(self.descriptor, _HEADER.size, 0))
            os.pwrite(self.descriptor, _HEADER.pack(count + 1), 0)
        finally:
            os.lockf(self.descriptor, os.F_ULOCK, 0)
        self._offset = _HEADER.size + count * _RECORD.size
