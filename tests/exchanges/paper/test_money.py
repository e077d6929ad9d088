"""Fees, tiers, BNB and BTCTurk's tax, each worked by hand; what holds whatever happens: test_ceiling.py."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction

from exchanges.models import Mode, PaperBalance, PaperFlow, PaperOrder, PaperTrade
from execution_project.common.models import AppendOnlyError
from tests.exchanges.paper.floors import D, Venue
from tests.factories import InstrumentFactory

pytestmark = pytest.mark.django_db


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


def test_a_buy_locks_what_it_costs_in_the_dearest_tier() -> None:
    """A tier may be lost while the order rests; what was set aside then still pays for it."""
    steps = [["0", "0.001", "0.003"], ["100", "0.0005", "0.001"]]
    venue = Venue("btcturk", "TRY", tiers={"asset": "TRY", "steps": steps})
    venue.place("SELL", "MARKET", "2")
    order = venue.place("BUY", "LIMIT", "2", "90")
    assert venue.balance("TRY")[1] == D(180) * D("1.0036")
    venue.clock.advance(timedelta(days=31))
    venue.trade("89", "1", "SELL")
    venue.tick()
    assert venue.fills(order) == [("90", "2", "0.18 TRY fee 0.036 TRY tax", True)]
    assert venue.balance("TRY")[1] == 0


def test_a_maker_that_pays_more_than_a_taker_has_it_set_aside() -> None:
    venue = Venue("btcturk", "TRY", maker_rate="0.02", taker_rate="0.001", tax_rate="0")
    order = venue.place("BUY", "LIMIT", "2", "90")
    venue.pass_ms(1)
    venue.trade("89", "1", "SELL")
    venue.tick()
    assert venue.fills(order) == [("90", "2", "3.6 TRY fee", True)]


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
