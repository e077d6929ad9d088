"""Registering strategies: orders, limits and positions are attributed to them, so a name is given once and kept."""

from __future__ import annotations

import re

from django.db import IntegrityError, transaction

from execution_project.common.actors import Actor
from execution_project.common.events import record
from execution_project.common.models import Strategy
from execution_project.common.rights import Right

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)


def register_strategy(name: str, *, by: Actor) -> Strategy:
    """Store a new strategy. Raises ``ValueError`` with a sentence for a name that is taken or not valid, ``Problem``
    (403) without the right.
    """
    by.require(Right.MANAGE_ACCOUNTS)
    if not _NAME.fullmatch(name):
        raise ValueError("1 to 64 letters, digits, points, dashes and underscores; no blanks.")
    try:
        with transaction.atomic():
            strategy = Strategy.objects.create(name=name)
            record("strategy.registered", "strategy", name, by)
    except IntegrityError as error:
        raise ValueError(f"There is a strategy {name} already.") from error
    return strategy
