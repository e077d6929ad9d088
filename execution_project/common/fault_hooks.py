"""Named moments at which a drill may kill this process for real, to prove what a crash there leaves behind.

``EXEC_FAULT_HOOK=<moment>@<file>`` arms one moment: the first process that reaches it and can remove the file dies by
SIGKILL. Production refuses the variable (check exec.E006).
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

from django.conf import settings


def reach(moment: str) -> None:
    """Die here if a drill armed this moment; otherwise nothing."""
    if not settings.EXEC_FAULT_HOOK:
        return
    armed, _, flag = settings.EXEC_FAULT_HOOK.partition("@")
    if armed != moment:
        return
    try:
        Path(flag).unlink()
    except FileNotFoundError:
        return
    os.kill(os.getpid(), signal.SIGKILL)
