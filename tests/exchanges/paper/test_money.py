"""Fees, tiers, BNB and BTCTurk's tax by hand, and balances that conserve whatever happens."""

from __future__ import annotations

import os
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import IntegrityError, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exchanges.models import Mode, PaperBalance, PaperFlow, PaperOrder, PaperTrade
from exchanges.paper.rules import NoMarketData, Refused
from execution_project.common.models import AppendOnlyError
from tests.exchanges.paper.floors import D, Venue
from tests.factories import InstrumentFactory

pytestmark = pytest.mark.django_db
ROUNDS = int(os.environ.get("PROOF_ROUNDS", "20"))


def test_maker_and_taker_rates_differ() -> None:
    venue = Venue(maker_rate="0.0002", taker_rate="0.0005")
    assert venue.fills(venue.place("BUY", "MARKET", "1"))[0][2] == "0.0005 BTC fee"
    order = venue.place("BUY", "LIMIT", "1", "100")
    venue.pass_ms(1)
    venue.trade("100", "1", "SELL")
    venue.tick()
    assert venue.fills(order)[0][2] == "0.0002 BTC fee"


def test_fees_are_cut_off_at_eight_decimals() -> None:
    venue = Venue(taker_rate="0.0001234571")
    assert venue.fills(venue.place("SELL", "MARKET", "0.123"))[0][2] == "0.00150333 USDT fee"  # 0.0015033371…


def test_tiers_go_by_the_volume_of_thirty_days() -> None:
    steps = [["0", "0.001", "0.001"], ["100", "0.0005", "0.0008"]]
    venue = Venue(tiers={"asset": "USDT", "steps": steps})
    assert venue.fills(venue.place("BUY", "MARKET", "1"))[0][2] == "0.001 BTC fee"  # 101 USDT from here on
    assert venue.fills(venue.place("BUY", "MARKET", "1"))[0][2] == "0.0008 BTC fee"
    venue.clock.advance(timedelta(days=31))
    venue.show()
    assert venue.fills(venue.place("SELL", "MARKET", "1"))[0][2] == "0.099 USDT fee"


def _with_bnb(free: str) -> Venue:
    venue = Venue(bnb_fees=True)
    bnb = InstrumentFactory(mode=Mode.PAPER, base_asset="BNB", quote_asset="USDT")
    venue.show((("499", "1"),), (("501", "1"),), pair=bnb)
    PaperBalance.objects.create(account=venue.account, asset="BNB", free=D(free))
    return venue


def test_bnb_pays_at_a_discount_until_it_runs_out() -> None:
    venue = _with_bnb("0.0002")
    # 99 USDT · 0.001 · 0.75 / 500 = 0.0001485 BNB.
    assert venue.fills(venue.place("SELL", "MARKET", "1"))[0][2] == "0.0001485 BNB fee"
    assert venue.balance("BNB") == (D("0.0000515"), D(0))
    assert venue.fills(venue.place("SELL", "MARKET", "1"))[0][2] == "0.099 USDT fee"


def test_an_order_whose_fees_use_up_the_bnb_goes_on_in_what_it_receives() -> None:
    venue = _with_bnb("0.0003")
    fees = [fee for _, _, fee, _ in venue.fills(venue.place("SELL", "MARKET", "3"))]
    # 198 USDT at 99 cost 0.000297 BNB; 98 more would cost 0.000147.
    assert fees == ["0.000297 BNB fee", "0.098 USDT fee"]


def test_without_a_young_price_of_bnb_the_fee_is_taken_from_what_is_received() -> None:
    venue = _with_bnb("1")
    venue.clock.advance(timedelta(seconds=61))
    venue.show()
    assert venue.fills(venue.place("SELL", "MARKET", "1"))[0][2] == "0.099 USDT fee"


def test_btcturk_takes_fee_and_tax_in_the_quote_asset_on_either_side() -> None:
    venue = Venue("btcturk", "TRY")
    buy = venue.place("BUY", "LIMIT", "1", "101")
    # 101 · 0.001 = 0.101, and a fifth of it.
    assert venue.fills(buy) == [("101", "1", "0.101 TRY fee 0.0202 TRY tax", False)]
    assert venue.balance("TRY") == (D(1000) - D("101.1212"), D(0))
    assert venue.balance("BTC") == (D(11), D(0))
    sale = venue.place("SELL", "MARKET", "1")
    assert venue.fills(sale) == [("99", "1", "0.099 TRY fee 0.0198 TRY tax", False)]
    assert venue.balance("TRY")[0] == D("898.8788") + 99 - D("0.1188")


def test_a_resting_buy_of_btcturk_locks_price_and_fee() -> None:
    venue = Venue("btcturk", "TRY")
    order = venue.place("BUY", "LIMIT", "2", "90")
    assert venue.balance("TRY")[1] == D(180) * D("1.0012")
    venue.pass_ms(1)
    venue.trade("89", "1", "SELL")
    venue.tick()
    # As maker half the rate: 180 · 0.0005 and tax; the rest of what was locked is free again.
    assert venue.fills(order) == [("90", "2", "0.09 TRY fee 0.018 TRY tax", True)]
    assert venue.balance("TRY") == (D(1000) - D("180.108"), D(0))


def test_a_market_buy_of_btcturk_spends_at_most_its_amount_with_fee_and_tax() -> None:
    venue = Venue("btcturk", "TRY")
    order = venue.place("BUY", "MARKET", quote_quantity="200")
    # 101.1212 for the first; 98.8788 / 1.0012 / 102 = 0.968… on the grid.
    assert [(price, size) for price, size, *_ in venue.fills(order)] == [("101", "1"), ("102", "0.968")]
    assert D(800) <= venue.balance("TRY")[0] < D("800.11")
    assert venue.balance("TRY")[1] == 0


def test_a_market_order_of_btcturk_stops_five_percent_from_the_best_price() -> None:
    venue = Venue("btcturk", "TRY")
    venue.show(bids=(("100", "1"), ("96", "1"), ("94", "9")))
    order = venue.place("SELL", "MARKET", "5")
    assert (order.status, order.executed) == ("canceled", D(2))
    assert venue.balance("BTC") == (D(8), D(0))


def test_the_tables_refuse_what_cannot_be() -> None:
    venue = Venue()
    order = venue.place("BUY", "MARKET", "1")
    with pytest.raises(IntegrityError, match="paper_balance_not_negative"), transaction.atomic():
        PaperBalance.objects.filter(asset="USDT").update(free=-1)
    with pytest.raises(IntegrityError, match="paper_order_not_overfilled"), transaction.atomic():
        PaperOrder.objects.filter(pk=order.pk).update(executed=2)
    trade = PaperTrade.objects.get()
    with pytest.raises(AppendOnlyError):
        trade.delete()
    assert not PaperFlow.objects.exists()


Step = tuple[str, str, Decimal, Decimal]
steps = st.lists(
    st.tuples(
        st.sampled_from(["market", "limit", "ioc", "fok", "maker", "cancel", "print", "depth"]),
        st.sampled_from(["BUY", "SELL"]),
        st.integers(95, 106).map(D),
        st.integers(1, 3000).map(lambda n: D(n) / 1000),
    ),
    max_size=12,
)


@given(st.sampled_from(["binance", "btcturk"]), steps)
@settings(max_examples=ROUNDS, deadline=None, suppress_health_check=list(HealthCheck))
def test_paper_never_beats_the_book_and_balances_conserve(exchange: str, told: list[Step]) -> None:
    """Never more than the book showed, never better than it allowed; what is gone is what was traded and paid."""
    with transaction.atomic():
        venue = Venue(exchange, "USDT" if exchange == "binance" else "TRY")
        shown = {"BUY": dict(ASKS), "SELL": dict(BIDS)}
        for step in told:
            _do(venue, step, shown)
            venue.pass_ms(1)
        _check(venue)
        transaction.set_rollback(True)


BIDS = (("99", "2"), ("98", "5"))
ASKS = (("101", "1"), ("102", "2"), ("103", "3"))


def _do(venue: Venue, step: Step, shown: dict[str, dict[str, str]]) -> None:
    what, side, price, quantity = step
    first = PaperTrade.objects.count()
    market = venue.pair.exchange == "btcturk" and side == "BUY"
    placements = {
        "market": lambda: venue.place(
            side, "MARKET", **({"quote_quantity": str(quantity * 50)} if market else {"quantity": str(quantity)})
        ),
        "limit": lambda: venue.place(side, "LIMIT", str(quantity), str(price)),
        "ioc": lambda: venue.place(side, "LIMIT", str(quantity), str(price), tif="IOC"),
        "fok": lambda: venue.place(side, "LIMIT", str(quantity), str(price), tif="FOK"),
        "maker": lambda: venue.place(side, "LIMIT_MAKER", str(quantity), str(price)),
    }
    try:
        if what in placements:
            order = placements[what]()
            _check_taker(order, first, shown[side])
        elif what == "cancel":
            for order in PaperOrder.objects.filter(status__in=["open", "partially_filled"])[:1]:
                venue.cancel(order)
        elif what == "print":
            venue.trade(str(price), str(quantity), side)
            venue.tick()
        else:
            venue.show()
            venue.tick()
    except (Refused, NoMarketData):
        assert PaperTrade.objects.count() == first or what not in placements


def _check_taker(order: PaperOrder, first: int, shown: dict[str, str]) -> None:
    taken: dict[Decimal, Decimal] = {}
    for trade in PaperTrade.objects.filter(instrument=order.instrument, is_maker=False, order__side=order.side):
        taken[trade.price] = taken.get(trade.price, D(0)) + trade.quantity
    own = {trade.price for trade in PaperTrade.objects.filter(is_maker=True)}
    levels = {D(price): D(size) for price, size in shown.items()}
    for price, quantity in taken.items():
        assert price in own or quantity <= levels[price], "more than the book showed"
    if order.price is not None:
        for trade in order.trades.all():
            assert trade.price <= order.price if order.side == "BUY" else trade.price >= order.price


def _check(venue: Venue) -> None:
    base, quote = venue.pair.base_asset, venue.pair.quote_asset
    moved = {base: D(10), quote: D(1000)}
    for trade in PaperTrade.objects.select_related("order"):
        sign = 1 if trade.order.side == "BUY" else -1
        moved[base] += sign * trade.quantity
        moved[quote] -= sign * trade.price * trade.quantity
        for fee in trade.fees:
            moved[fee["asset"]] -= D(fee["amount"])
    for asset, amount in moved.items():
        assert sum(venue.balance(asset)) == amount
    open_ = PaperOrder.objects.filter(status__in=["open", "partially_filled"])
    locked = sum((order.locked for order in open_), D(0))
    assert locked == venue.balance(base)[1] + venue.balance(quote)[1]
    for order in PaperOrder.objects.all():
        assert order.executed == sum((trade.quantity for trade in order.trades.all()), D(0)) <= order.quantity
