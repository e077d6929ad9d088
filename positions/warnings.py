"""What the books warn of until a later check finds nothing: events in pairs, of which the newest counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import OuterRef, Subquery

from exchanges.models import Account
from execution_project.common.models import Event

DIFFER, AGREE = "books.differ", "books.agree"
EXCEEDED, WITHIN = "suspense.limit_exceeded", "suspense.within_limit"
BOOKS_EVENTS, SUSPENSE_EVENTS = (DIFFER, AGREE), (EXCEEDED, WITHIN)


@dataclass(frozen=True, slots=True)
class Warned:
    """What was found wrong with the books of an account, and not found to be over."""

    account: str
    at: datetime
    says: str


def last_word(account: Account, kinds: Sequence[str]) -> str:
    """The newest of these kinds of events of an account, empty when there was none."""
    return _of(account.name, kinds).values_list("kind", flat=True).first() or ""


def differ_since(account: Account) -> datetime | None:
    """When the books of an account were last seen to differ from their facts; None when they agree since."""
    newest = _of(account.name, BOOKS_EVENTS).first()
    return newest.at if newest is not None and newest.kind == DIFFER else None


def standing_warnings(*, limit: int) -> list[Warned]:
    """Accounts whose books differ from their facts, or with more in suspense than its limit; two statements."""
    newest = {
        f"newest_{number}": Subquery(_of(OuterRef("name"), kinds).values("id")[:1])
        for number, kinds in enumerate((BOOKS_EVENTS, SUSPENSE_EVENTS))
    }
    accounts = Account.objects.annotate(**newest).values_list(*newest)
    events = Event.objects.filter(id__in=[each for pair in accounts for each in pair if each])
    return [
        Warned(event.subject_id, event.at, _words(event))
        for event in events.filter(kind__in=(DIFFER, EXCEEDED)).order_by("-id")[:limit]
    ]


def _of(account: Any, kinds: Sequence[str]) -> Any:
    rows = Event.objects.filter(subject_type="account", subject_id=account, kind__in=kinds)
    return rows.order_by("-id")


def _words(event: Event) -> str:
    told = event.evidence
    if event.kind == DIFFER:
        first = told["differences"][0]
        return (
            f"Books and facts differ in {told['count']} numbers, such as {first['what']} of {first['subject']}:"
            " rebuild_books shows them."
        )
    worth = f"{told['value']} {told['currency']}"
    if told["without_value"]:
        worth += f" and {', '.join(told['without_value'])} of unknown value"
    return f"Unexplained: {worth}, allowed are {told['limit']}. Say what it was: Postings, or classify_transfer."
