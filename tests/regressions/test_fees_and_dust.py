"""Complaints about fees, residues and reductions that did not add up, by number (docs/complaints.md)."""

from __future__ import annotations

from decimal import Decimal

import pytest

from exchanges.models import Account
from positions.models import Holding, PostingKind
from tests.factories import AccountFactory, QuoteFactory
from tests.positions.books import book, held, mark, pair, posted, text, trade
from tests.positions.test_classifying import balanced, classified, transfer
from tests.reading import read

pytestmark = pytest.mark.django_db
D = Decimal


def profit(account: Account) -> str:
    return text(sum((row.realised_pnl for row in Holding.objects.filter(account=account)), D(0)))


def test_complaint_13_a_fee_shows_in_the_profit_whatever_it_was_paid_in() -> None:
    """Buy 1 at 100 with a fee of 0.001 in base, sell 0.999 at 100: a tenth is lost, and it shows."""
    mark("BNB", "500")
    for fee, sold in (("0.001 BTC", "0.999"), ("0.1 USDT", "1"), ("0.0002 BNB", "1")):
        account = AccountFactory()
        posted(account, "deposit", "USDT", "1000")
        posted(account, "deposit", "BNB", "1", value=D(500))
        btc = pair("BTC")
        book(account, btc, trade(1, "BUY", "1", "100", fee), trade(2, "SELL", sold, "100"))
        assert profit(account) == "-0.1", fee
        assert held(account, "BTC")[:2] == ("0", "0"), "and no short residue is left"


def test_complaint_14_a_residue_keeps_its_cost_and_asks_for_nothing() -> None:
    account = AccountFactory()
    posted(account, "deposit", "USDT", "1000")
    book(account, pair("BTC"), trade(1, "BUY", "1", "100", "0.00000001 BTC"), trade(2, "SELL", "0.999", "100"))
    # 0.99999999 for 100, of which 0.999 are sold: the rest is held at what it cost
    quantity, cost, average, _ = held(account, "BTC")
    assert quantity == "0.00099999"
    assert cost == text(D(100) - (D(100) * D("0.999") / D("0.99999999")).quantize(D("1E-18"), "ROUND_DOWN"))
    assert average.startswith("100.000001")


def test_complaint_14_a_residue_is_reported_as_dust_until_it_can_be_sold() -> None:
    account = AccountFactory()
    btc = pair("BTC")
    QuoteFactory(instrument=btc, bid=D(60_000), ask=D(60_001))
    posted(account, "deposit", "USDT", "1000")
    book(account, btc, trade(1, "BUY", "0.01", "60000", "0.00001 BTC"), trade(2, "SELL", "0.00992", "60000"))
    (row,) = read("holdings", dust="true")["holdings"]
    assert (row["asset"], row["quantity"], row["value"]) == ("BTC", "0.00007", "4.2")
    book(account, btc, trade(3, "BUY", "0.001", "60000"))
    assert read("holdings", dust="true")["holdings"] == []


def test_complaint_15_dust_that_was_converted_leaves_the_books_at_its_value() -> None:
    account = AccountFactory()
    mark("BNB", "600")
    posted(account, "deposit", "XRP", "3.5", value=D(2))
    gone, came = transfer(account, "XRP", "-3.5", 10), transfer(account, "BNB", "0.003", 10)
    classified(gone, PostingKind.DUST, other=came.id)
    assert held(account, "XRP") == ("0", "0", "-", "-0.2")
    assert held(account, "BNB")[:2] == ("0.003", "1.8")
    balanced(account)


def test_complaint_16_what_the_exchange_took_is_named_and_is_no_trading_loss() -> None:
    account = AccountFactory()
    mark("BTC", "60000")
    posted(account, "deposit", "BTC", "2", value=D(120000))
    taken = classified(transfer(account, "BTC", "-0.5", 10), "withdrawal")
    assert taken.kind == "withdrawal"
    assert held(account, "BTC") == ("1.5", "90000", "60000", "0")
    balanced(account)


def test_complaint_43_after_a_fee_in_base_there_is_less_to_sell_and_the_books_know() -> None:
    account = AccountFactory()
    posted(account, "deposit", "USDT", "1000")
    book(account, pair("BTC"), trade(1, "BUY", "1", "100", "0.001 BTC"))
    assert held(account, "BTC")[0] == "0.999"
    book(account, pair("BTC"), trade(2, "SELL", "0.999", "110"))
    assert held(account, "BTC")[0] == "0"
    assert not Holding.objects.filter(in_suspense=True).exists()
