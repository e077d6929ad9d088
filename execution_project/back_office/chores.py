"""How the facts of an account were last brought in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from exchanges.models import Account
from execution_project.back_office.wording import age_of
from execution_project.common import clock
from execution_project.common.models import Chore
from execution_project.templatetags.back_office import words
from orders.sync_requests import chore_names


@dataclass(frozen=True, slots=True)
class ChoreLine:
    """One fact: where its chore stands, and since when it is known."""

    fact: str
    state: str
    tone: str
    succeeded: str
    error: str = ""


def chore_lines(account: Account) -> list[ChoreLine]:
    """All facts of an account, one query."""
    now, names = clock.now(), chore_names(account)
    rows = Chore.objects.in_bulk(list(names.values()))
    return [_line(words(fact), rows.get(name), now) for fact, name in names.items()]


def _line(fact: str, row: Chore | None, now: datetime) -> ChoreLine:
    if row is None:
        return ChoreLine(fact, "never asked", "", "never")
    succeeded = age_of(row.succeeded_at, now)
    if row.finished_at is None or row.finished_at < row.rung_at:
        return ChoreLine(fact, "under way", "warning", succeeded, row.error)
    if row.error:
        return ChoreLine(fact, "failed", "danger", succeeded, row.error)
    return ChoreLine(fact, "done", "good", succeeded)
