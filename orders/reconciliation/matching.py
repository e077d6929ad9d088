"""A fill as it stands in the books and the exchange's word on the same trade, side by side."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal, localcontext

from django.conf import settings

from exchanges.models import Instrument
from exchanges.reports import Fee, TradeReport
from execution_project.common.money import CONTEXT, plain
from orders.models import BreakKind, Severity
from positions.facts import FillFact
from risk.reading import read_prices_of

OF_TRADES = (BreakKind.PRICE_MISMATCH, BreakKind.QTY_MISMATCH, BreakKind.FEE_MISMATCH)
"""Kinds that one trade may show."""
TOLERANCE: dict[BreakKind, Decimal] = dict.fromkeys(OF_TRADES, Decimal(0))
"""Up to how much may differ: quote per base, base, and units of the fee's asset (docs/risk-controls.md §4)."""
BLOCKS_ABOVE = Decimal(1)
"""A price difference worth more, in the reporting currency, keeps the exposure from growing."""


@dataclass(frozen=True, slots=True)
class TradeDifference:
    """In what a fill and its trade differ. ``difference`` = exchange − books, None where the assets differ."""

    kind: BreakKind
    expected: str
    observed: str
    difference: Decimal | None


def differences_between(fill: FillFact, trade: TradeReport) -> list[TradeDifference]:
    """Everything in which the two differ beyond the tolerance: price, side and quantity, fees. Pure.

    ``fill``: with its corrections. Of one that was taken back the whole trade is too much, whatever its price.
    """
    if not fill.quantity:
        expected, observed = "taken back", f"{trade.side} {plain(trade.quantity)}"
        return [TradeDifference(BreakKind.QTY_MISMATCH, expected, observed, trade.quantity)]
    found = []
    with localcontext(CONTEXT):
        if beyond(BreakKind.PRICE_MISMATCH, trade.price - fill.price):
            found.append(
                TradeDifference(
                    BreakKind.PRICE_MISMATCH, plain(fill.price), plain(trade.price), trade.price - fill.price
                )
            )
        more = trade.quantity - fill.quantity
        if trade.side != fill.side or beyond(BreakKind.QTY_MISMATCH, more):
            expected, observed = f"{fill.side} {plain(fill.quantity)}", f"{trade.side} {plain(trade.quantity)}"
            found.append(TradeDifference(BreakKind.QTY_MISMATCH, expected, observed, more))
        booked, told = _sums(fill.fees), _sums(trade.fees)
        zero = Decimal(0)
        if any(beyond(BreakKind.FEE_MISMATCH, told.get(leg, zero) - booked.get(leg, zero)) for leg in {*booked, *told}):
            one_asset = len({asset for asset, _ in (*booked, *told)}) == 1
            total = sum(told.values(), zero) - sum(booked.values(), zero)
            found.append(
                TradeDifference(BreakKind.FEE_MISMATCH, _words(booked), _words(told), total if one_asset else None)
            )
    return found


def beyond(kind: BreakKind, difference: Decimal) -> bool:
    """Whether a difference is more than is tolerated."""
    return abs(difference) > TOLERANCE[kind]


def severity_of(found: TradeDifference, fill: FillFact, instrument: Instrument) -> Severity:
    """How grave a difference is when it is found; age may make it graver (``orders.break_rules``)."""
    if found.kind is BreakKind.FEE_MISMATCH:
        return Severity.INFORMATIONAL
    if found.kind is not BreakKind.PRICE_MISMATCH or found.difference is None:
        return Severity.WARNING
    rate = _reporting_per_quote(instrument)
    if rate is None:
        return Severity.BLOCKING
    with localcontext(CONTEXT):
        worth = abs(found.difference) * fill.quantity * rate
    return Severity.BLOCKING if worth > BLOCKS_ABOVE else Severity.WARNING


def _reporting_per_quote(instrument: Instrument) -> Decimal | None:
    """Reporting currency per unit of the quote asset, by the best that is known, however old; None: nothing is."""
    if instrument.quote_asset == settings.EXEC_REPORTING_CURRENCY:
        return Decimal(1)
    price = read_prices_of(instrument).reporting
    return None if price is None else price.ask


def _sums(fees: Iterable[Fee]) -> dict[tuple[str, str], Decimal]:
    """Amounts by asset and kind, without zeros."""
    sums: dict[tuple[str, str], Decimal] = {}
    for fee in fees:
        sums[fee.asset, fee.kind] = sums.get((fee.asset, fee.kind), Decimal(0)) + fee.amount
    return {leg: amount for leg, amount in sums.items() if amount}


def _words(sums: dict[tuple[str, str], Decimal]) -> str:
    return ", ".join(f"{plain(amount)} {asset} {kind}" for (asset, kind), amount in sorted(sums.items())) or "none"
