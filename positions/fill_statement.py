"""The statement of fills: each as it stands after corrections, and per account and asset what they moved."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import ROUND_HALF_UP, Decimal
from itertools import islice

from django.conf import settings
from django.db.models import QuerySet

from execution_project.common.money import CONTEXT, QUANTUM
from positions.facts import FillFact, fill_facts
from positions.models import Fill, FillCorrection
from positions.statement_parts import PAGE, Part, Row, Statement, period

ZERO = Decimal(0)
COLUMNS = (
    *("row", "account", "mode", "exchange", "symbol", "strategy", "order_id", "exchange_order_id", "client_order_id"),
    *("trade_id", "traded_at", "booked_at", "side", "liquidity", "price", "quantity", "base_asset", "quote_quantity"),
    *("quote_asset", "fee", "fee_asset", "tax", "tax_asset", "fees_value", "correction", "asset", "moved"),
)


def _fills(statement: Statement) -> QuerySet[Fill]:
    return Fill.objects.filter(**period(statement, "traded_at"))


def count_parts(statement: Statement) -> int:
    """Pages of fills, and the totals."""
    return -(-_fills(statement).count() // PAGE) + 1


def read(statement: Statement) -> Iterator[Part]:
    """Fills by account and time, then the totals of each account and asset, which are the ledger's."""
    totals: dict[tuple[str, str], list[Decimal]] = {}
    rows = _fills(statement).select_related("account", "instrument", "strategy")
    fills = rows.order_by("account_id", "traded_at", "id").iterator(chunk_size=PAGE)
    while chunk := list(islice(fills, PAGE)):
        yield _page(chunk, totals)
    yield iter(
        {"row": "total", "account": account, "asset": asset, "moved": moved, "fee": fee, "tax": tax}
        for (account, asset), (moved, fee, tax) in sorted(totals.items())
    )


def _page(chunk: Sequence[Fill], totals: dict[tuple[str, str], list[Decimal]]) -> Iterator[Row]:
    facts = {fact.id: fact for fact in fill_facts(chunk, {fill.instrument_id: fill.instrument for fill in chunk})}
    corrections = FillCorrection.objects.filter(fill__in=list(facts)).order_by("id")
    kinds = dict(corrections.values_list("fill_id", "kind"))
    for fill in chunk:
        fact = facts[fill.id]
        for leg in fact.legs():
            sums = totals.setdefault((fill.account.name, leg.asset), [ZERO, ZERO, ZERO])
            for place, book in enumerate(("exchange", "fees", "tax")):
                if leg.book == book:
                    sums[place] += leg.amount
        yield _row(fill, fact, kinds.get(fill.id))


def _row(fill: Fill, fact: FillFact, correction: str | None) -> Row:
    fees = {"fee": [fee for fee in fact.fees if fee.kind != "tax"], "tax": [f for f in fact.fees if f.kind == "tax"]}
    paid = {
        # A trade has one fee and at most one tax; more than one asset for one of them is told apart by semicolons.
        name: (
            sum((fee.amount for fee in own), ZERO) if len({fee.asset for fee in own}) <= 1 else None,
            ";".join(dict.fromkeys(fee.asset for fee in own)),
        )
        for name, own in fees.items()
    }
    return {
        "row": "fill",
        "account": fill.account.name,
        "mode": fill.account.mode,
        "exchange": fill.account.exchange,
        "symbol": fill.instrument.symbol,
        "strategy": None if fill.strategy is None else fill.strategy.name,
        "order_id": None if fill.order_id is None else str(fill.order_id),
        "exchange_order_id": fill.exchange_order_id,
        "client_order_id": fill.client_order_id,
        "trade_id": fill.trade_id,
        "traded_at": fill.traded_at,
        "booked_at": fill.booked_at,
        "side": fill.side,
        "liquidity": None if fill.is_maker is None else "maker" if fill.is_maker else "taker",
        "price": fact.price,
        "quantity": fact.quantity,
        "base_asset": fact.base,
        "quote_quantity": fact.quote_quantity,
        "quote_asset": fact.quote,
        "fee": paid["fee"][0],
        "fee_asset": paid["fee"][1] or None,
        "tax": paid["tax"][0],
        "tax_asset": paid["tax"][1] or None,
        "fees_value": worth_of_fees(fact),
        "correction": correction,
    }


def worth_of_fees(fact: FillFact) -> Decimal | None:
    """All fees of a fill in the reporting currency, by the rule of ``positions.profits.worth_of_fee``; None while a
    rate is missing."""
    total = ZERO
    currency = settings.EXEC_REPORTING_CURRENCY
    for fee in fact.fees:
        rate: Decimal | None
        if fee.asset == currency:
            worth = fee.amount
        elif fee.asset == fact.quote and fact.base == currency:
            worth = CONTEXT.divide(fee.amount, fact.price)
        else:
            asset = fact.quote if fee.asset == fact.base else fee.asset
            rate = Decimal(1) if asset == currency else fact.rates.get(asset)
            if rate is None:
                return None
            worth = CONTEXT.multiply(fee.amount, rate)
            if fee.asset == fact.base:
                worth = CONTEXT.multiply(worth, fact.price)
        total += worth.quantize(QUANTUM, ROUND_HALF_UP, CONTEXT)
    return total
