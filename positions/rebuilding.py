"""The books recomputed from the facts alone, and compared with what is stored to the last digit.

One subject at a time (the holdings of an asset, or a position), page by page, so that whoever watches sees it move. A
difference is a defect of ours or a change behind the engine's back; nothing is repaired unasked.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.db import connection, transaction
from django.db.models import Count, QuerySet, Sum

from exchanges.models import Account
from execution_project.common.actors import Actor
from execution_project.common.events import record
from execution_project.common.locking import ordered
from execution_project.common.money import plain
from execution_project.common.rights import Right
from positions.costing import Holder, InventoryState
from positions.facts import PAGE, fills_after, steps_after
from positions.folding import Folding, fold_anew, lock_inventories, restate_piece
from positions.models import (
    Allocation,
    Fill,
    Holding,
    HoldingCheckpoint,
    Inventory,
    LedgerEntry,
    Position,
    PositionCheckpoint,
    RealisedPnl,
)
from positions.moments import BEGINNING
from positions.position_folding import PositionFolding, fold_positions_anew, restate_position_piece, state_of
from positions.warnings import AGREE, BOOKS_EVENTS, DIFFER, last_word

LONGEST = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Subject:
    """What is folded by itself: the holdings of an asset, or the position of an instrument and a strategy."""

    account: Account
    asset: str = ""
    position: Position | None = None
    pages: int = 1

    @property
    def name(self) -> str:
        """How it is called in findings and chores."""
        if self.position is None:
            return f"holding {self.account.name} {self.asset}"
        return f"position {self.account.name} {self.position.pk}"


@dataclass(frozen=True, slots=True)
class Difference:
    """Something stored that the facts do not say."""

    subject: Subject
    what: str
    stored: str
    rebuilt: str


def subjects_of(accounts: Sequence[Account]) -> list[Subject]:
    """Everything that is folded for these accounts, whether rows or facts of it are left or both."""
    found = []
    for account in accounts:
        counts = dict(Inventory.objects.filter(account=account).values_list("asset", "fact_count"))
        assets = set(counts) | set(Holding.objects.filter(account=account).values_list("asset", flat=True))
        assets |= set(LedgerEntry.objects.filter(account=account).values_list("asset", flat=True).distinct())
        found += [Subject(account, asset, pages=counts.get(asset, 0) // PAGE + 1) for asset in sorted(assets)]
        for row in Position.objects.filter(account=account).order_by("pk"):
            found.append(Subject(account, position=row, pages=row.fill_count // PAGE + 1))
    return found


@contextmanager
def _one_moment(within: timedelta) -> Iterator[None]:
    """Everything read inside is of one moment, while the engine goes on booking; no statement takes longer."""
    if connection.in_atomic_block:
        yield
        return
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            cursor.execute(f"SET LOCAL statement_timeout = '{within // timedelta(milliseconds=1)}ms'")
        yield


def check_subject(
    subject: Subject, *, page_done: Callable[[], object] = lambda: None, within: timedelta = LONGEST
) -> list[Difference]:
    """Recompute one subject and compare; ``page_done`` is called ``subject.pages`` times at the most, and may raise to
    give up. ``within``: the longest that one statement may take; raises ``OperationalError`` beyond it."""
    with _one_moment(within):
        if subject.position is None:
            return _check_holdings(subject, page_done)
        return _check_position(subject, page_done)


def check_ledger(account: Account, *, within: timedelta = LONGEST) -> list[Difference]:
    """Whether the legs of each fact, and all legs of each asset, sum to zero, and every fill has legs.

    ``within``: the longest that it may take; raises ``OperationalError`` beyond it.
    """
    # Three statements share the time.
    with _one_moment(within / 3):
        return _check_ledger(account)


def _check_ledger(account: Account) -> list[Difference]:
    subject = Subject(account, "ledger")
    entries = LedgerEntry.objects.filter(account=account)
    found = []
    for asset, rest in entries.values_list("asset").annotate(rest=Sum("amount")).exclude(rest=0).order_by("asset"):
        found.append(Difference(subject, f"legs in {asset}", plain(rest), "0"))
    facts = entries.values_list("fill_id", "posting_id", "asset").annotate(rest=Sum("amount")).exclude(rest=0)
    for fill_id, posting_id, asset, rest in facts.order_by("fill_id", "posting_id")[:100]:
        found.append(Difference(subject, f"legs of {fill_id or posting_id} in {asset}", plain(rest), "0"))
    without = Fill.objects.filter(account=account, ledgerentry__isnull=True).values_list("id", flat=True)[:100]
    found += [Difference(subject, f"fill {fill_id}", "no legs", "legs") for fill_id in without]
    return found


def _check_holdings(subject: Subject, page_done: Callable[[], object]) -> list[Difference]:
    row = Inventory.objects.filter(account=subject.account, asset=subject.asset).first()
    if row is not None and row.restating:
        return []
    kept = dict(_checkpoints(subject).values_list("moment", "state"))
    folding = Folding(subject.account.pk, subject.asset, InventoryState())
    sums: dict[str, Decimal] = defaultdict(Decimal)
    differences: list[Difference] = []
    while True:
        page = steps_after(folding.account_id, folding.asset, folding.moment, folding.at)
        folding.add(page.steps)
        differences += [
            Difference(subject, f"checkpoint {made.moment}", "other numbers", "these")
            for made in folding.checkpoints
            if made.moment in kept and kept[made.moment] != made.state
        ]
        for realised in folding.realised:
            for name in ("quantity", "proceeds", "cost", "realised", "currency_effect"):
                sums[f"realised {name}"] += getattr(realised, name)
        for taken in folding.taken:
            sums["taken quantity"] += taken.quantity
            sums["taken cost"] += taken.cost
        sums["disposals"] += len(folding.realised)
        sums["takings"] += len(folding.taken)
        folding.realised, folding.taken, folding.checkpoints = [], [], []
        page_done()
        if page.is_last:
            break
    # One that a piece of a restatement ended at is at no round number, and folds on all the same.
    differences += _compare_holdings(subject, folding.state)
    moment, count = (BEGINNING, 0) if row is None else (row.moment, row.fact_count)
    differences += _differing(subject, "last fact", moment, folding.moment)
    differences += _differing(subject, "facts", count, folding.count)
    differences += _compare_sums(subject, sums)
    return differences


def _compare_holdings(subject: Subject, state: InventoryState) -> list[Difference]:
    stored = {
        (row.strategy_id, row.in_suspense): row
        for row in Holding.objects.filter(account=subject.account, asset=subject.asset)
    }
    rebuilt = {(strategy, False): holder for strategy, holder in state.holders.items()}
    rebuilt[None, True] = state.suspense
    differences = []
    for key in sorted(stored.keys() | rebuilt.keys(), key=str):
        row, holder = stored.get(key), rebuilt.get(key, Holder())
        whose = "in suspense" if key[1] else f"of strategy {key[0]}" if key[0] else "unallocated"
        numbers: dict[str, tuple[Any, Any]] = {
            "quantity": (row.quantity if row else 0, holder.quantity),
            "cost": (row.cost if row else 0, holder.cost),
            "average cost": (row.average_cost if row else None, holder.average),
            "realised": (row.realised_pnl if row else 0, holder.realised),
            "currency effect": (row.currency_effect if row else 0, holder.currency_effect),
            "pending": (row.pending if row else 0, holder.pending),
        }
        for name, (has, should) in numbers.items():
            differences += _differing(subject, f"{name} {whose}", has, should)
    ledger = LedgerEntry.objects.filter(account=subject.account, asset=subject.asset, book="exchange")
    balance = ledger.aggregate(sum=Sum("amount"))["sum"] or Decimal(0)
    return differences + _differing(subject, "ledger", balance, state.balance)


def _compare_sums(subject: Subject, sums: dict[str, Decimal]) -> list[Difference]:
    rows = RealisedPnl.objects.filter(account=subject.account, asset=subject.asset)
    names = ("quantity", "proceeds", "cost", "realised", "currency_effect")
    stored = rows.aggregate(count=Count("id"), **{f"sum_{name}": Sum(name) for name in names})
    differences = _differing(subject, "disposals", stored["count"], sums["disposals"])
    for name in names:
        differences += _differing(subject, f"realised {name}", stored[f"sum_{name}"] or 0, sums[f"realised {name}"])
    taken = Allocation.objects.filter(account=subject.account, asset=subject.asset).aggregate(
        count=Count("id"), quantity=Sum("quantity"), total=Sum("cost")
    )
    differences += _differing(subject, "takings", taken["count"], sums["takings"])
    differences += _differing(subject, "taken quantity", taken["quantity"] or 0, sums["taken quantity"])
    return differences + _differing(subject, "taken cost", taken["total"] or 0, sums["taken cost"])


def _check_position(subject: Subject, page_done: Callable[[], object]) -> list[Difference]:
    assert subject.position is not None  # noqa: S101  the caller looked
    row = Position.objects.get(pk=subject.position.pk)
    if row.restating:
        return []
    of_row = PositionCheckpoint.objects.filter(
        account_id=row.account_id, instrument_id=row.instrument_id, strategy=row.strategy_id
    )
    kept = dict(of_row.values_list("moment", "state"))
    folding = PositionFolding()
    differences: list[Difference] = []
    while True:
        fills, is_last = fills_after(row.account_id, row.instrument_id, row.strategy_id, folding.moment, folding.at)
        folding.add(fills)
        for moment, _, _, document in folding.checkpoints:
            if moment in kept and kept[moment] != document:
                differences.append(Difference(subject, f"checkpoint {moment}", "other numbers", "these"))
        folding.checkpoints = []
        page_done()
        if is_last:
            break
    stored, state = state_of(row), folding.state
    names = ("net_quantity", "cost", "realised_pnl", "fees_in_quote", "fees_valued", "bought_quantity", "sold_quantity")
    for name in (*names, "pending"):
        differences += _differing(subject, name, getattr(stored, name), getattr(state, name))
    differences += _differing(subject, "average price", row.average_price, state.average_price)
    differences += _differing(subject, "fills", row.fill_count, folding.count)
    return differences + _differing(subject, "last fill", row.moment, folding.moment)


def _differing(subject: Subject, what: str, stored: Any, rebuilt: Any) -> list[Difference]:
    if stored == rebuilt:
        return []
    return [Difference(subject, what, _text(stored), _text(rebuilt))]


def _text(value: Any) -> str:
    return plain(value) if isinstance(value, Decimal) else str(value)


def _checkpoints(subject: Subject) -> QuerySet[HoldingCheckpoint]:
    return HoldingCheckpoint.objects.filter(account=subject.account, asset=subject.asset)


def tell_differences(account: Account, differences: Sequence[Difference], *, by: Actor) -> None:
    """Record that stored numbers and facts differ, or that they agree again: whoever watches events is alarmed.

    ``differences``: what a check found; empty only when all of the account was checked.
    """
    if not differences:
        if last_word(account, BOOKS_EVENTS) == DIFFER:
            record(AGREE, "account", account.name, by)
        return
    found = [{"subject": d.subject.name, "what": d.what, "stored": d.stored, "rebuilt": d.rebuilt} for d in differences]
    record(DIFFER, "account", account.name, by, evidence={"count": len(found), "differences": found[:50]})


def rebuild(subject: Subject, *, by: Actor) -> None:
    """Replace what is stored of a subject by what its facts say, under its lock, and record it.

    The ledger itself is made of facts and is never rebuilt.
    """
    by.require(Right.MANAGE_ACCOUNTS)
    account, row = subject.account, subject.position
    with ordered() as locks:
        if row is None:
            lock_inventories(locks, account, [subject.asset])
            _checkpoints(subject).delete()
            fold_anew(locks, account, {subject.asset: BEGINNING})
        else:
            PositionCheckpoint.objects.filter(
                account_id=row.account_id, instrument_id=row.instrument_id, strategy=row.strategy_id
            ).delete()
            fold_positions_anew(locks, account, {(row.instrument_id, row.strategy_id): BEGINNING})
        record("books.rebuilt", "account", account.name, by, evidence={"subject": subject.name})
    more = True
    while more:
        with ordered() as locks:
            more = restate_piece(locks, account, subject.asset) if row is None else restate_position_piece(locks, row)
