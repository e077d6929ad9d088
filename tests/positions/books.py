"""What tests of the books share: trades, marks, postings, and what the books say afterwards."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from exchanges.models import Account, Instrument
from exchanges.reports import Fee, TradeReport
from execution_project.common.locking import ordered
from execution_project.common.models import Strategy
from positions.booking import Booking, book_trades
from positions.models import Fill, Holding, Mark, PostingKind, RealisedPnl
from positions.posting import Movement, post
from tests.factories import BY, InstrumentFactory, trade_report

START = datetime(2026, 5, 1, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def mark(asset: str, price: str, seconds: float = 0, *, exchange: str = "binance") -> Mark:
    """What one unit was worth in USDT, kept so many seconds after the start."""
    at = after(seconds)
    return Mark.objects.create(
        mode="sandbox",
        exchange=exchange,
        asset=asset,
        currency="USDT",
        minute=at.replace(second=0, microsecond=0),
        at=at,
        bid=Decimal(price),
        mid=Decimal(price),
        quoted_at=at,
        path=[f"{exchange}:{asset}USDT:bid"],
    )


def pair(base: str, quote: str = "USDT") -> Instrument:
    return InstrumentFactory(base_asset=base, quote_asset=quote)


def trade(number: int, side: str, quantity: str, price: str, *fees: str, **values: Any) -> TradeReport:
    """Trade ``number``, made that many seconds after the start; fees like "0.001 BTC" or "0.2 TRY tax"."""
    paid = [fee.split() for fee in fees]
    deductions = tuple(Fee(words[1], Decimal(words[0]), *words[2:]) for words in paid)
    values.setdefault("traded_at", after(number))
    return trade_report(str(number), quantity, price, fees=deductions, side=side, **values)


def book(account: Account, on: Instrument, *trades: TradeReport, strategy: Strategy | None = None) -> list[Fill]:
    with ordered() as locks:
        return book_trades(locks, account, [Booking(each, on, None, strategy, "client-1") for each in trades])


def posted(account: Account, kind: str, asset: str, amount: str, *, seconds: float = 0, **values: Any) -> Any:
    """A movement without a trade, so many seconds after the start."""
    movement = Movement(PostingKind(kind), asset, Decimal(amount), "test", effective_at=after(seconds), **values)
    with ordered() as locks:
        return post(locks, account, [movement], by=BY)[0]


def text(value: Decimal | None) -> str:
    return "-" if value is None else format(value.normalize() + 0, "f")


def held(account: Account, asset: str, strategy: Strategy | None = None) -> tuple[str, ...]:
    """(quantity, cost, average cost, realised) of a holding."""
    row = Holding.objects.get(account=account, asset=asset, strategy=strategy, in_suspense=False)
    return text(row.quantity), text(row.cost), text(row.average_cost), text(row.realised_pnl)


def suspense(account: Account, asset: str) -> tuple[str, str]:
    """(quantity, proceeds as negative cost) of what was sold beyond everything held."""
    row = Holding.objects.get(account=account, asset=asset, in_suspense=True)
    return text(row.quantity), text(row.cost)


def everything(account: Account) -> dict[str, Any]:
    """All that the projections say, to compare two ways to the same facts."""
    holdings = Holding.objects.filter(account=account).exclude(
        quantity=0, cost=0, realised_pnl=0, currency_effect=0, pending=0
    )
    names = ("asset", "strategy__name", "in_suspense", "quantity", "cost", "average_cost", "realised_pnl")
    realised = RealisedPnl.objects.filter(account=account).order_by("asset", "moment", "strategy__name", "cost")
    positions = account.position_set.order_by("instrument__symbol", "strategy__name")
    of_position = ("net_quantity", "cost", "average_price", "realised_pnl", "fees_valued", "fees_in_quote", "moment")
    return {
        "holdings": sorted(holdings.values_list(*names, "currency_effect", "pending"), key=str),
        "realised": list(realised.values_list("asset", "strategy__name", "quantity", "proceeds", "cost", "realised")),
        "positions": list(positions.values_list("instrument__symbol", *of_position, "fill_count", "last_trade_id")),
        "ledger": sorted(
            account.ledgerentry_set.values_list("asset", "book", "amount", "kind", "fill__trade_id"), key=str
        ),
    }
