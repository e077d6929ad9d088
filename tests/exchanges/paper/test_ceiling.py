"""Whatever is placed and whatever the market does: paper never fills more than the market showed and traded, never
better than it allowed, and its balances conserve."""

from __future__ import annotations

import os
from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exchanges.models import PaperOrder, PaperTrade
from exchanges.paper.pit import has_news
from exchanges.paper.rules import Refused
from execution_project.common import clock
from tests.exchanges.paper.ceiling import ZERO, Ceiling
from tests.exchanges.paper.floors import ASKS, BIDS, D, Pairs, Venue

pytestmark = pytest.mark.django_db
ROUNDS = int(os.environ.get("PROOF_ROUNDS", "20"))
OPEN = ["open", "partially_filled"]

sides = st.sampled_from(["BUY", "SELL"])
prices = st.integers(96, 105).map(D)
# Few sizes, so that a level often shows again what it showed before.
sizes = st.sampled_from(["0.5", "1", "2.5"]).map(D)
placements = st.tuples(
    st.just("place"), st.sampled_from(["MARKET", "LIMIT", "LIMIT", "LIMIT_MAKER", "IOC", "FOK"]), sides, prices, sizes
)
prints = st.tuples(st.just("print"), sides, prices, sizes)
books = st.tuples(st.just("book"), st.integers(97, 104), st.integers(1, 2), st.lists(sizes, min_size=4, max_size=4))
cancels = st.tuples(st.just("cancel"), st.integers(0, 5))
Step = tuple[Any, ...]


@pytest.mark.timeout(600)
@given(
    st.sampled_from(["binance", "btcturk"]),
    st.lists(st.one_of(placements, placements, prints, books, cancels), max_size=16),
)
@settings(max_examples=ROUNDS, deadline=None, suppress_health_check=list(HealthCheck))
def test_paper_never_beats_the_market_and_balances_conserve(exchange: str, told: list[Step]) -> None:
    with transaction.atomic():
        Session(exchange).run(told)
        transaction.set_rollback(True)


class Session:
    """One account in one market, checked after every step."""

    def __init__(self, exchange: str) -> None:
        self.venue = Venue(exchange, "USDT" if exchange == "binance" else "TRY")
        self.ceiling = Ceiling(_by_side(BIDS, ASKS))
        self._seen = 0

    def run(self, told: list[Step]) -> None:
        """Every step, and after it a look that must find nothing more."""
        for what, *rest in told:
            getattr(self, f"_{what}")(*rest)
            self._nothing_more()
            self._conserves()
            self.venue.pass_ms(1)

    def _new_fills(self) -> list[PaperTrade]:
        found = list(PaperTrade.objects.filter(number__gt=self._seen).select_related("order").order_by("number"))
        self._seen += len(found)
        return found

    def _place(self, kind: str, side: str, price: Decimal, quantity: Decimal) -> None:
        binance = self.venue.account.exchange == "binance"
        type_, tif = (kind, "GTC" if kind == "LIMIT" else "") if kind not in {"IOC", "FOK"} else ("LIMIT", kind)
        asked: dict[str, Any] = {"quantity": str(quantity)}
        if kind == "MARKET" and side == "BUY" and not binance:
            asked = {"quote_quantity": str(quantity * 50)}
        try:
            order = self.venue.place(side, type_, price=None if kind == "MARKET" else str(price), tif=tif, **asked)
        except Refused:
            assert not self._new_fills()
            return
        fills = self._new_fills()
        assert kind != "LIMIT_MAKER" or not fills, "post-only took"
        self.ceiling.take(order, fills, own_may_meet=not binance)

    def _cancel(self, which: int) -> None:
        for order in PaperOrder.objects.filter(status__in=OPEN).order_by("number")[which : which + 1]:
            assert self.venue.cancel(order).status == "canceled"
        assert not self._new_fills()

    def _print(self, aggressor: str, price: Decimal, quantity: Decimal) -> None:
        resting = list(PaperOrder.objects.filter(status__in=OPEN))
        self.venue.trade(str(price), str(quantity), aggressor)
        self.venue.tick()
        self.ceiling.trade(price, quantity, aggressor, resting, self._new_fills())

    def _book(self, middle: int, gap: int, shown: list[Decimal]) -> None:
        bids = tuple((str(middle - gap - level), str(size)) for level, size in enumerate(shown[:2]))
        asks = tuple((str(middle + gap + level), str(size)) for level, size in enumerate(shown[2:]))
        self.venue.show(bids, asks)
        self.venue.tick()
        self.ceiling.show(_by_side(bids, asks), self._new_fills())

    def _nothing_more(self) -> None:
        """The same market again fills nothing; and what is taken for no news is none."""
        with clock.using(self.venue.clock):
            assert not has_news(self.venue.account)
        with self.venue.open() as floor:
            floor.catch_up()
        assert not self._new_fills()

    def _conserves(self) -> None:
        base, quote = self.venue.pair.base_asset, self.venue.pair.quote_asset
        moved = {base: D(10), quote: D(1000)}
        executed: dict[int, Decimal] = {}
        for trade in PaperTrade.objects.select_related("order"):
            sign = 1 if trade.order.side == "BUY" else -1
            moved[base] += sign * trade.quantity
            moved[quote] -= sign * trade.price * trade.quantity
            executed[trade.order_id] = executed.get(trade.order_id, ZERO) + trade.quantity
            for fee in trade.fees:
                moved[fee["asset"]] -= D(fee["amount"])
        held = {asset: self.venue.balance(asset) for asset in moved}
        assert {asset: free + locked for asset, (free, locked) in held.items()} == moved
        assert all(free >= 0 and locked >= 0 for free, locked in held.values())
        orders = list(PaperOrder.objects.all())
        set_aside = {"BUY": ZERO, "SELL": ZERO}
        for order in orders:
            assert order.executed == executed.get(order.pk, ZERO) <= order.quantity
            assert order.status in OPEN or not order.locked
            set_aside[order.side] += order.locked
        assert set_aside == {"BUY": held[quote][1], "SELL": held[base][1]}


def _by_side(bids: Pairs, asks: Pairs) -> dict[str, dict[Decimal, Decimal]]:
    return {side: {D(price): D(size) for price, size in levels} for side, levels in (("BUY", bids), ("SELL", asks))}


def test_the_ceiling_itself_refuses_what_a_market_could_not_give() -> None:
    """Else the property would hold of anything."""
    venue = Venue()
    order = venue.place("BUY", "LIMIT", "1", "99")
    resting = [order]

    def fill(price: str, quantity: str) -> PaperTrade:
        return PaperTrade(order=order, price=D(price), quantity=D(quantity), is_maker=True)

    def fresh() -> Ceiling:
        ceiling = Ceiling(_by_side(BIDS, ASKS))
        ceiling.take(order, [], own_may_meet=False)
        return ceiling

    assert fresh().ahead == {order.number: D(2)}
    fresh().trade(D(99), D("2.5"), "SELL", resting, [fill("99", "0.5")])
    fresh().show(_by_side((), (("98", "0.5"),)), [fill("99", "0.5")])
    for price, quantity, got in (("99", "2.5", "0.6"), ("99", "2", "0.1"), ("100", "9", "0.1"), ("98", "1", "0.5")):
        with pytest.raises(AssertionError):
            fresh().trade(D(price), D(quantity), "SELL", resting, [fill("99", got)])
    with pytest.raises(AssertionError, match="own price"):
        fresh().trade(D(99), D("2.5"), "SELL", resting, [fill("98", "0.1")])
    with pytest.raises(AssertionError, match="more than the book showed"):
        fresh().show(_by_side((), (("98", "0.5"),)), [fill("99", "0.6")])
    taker = PaperTrade(order=order, price=D(99), quantity=D(1), is_maker=False)
    with pytest.raises(AssertionError, match="more than the book showed"):
        fresh().take(order, [taker], own_may_meet=False)
