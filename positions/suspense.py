"""What no fact explains: sold beyond everything held, or moved and not classified. It has a limit of its own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db.models import QuerySet

from exchanges.models import Account
from execution_project.common.actors import engine
from execution_project.common.events import record
from execution_project.common.money import plain
from positions.facts import in_effect, posting_facts
from positions.models import Holding, Posting, PostingKind
from positions.warnings import EXCEEDED, SUSPENSE_EVENTS, WITHIN, last_word


@dataclass(frozen=True, slots=True)
class Unexplained:
    """A quantity of an asset that nothing explains; negative when sold or gone, positive when it came in.

    ``value`` in the reporting currency, signed likewise; None while a rate is missing. ``posting`` None: sold beyond
    everything held.
    """

    account: Account
    asset: str
    quantity: Decimal
    value: Decimal | None
    posting: Posting | None


def oversold(account: Account) -> dict[str, Decimal]:
    """By asset, how much was sold beyond everything held (positive)."""
    rows = Holding.objects.filter(account=account, in_suspense=True, quantity__lt=0)
    return {asset: -quantity for asset, quantity in rows.values_list("asset", "quantity")}


def unclassified(accounts: Iterable[Account] | None = None) -> QuerySet[Posting]:
    """Transfers in effect that nobody has classified yet, oldest first; ``accounts``: of these alone."""
    rows = Posting.objects.filter(in_effect(), kind=PostingKind.TRANSFER).select_related("account")
    if accounts is not None:
        rows = rows.filter(account__in=list(accounts))
    return rows.order_by("effective_at", "id")


def unexplained(account: Account) -> list[Unexplained]:
    """Everything in suspense: oversold holdings and unclassified transfers."""
    rows = Holding.objects.filter(account=account, in_suspense=True, quantity__lt=0).order_by("asset")
    found = [Unexplained(account, row.asset, row.quantity, None if row.pending else row.cost, None) for row in rows]
    transfers = list(unclassified([account]))
    values = {fact.id: fact.move.value for fact in posting_facts(transfers)}
    found += [Unexplained(account, row.asset, row.amount, values[row.id], row) for row in transfers]
    return found


def check_suspense(account: Account) -> bool:
    """Whether what is in suspense exceeds its limit (EXEC_SUSPENSE_LIMIT, reporting currency); then it is recorded.

    What has no value known counts as beyond the limit. Called when something went into suspense.
    """
    evidence = _excess(account)
    if evidence is None:
        return False
    by = engine("booking", "more is unexplained than the limit of suspense allows")
    record(EXCEEDED, "account", account.name, by, evidence=evidence)
    return True


def recheck_suspense(account: Account) -> None:
    """Record that what was beyond the limit of suspense is within it again, if it is."""
    if last_word(account, SUSPENSE_EVENTS) == EXCEEDED and _excess(account) is None:
        record(WITHIN, "account", account.name, engine("booking", "what is unexplained is within its limit again"))


def _excess(account: Account) -> dict[str, Any] | None:
    """What is beyond the limit, None when nothing is."""
    items = unexplained(account)
    limit = Decimal(settings.EXEC_SUSPENSE_LIMIT)
    total = sum((abs(item.value) for item in items if item.value is not None), Decimal(0))
    unvalued = sorted({item.asset for item in items if item.value is None})
    if total <= limit and not unvalued:
        return None
    return {
        "limit": plain(limit),
        "value": plain(total),
        "currency": settings.EXEC_REPORTING_CURRENCY,
        "without_value": unvalued,
        "assets": {item.asset: plain(item.quantity) for item in items},
    }
