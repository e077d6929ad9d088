"""Tasks that leave notes in a file, which outlives their process and the database."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path


def _write(line: str) -> None:
    with (Path(os.environ["DRILL_FOLDER"]) / "notes").open("a", encoding="utf-8") as file:
        file.write(f"{line} {os.getpid()}\n")


def note(label: str) -> None:
    """Run, and say so."""
    _write(f"ran {label}")


def hold(label: str) -> None:
    """Begin, wait for the file ``label`` to appear, end."""
    _write(f"began {label}")
    while not (Path(os.environ["DRILL_FOLDER"]) / label).exists():
        time.sleep(0.02)
    _write(f"ended {label}")


def fail(label: str) -> None:
    """Raise."""
    _write(f"failed {label}")
    raise RuntimeError(label)


def leave(label: str) -> None:
    """Take the worker process along."""
    _write(f"left {label}")
    sys.exit(3)
