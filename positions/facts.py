"""Facts as the folds read them: fills as they stand after corrections, with their rates, and postings in effect.

One asset or one position at a time, in the order of their moments, in pages: history of any length can be folded.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import Q

from exchanges.models import Instrument
from exchanges.reports import Fee
from positions.accounting import Leg, fees_valued, legs_of_fill
from positions.costing import Move, moves_of_fill, moves_of_posting, rates_needed
from positions.models import BookedRate, Fill, FillCorrection, LedgerEntry, Posting
from positions.moments import moment_of_posting, moment_of_trade

PAGE = 2000


@dataclass(frozen=True, slots=True)
class FillFact:
    """A fill as it stands now; a busted one has quantities of zero."""

    id: UUID
    moment: str
    at: datetime
    account_id: int
    instrument_id: int
    strategy_id: int | None
    base: str
    quote: str
    side: str
    price: Decimal
    quantity: Decimal
    quote_quantity: Decimal
    fees: tuple[Fee, ...]
    rates: dict[str, Decimal]
    trade_id: str

    def moves(self) -> list[Move]:
        """What it does to each asset."""
        if not self.quantity:
            return []
        return moves_of_fill(
            self.side,
            self.base,
            self.quote,
            self.quantity,
            self.quote_quantity,
            self.fees,
            self.rates,
            settings.EXEC_REPORTING_CURRENCY,
        )

    def needs(self) -> set[str]:
        """The assets whose rates value it."""
        if not self.quantity:
            return set()
        return rates_needed(self.base, self.quote, self.fees, settings.EXEC_REPORTING_CURRENCY)

    def legs(self) -> list[Leg]:
        """Its legs in the ledger."""
        if not self.quantity:
            return []
        return legs_of_fill(self.side, self.base, self.quote, self.quantity, self.quote_quantity, self.fees)

    @property
    def fee_in_quote(self) -> Decimal:
        """What was paid in the quote asset."""
        return sum((fee.amount for fee in self.fees if fee.asset == self.quote), Decimal(0))

    @property
    def fee_valued(self) -> Decimal | None:
        """All fees in the quote asset; None while a rate is missing."""
        return fees_valued(self.base, self.quote, self.price, self.fees, self.rates, settings.EXEC_REPORTING_CURRENCY)


@dataclass(frozen=True, slots=True)
class PostingFact:
    """A posting in effect."""

    id: UUID
    moment: str
    at: datetime
    asset: str
    move: Move


@dataclass(frozen=True, slots=True)
class Step:
    """One move of one asset by one fact, where it stands and for whom."""

    moment: str
    at: datetime
    move: Move
    strategy_id: int | None
    fill_id: UUID | None = None
    posting_id: UUID | None = None
    instrument_id: int | None = None


def fees_of(fill: Fill | FillCorrection) -> tuple[Fee, ...]:
    """The fill's fees as values."""
    return tuple(Fee(fee["asset"], Decimal(fee["amount"]), fee["kind"]) for fee in fill.fees)


def fill_facts(fills: Sequence[Fill], pairs: dict[int, Instrument] | None = None) -> list[FillFact]:
    """Stored fills as facts, by moment: three statements for any number of them."""
    ids = [fill.id for fill in fills]
    rates: dict[UUID, dict[str, Decimal]] = defaultdict(dict)
    known = BookedRate.objects.filter(fill__in=ids, currency=settings.EXEC_REPORTING_CURRENCY)
    for fill_id, asset, price in known.values_list("fill_id", "asset", "price"):
        rates[fill_id][asset] = price
    # The newest correction of a fill comes last and stays.
    corrections = {row.fill_id: row for row in FillCorrection.objects.filter(fill__in=ids).order_by("id")}
    if pairs is None:
        pairs = Instrument.objects.in_bulk({fill.instrument_id for fill in fills})
    facts = []
    for fill in fills:
        stands: Fill | FillCorrection = corrections.get(fill.id, fill)
        pair = pairs[fill.instrument_id]
        facts.append(
            FillFact(
                fill.id,
                moment_of_trade(fill.traded_at, fill.trade_id, fill.exchange_order_id, fill.instrument_id),
                fill.traded_at,
                fill.account_id,
                fill.instrument_id,
                fill.strategy_id,
                pair.base_asset,
                pair.quote_asset,
                fill.side,
                stands.price,
                stands.quantity,
                stands.quote_quantity,
                fees_of(stands),
                rates[fill.id],
                fill.trade_id,
            )
        )
    return sorted(facts, key=lambda fact: fact.moment)


def taken_back(account_id: int, instrument_id: int) -> set[tuple[str, str]]:
    """Trade id and exchange order id of the fills on a pair that were busted and count for nothing."""
    rows = FillCorrection.objects.filter(fill__account_id=account_id, fill__instrument_id=instrument_id)
    # The newest correction of a fill comes last and stays.
    kinds = {
        (trade_id, exchange_order_id): kind
        for trade_id, exchange_order_id, kind in rows.order_by("id").values_list(
            "fill__trade_id", "fill__exchange_order_id", "kind"
        )
    }
    return {names for names, kind in kinds.items() if kind == "bust"}


def posting_facts(postings: Sequence[Posting]) -> list[PostingFact]:
    """Stored postings as facts, by moment."""
    currency = settings.EXEC_REPORTING_CURRENCY
    rates = dict(BookedRate.objects.filter(posting__in=postings, currency=currency).values_list("posting_id", "price"))
    facts = []
    for row in postings:
        value = row.value if row.currency == currency else None
        rate = Decimal(1) if row.asset == currency else rates.get(row.id)
        move = moves_of_posting(row.kind, row.asset, row.amount, row.network_fee, value, rate)
        facts.append(
            PostingFact(row.id, moment_of_posting(row.effective_at, row.id), row.effective_at, row.asset, move)
        )
    return sorted(facts, key=lambda fact: fact.moment)


def steps_of_fills(facts: Iterable[FillFact]) -> list[Step]:
    """Every move of these fills."""
    return [
        Step(fact.moment, fact.at, move, fact.strategy_id, fill_id=fact.id, instrument_id=fact.instrument_id)
        for fact in facts
        for move in fact.moves()
    ]


def steps_of_postings(facts: Iterable[PostingFact]) -> list[Step]:
    """Every move of these postings: of nobody's holding."""
    return [Step(fact.moment, fact.at, fact.move, None, posting_id=fact.id) for fact in facts]


def in_effect() -> Q:
    """Postings that count: not reversed, and no reversals."""
    return Q(reverses__isnull=True, reversed_by__isnull=True)


@dataclass(frozen=True, slots=True)
class Page:
    """Steps, and whether there may be more after them."""

    steps: list[Step]
    is_last: bool


def steps_after(
    account_id: int, asset: str, moment: str, at: datetime | None, *, until: datetime | None = None, page: int = PAGE
) -> Page:
    """The next steps of one asset in one account after ``moment``, whose time is ``at``, in their order.

    At most about ``page``: facts of one time are never torn apart. ``until``: facts up to that time alone.
    """
    entries = LedgerEntry.objects.filter(account_id=account_id, asset=asset, book="exchange")
    entries = _between(entries, "effective_at", at, until)
    times = list(entries.order_by("effective_at").values_list("effective_at", flat=True)[: page + 1])
    is_last = len(times) <= page
    if not is_last and times[-1] == at:
        return steps_after(account_id, asset, moment, at, until=until, page=2 * page)
    end = until if is_last else times[-1]
    entries = _between(entries, "effective_at", None, end)
    fills = Fill.objects.filter(pk__in=entries.filter(fill__isnull=False).values("fill_id"))
    postings = Posting.objects.filter(in_effect(), pk__in=entries.filter(posting__isnull=False).values("posting_id"))
    steps = steps_of_fills(fill_facts(list(fills))) + steps_of_postings(posting_facts(list(postings)))
    wanted = [step for step in steps if step.move.asset == asset and step.moment > moment]
    return Page(sorted(wanted, key=lambda step: step.moment), is_last)


def fills_after(
    account_id: int,
    instrument_id: int,
    strategy_id: int | None,
    moment: str,
    at: datetime | None,
    *,
    until: datetime | None = None,
    page: int = PAGE,
) -> tuple[list[FillFact], bool]:
    """The next fills of one position after ``moment``, and whether they are the last; otherwise as ``steps_after``."""
    rows = Fill.objects.filter(account_id=account_id, instrument_id=instrument_id, strategy=strategy_id)
    rows = _between(rows, "traded_at", at, until)
    times = list(rows.order_by("traded_at").values_list("traded_at", flat=True)[: page + 1])
    is_last = len(times) <= page
    if not is_last and times[-1] == at:
        return fills_after(account_id, instrument_id, strategy_id, moment, at, until=until, page=2 * page)
    rows = _between(rows, "traded_at", None, until if is_last else times[-1])
    facts = [fact for fact in fill_facts(list(rows)) if fact.moment > moment]
    return facts, is_last


def _between(rows: Any, column: str, start: datetime | None, end: datetime | None) -> Any:
    if start is not None:
        rows = rows.filter(**{f"{column}__gte": start})
    return rows if end is None else rows.filter(**{f"{column}__lte": end})
