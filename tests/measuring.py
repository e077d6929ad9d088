"""Coverage of programs that tests start: they run under slipcover where COVERAGE_PARTS names a folder for what it says.

``make test`` names one and adds its files up; a program that is killed says nothing.
"""

from __future__ import annotations

import os
import sys
from uuid import uuid4


def python(*arguments: str, source: str) -> list[str]:
    """The command line that runs Python on ``arguments``, measured if that is asked for.

    ``source``: the folders that are measured, between commas. Each costs its reading at the program's end, so it is
    those that no test process runs by itself.
    """
    folder = os.environ.get("COVERAGE_PARTS")
    if not folder:
        return [sys.executable, *arguments]
    told = ("--source", source, "--omit", "*/migrations/*", "--json", "--out", f"{folder}/{uuid4().hex}.json")
    # the folder of the workers of these tests is none of the program's: it would take it away at its end
    without = ("env", "-u", "SLIPCOVER_COVERAGE_DIR")
    return [*without, sys.executable, "-m", "slipcover", "--branch", *told, *arguments]
