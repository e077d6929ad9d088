"""Tying processes together, so that nothing of ours outlives the process that answers for it."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time

import psutil

MARK = "EXEC_SUPERVISED_BY"
"""Environment variable by which a later supervisor finds what an earlier one left behind."""

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None  # loaded here: nothing may be imported after a fork


def die_with_parent(number: int, parent: int) -> None:
    """Ask the kernel to send this process signal ``number`` when its parent dies.

    ``parent`` is the pid that is expected to be the parent: if it died before the kernel was asked, this process
    kills itself, for nobody else would.
    """
    if _libc is None:
        return
    _libc.prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def tie_forks() -> None:
    """From here on every process that is forked (not exec'd) by this one or its forks dies with the one that forked it.

    The kernel forgets the request at each fork, so each child has to repeat it.
    """
    forking = os.getpid()

    def remember() -> None:
        nonlocal forking
        forking = os.getpid()

    os.register_at_fork(before=remember, after_in_child=lambda: die_with_parent(signal.SIGKILL, forking))


def session_pids(session: int) -> list[int]:
    """The living processes of a session, zombies left out."""
    found = []
    for pid in psutil.pids():
        try:
            if os.getsid(pid) == session and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                found.append(pid)
        except (ProcessLookupError, PermissionError, psutil.NoSuchProcess):
            continue
    return found


def marked_pids(mark: str) -> list[int]:
    """The living processes, other than this one, that carry ``mark`` in their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(MARK) == mark:
                found.append(process.pid)
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return found


def kill_pids(pids: list[int]) -> None:
    """SIGKILL each; one that is gone already is fine."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def kill_session(session: int, patience_s: float = 5.0) -> None:
    """SIGKILL every process of a session, again and again until none is left or ``patience_s`` is over."""
    deadline = time.monotonic() + patience_s
    while (pids := session_pids(session)) and time.monotonic() < deadline:
        kill_pids(pids)
        time.sleep(0.02)


def kill_marked(mark: str, patience_s: float = 5.0) -> int:
    """SIGKILL every process that carries ``mark``; returns how many there were."""
    deadline = time.monotonic() + patience_s
    killed: set[int] = set()
    while (pids := marked_pids(mark)) and time.monotonic() < deadline:
        killed.update(pids)
        kill_pids(pids)
        time.sleep(0.02)
    return len(killed)
