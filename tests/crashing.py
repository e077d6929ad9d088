"""Killing a process for real at a named moment (``common/fault_hooks.py``), without the seconds that a new one takes to
start: it is forked off this one."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from django.conf import settings
from django.db import connections

from execution_project.processes import die_with_parent

LONGEST_S = 60
"""A process that neither reaches its moment nor ends is ended by SIGALRM."""


def kill_at(moment: str, act: Callable[[], object], folder: Path) -> None:
    """Have a process of its own do ``act`` until SIGKILL ends it at ``moment``; fails when it gets past that.

    ``folder``: an empty one of the test. The process opens its own connections to the database and the exchange.
    """
    armed = folder / moment
    armed.touch()
    # A child must not inherit a session of the database: both would speak on it.
    connections.close_all()
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        try:
            die_with_parent(signal.SIGKILL, parent)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(LONGEST_S)
            settings.EXEC_FAULT_HOOK = f"{moment}@{armed}"
            act()
            print(f"it ended without reaching {moment}", file=sys.stderr)
        except BaseException:
            # Whatever it is, this copy of the test session ends here.
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(1)
    _, ended = os.waitpid(pid, 0)
    killed = os.WIFSIGNALED(ended) and os.WTERMSIG(ended) == signal.SIGKILL and not armed.exists()
    assert killed, f"nothing died at {moment}; see its output"
