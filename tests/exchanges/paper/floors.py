"""A paper account, its market, and a clock that stands still: what the tests of the paper exchange trade in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from exchanges.models import Account, Instrument, Mode, PaperAccount, PaperBalance, PaperOrder, PublicPrint
from exchanges.paper.engine import Floor, advance, floor_of
from exchanges.paper.rules import Asked
from exchanges.quotes import Levels20, store_books
from execution_project.common import clock
from execution_project.common.money import plain
from tests.factories import AccountFactory, InstrumentFactory

D = Decimal
START = datetime(2026, 1, 5, 12, tzinfo=UTC)
Pairs = tuple[tuple[str, str], ...]
BIDS: Pairs = (("99", "2"), ("98", "5"))
ASKS: Pairs = (("101", "1"), ("102", "2"), ("103", "3"))
FILTERS = {
    "LOT_SIZE": {"minQty": "0.001", "maxQty": "9000", "stepSize": "0.001"},
    "PRICE_FILTER": {"minPrice": "0.01", "maxPrice": "1000000", "tickSize": "0.01"},
    "NOTIONAL": {"minNotional": "5", "applyMinToMarket": True},
}


class Venue:
    """One paper account with balances, and the market of one pair."""

    def __init__(self, exchange: str = "binance", quote: str = "USDT", **terms: Any) -> None:
        self.clock = clock.ManualClock(START)
        self.account: Account = AccountFactory(exchange=exchange, mode=Mode.PAPER, rest_url="")
        rates = {"maker_rate": "0.001", "taker_rate": "0.001"} if exchange == "binance" else {}
        rates = rates or {"maker_rate": "0.0005", "taker_rate": "0.001", "tax_rate": "0.2"}
        quiet = {"submit_ms": 0, "ack_ms": 0, "cancel_ms": 0, "jitter_ms": 0}
        PaperAccount.objects.create(account=self.account, **{**rates, **quiet, **terms})
        self.pair: Instrument = InstrumentFactory(
            exchange=exchange, mode=Mode.PAPER, base_asset="BTC", quote_asset=quote, filters=deepcopy(FILTERS)
        )
        for asset, amount in ((quote, "1000"), ("BTC", "10")):
            PaperBalance.objects.create(account=self.account, asset=asset, free=D(amount))
        self._ids = 0
        self.show()

    def show(self, bids: Pairs = BIDS, asks: Pairs = ASKS, pair: Instrument | None = None) -> None:
        """Let the market show this book now."""

        def levels(pairs: Pairs) -> tuple[tuple[Decimal, Decimal], ...]:
            return tuple((D(price), D(size)) for price, size in pairs)

        store_books([Levels20((pair or self.pair).pk, levels(bids), levels(asks), self.clock.now())])

    def trade(self, price: str, quantity: str, aggressor: str) -> None:
        """Let others trade."""
        PublicPrint.objects.create(
            instrument=self.pair, price=price, quantity=quantity, aggressor=aggressor, traded_at=self.clock.now()
        )

    def pass_ms(self, milliseconds: int) -> None:
        """Let time pass."""
        self.clock.advance(timedelta(milliseconds=milliseconds))

    @contextmanager
    def open(self) -> Iterator[Floor]:
        """The account's floor on the clock of this venue."""
        with clock.using(self.clock), floor_of(self.account) as floor:
            yield floor

    def place(
        self, side: str, type_: str, quantity: str | None = None, price: str | None = None, **more: Any
    ) -> PaperOrder:
        """Place; the order as it is then. Raises what the floor raises."""
        self._ids += 1
        sizes = {name: D(value) for name, value in more.items() if name in {"quote_quantity", "stop_price"}}
        default = "GTC" if type_ in {"LIMIT", "STOP_LOSS_LIMIT"} else ""
        asked = Asked(
            symbol=self.pair.symbol,
            side=side,
            type=type_,
            client_order_id=more.get("client_order_id", f"c{self._ids}"),
            quantity=None if quantity is None else D(quantity),
            quote_quantity=sizes.get("quote_quantity"),
            price=None if price is None else D(price),
            stop_price=sizes.get("stop_price"),
            time_in_force=more.get("tif", default),
        )
        with self.open() as floor:
            order = floor.place(asked)
        return self.now(order)

    def cancel(self, order: PaperOrder) -> PaperOrder:
        """Cancel; the order as it is then."""
        with self.open() as floor:
            floor.cancel(self.pair.symbol, order.client_order_id, str(order.number))
        return self.now(order)

    def tick(self) -> None:
        """Let the account's orders meet the market."""
        with clock.using(self.clock):
            advance(self.account)

    def now(self, order: PaperOrder) -> PaperOrder:
        """The order as it is stored."""
        return PaperOrder.objects.get(pk=order.pk)

    def fills(self, order: PaperOrder) -> list[tuple[str, str, str, bool]]:
        """Price, quantity, fees and whether as maker, of each of its trades."""
        return [
            (
                plain(trade.price),
                plain(trade.quantity),
                " ".join(f"{fee['amount']} {fee['asset']} {fee['kind']}" for fee in trade.fees),
                trade.is_maker,
            )
            for trade in order.trades.order_by("number")
        ]

    def balance(self, asset: str) -> tuple[Decimal, Decimal]:
        """Free and locked."""
        row = PaperBalance.objects.filter(account=self.account, asset=asset).first()
        return (D(0), D(0)) if row is None else (row.free, row.locked)
