"""Which version of the engine a process runs: ``EXEC_VERSION``, else a hash of the source files it was started from."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from django.conf import settings

PACKAGES = ("execution_project", "exchanges", "orders", "positions", "risk")


@cache
def version() -> str:
    """At most 64 characters; read once, at the process's first question."""
    if settings.EXEC_VERSION:
        return str(settings.EXEC_VERSION)[:64]
    digest = hashlib.sha256()
    base = Path(settings.BASE_DIR)
    for path in sorted(path for package in PACKAGES for path in (base / package).rglob("*.py")):
        digest.update(f"{path.relative_to(base)}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:16]
