"""The statement of realised profits, by average cost (the stored disposals) or first in, first out (folded anew).

Both methods move the same values, so what they realised less what is left in cost is the same; the last rows say both.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from itertools import islice
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from exchanges.models import Account, Instrument
from execution_project.common.models import Strategy
from execution_project.common.problems import Problem
from positions.aggregates import plus
from positions.as_of import holdings_at
from positions.costing import CURRENCIES
from positions.facts import Page, Step, steps_after
from positions.fifo import LotDisposal, Lots
from positions.models import Fill, Holding, Inventory, Posting, RealisedPnl
from positions.moments import BEGINNING, moment_at
from positions.statement_parts import PAGE, Part, Row, Statement, last_moment, period

ZERO = Decimal(0)
FOLDED_A_MINUTE = 20_000
"""Facts that are folded anew in a minute, at the least, on a small machine that does other work too."""
COLUMNS = (
    *("row", "account", "mode", "exchange", "asset", "strategy", "at", "kind", "symbol", "trade_id", "order_id"),
    *("reference", "acquired_at", "quantity", "proceeds", "cost", "realised", "currency_effect", "pending"),
)


@dataclass(slots=True)
class _Totals:
    """Sums per mode, and per account and asset what is left with its cost (None: a rate is missing)."""

    realised: dict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    effect: dict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    pending: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    held: dict[tuple[Account, str], tuple[Decimal, Decimal | None]] = field(default_factory=dict)

    def count(self, mode: str, realised: Decimal | None, effect: Decimal | None, is_pending: bool) -> None:
        """Add one disposal."""
        self.realised[mode] += realised or ZERO
        self.effect[mode] += effect or ZERO
        self.pending[mode] += is_pending

    def rows(self) -> Iterator[Row]:
        """What is left, then a total per mode."""
        cost: dict[str, Decimal | None] = defaultdict(Decimal)
        for (account, asset), (quantity, left) in sorted(
            self.held.items(), key=lambda item: (item[0][0].name, item[0][1])
        ):
            cost[account.mode] = plus(cost[account.mode], left)
            if quantity or left != 0:
                yield {"row": "held", **_where(account, asset), "quantity": quantity, "cost": left}
        for mode in sorted({*self.realised, *cost}):
            yield {
                "row": "total",
                "mode": mode,
                "cost": cost[mode],
                "realised": self.realised[mode],
                "currency_effect": self.effect[mode],
                "pending": self.pending[mode],
            }


def _disposals(statement: Statement) -> QuerySet[RealisedPnl]:
    return RealisedPnl.objects.filter(**period(statement, "at"))


def _inventories(statement: Statement) -> list[tuple[Account, str]]:
    """Every account and asset that was ever booked before the end."""
    accounts = {account.pk: account for account in statement.accounts}
    entries = Holding.objects.filter(account__in=accounts).values_list("account_id", "asset").distinct()
    return sorted(((accounts[pk], asset) for pk, asset in entries), key=lambda pair: (pair[0].name, pair[1]))


def count_parts(statement: Statement) -> int:
    """Pages of disposals, or assets whose lots are folded; and the totals."""
    if statement.wanted.method == "fifo":
        return len(_inventories(statement)) + 1
    return -(-_disposals(statement).count() // PAGE) + 1


def read(statement: Statement) -> Iterator[Part]:
    """Disposals by account, asset and moment, then what is left, then the totals."""
    totals = _Totals()
    if statement.wanted.method == "fifo":
        for account, asset in _inventories(statement):
            yield _lots(statement, account, asset, totals)
    else:
        yield from _averages(statement, totals)
    yield totals.rows()


def refuse_while_restating(accounts: Sequence[Account], end: datetime) -> None:
    """Raises ``Problem`` (409) while disposals before ``end`` are being folded anew: their sum is of no moment."""
    waiting = Inventory.objects.filter(account__in=accounts, restating=True, restate_after__lt=moment_at(end))
    rows = list(waiting.select_related("account").order_by("account__name", "asset"))
    if not rows:
        return
    minutes = 1 + sum(row.fact_count for row in rows) // FOLDED_A_MINUTE
    names = ", ".join(f"{row.asset} on {row.account.name}" for row in rows[:10])
    detail = (
        f"A late fact came in and profits are being folded anew: {names}{' and more' if len(rows) > 10 else ''}. Ask"
        f" again in {minutes} {'minute' if minutes == 1 else 'minutes'}, or by fifo, which reads the facts themselves."
    )
    raise Problem(409, "BOOKS_RESTATING", detail)


def _averages(statement: Statement, totals: _Totals) -> Iterator[Part]:
    # Once more, in the picture that is read.
    refuse_while_restating(statement.accounts, last_moment(statement))
    related = ("account", "strategy", "instrument", "fill", "posting")
    rows = _disposals(statement).select_related(*related).order_by("account__name", "asset", "moment", "id")
    disposals = rows.iterator(chunk_size=PAGE)
    while chunk := list(islice(disposals, PAGE)):
        yield _page(chunk, totals)
    accounts = [account.pk for account in statement.accounts]
    holdings = list(Holding.objects.filter(account__in=accounts).select_related("account"))
    for holding in holdings_at(holdings, last_moment(statement)):
        key = (holding.account, holding.asset)
        quantity, cost = totals.held.get(key, (ZERO, ZERO))
        totals.held[key] = (quantity + holding.quantity, plus(cost, None if holding.pending else holding.cost))


def _page(chunk: Sequence[RealisedPnl], totals: _Totals) -> Iterator[Row]:
    for row in chunk:
        totals.count(row.account.mode, row.realised, row.currency_effect, row.is_pending)
        yield {
            "row": "disposal",
            **_where(row.account, row.asset),
            **_what(row.fill, row.posting, row.instrument),
            "strategy": None if row.strategy is None else row.strategy.name,
            "at": row.at,
            "quantity": row.quantity,
            "proceeds": row.proceeds,
            "cost": row.cost,
            "realised": None if row.is_pending else row.realised,
            "currency_effect": row.currency_effect,
            "pending": int(row.is_pending),
        }


def _lots(statement: Statement, account: Account, asset: str, totals: _Totals) -> Iterator[Row]:
    """Fold the lots of one asset from the beginning; only disposals of the period become rows."""
    lots, start, until = Lots(), statement.wanted.start, last_moment(statement)
    moment, at = BEGINNING, None
    page = Page([], False)
    while not page.is_last:
        page = steps_after(account.pk, asset, moment, at, until=until)
        named = _Names(page.steps)
        for step in page.steps:
            moment, at = step.moment, step.at
            for disposal in lots.apply(step.move, step.at, step.fill_id or step.posting_id):
                if start is None or step.at >= start:
                    yield _row(account, asset, step, disposal, named, totals)
    known = all(lot.cost is not None for lot in (*lots.open, *lots.unexplained))
    totals.held[account, asset] = (lots.quantity, lots.cost if known else None)


def _row(account: Account, asset: str, step: Step, disposal: LotDisposal, named: _Names, totals: _Totals) -> Row:
    paid = step.move.role == "quote" and asset in CURRENCIES
    effect = (disposal.realised or ZERO) if paid else ZERO
    is_pending = disposal.realised is None
    totals.count(account.mode, disposal.realised, effect, is_pending)
    strategy = named.strategies.get(step.strategy_id or 0)
    return {
        "row": "disposal",
        **_where(account, asset),
        **_what(
            named.fills.get(step.fill_id), named.postings.get(step.posting_id), named.pairs.get(step.instrument_id or 0)
        ),
        "strategy": None if strategy is None else strategy.name,
        "at": step.at,
        "acquired_at": disposal.acquired_at,
        "quantity": disposal.quantity,
        "proceeds": disposal.proceeds,
        "cost": disposal.cost,
        "realised": disposal.realised,
        "currency_effect": effect,
        "pending": int(is_pending),
    }


class _Names:
    """What the steps of a page are called: four statements."""

    def __init__(self, steps: Sequence[Step]) -> None:
        fills = Fill.objects.in_bulk({step.fill_id for step in steps if step.fill_id is not None})
        postings = Posting.objects.in_bulk({step.posting_id for step in steps if step.posting_id is not None})
        self.fills: dict[UUID | None, Fill] = {**fills}
        self.postings: dict[UUID | None, Posting] = {**postings}
        self.pairs = Instrument.objects.in_bulk({s.instrument_id for s in steps if s.instrument_id is not None})
        self.strategies = Strategy.objects.in_bulk({s.strategy_id for s in steps if s.strategy_id is not None})


def _where(account: Account, asset: str) -> dict[str, Any]:
    return {"account": account.name, "mode": account.mode, "exchange": account.exchange, "asset": asset}


def _what(fill: Fill | None, posting: Posting | None, pair: Instrument | None) -> dict[str, Any]:
    return {
        "kind": "trade" if posting is None else posting.kind,
        "symbol": None if pair is None else pair.symbol,
        "trade_id": None if fill is None else fill.trade_id,
        "order_id": None if fill is None or fill.order_id is None else str(fill.order_id),
        "reference": None if posting is None else posting.reference,
    }
