"""The installation's prefix, made once."""

from __future__ import annotations

from functools import cache

from execution_project.common import ids
from execution_project.common.models import Installation


@cache
def prefix() -> str:
    """The two characters that start every client order id of this installation."""
    row, _ = Installation.objects.get_or_create(id=1, defaults={"prefix": ids.new_installation_prefix()})
    return row.prefix
