"""Complaints about paper trading, by number (docs/complaints.md)."""

from __future__ import annotations

from decimal import Decimal

import pytest

from exchanges.accounts import add_account
from exchanges.connections import adapter_for
from exchanges.models import Account, PaperFlow, PaperOrder, PaperTrade
from exchanges.paper.adapter import PaperAdapter
from orders.models import Order
from orders.tasks import match_paper
from positions.models import Fill, Holding
from risk.models import Limit, Reservation
from tests.engines import BY, drain
from tests.factories import AccountFactory
from tests.paper_engines import PaperEngine, make_paper_engine

pytestmark = pytest.mark.e2e
D = Decimal


@pytest.fixture
def engine(transactional_db: None) -> PaperEngine:
    return make_paper_engine()


def test_complaint_32_no_order_is_filled_again_by_the_same_depth(engine: PaperEngine) -> None:
    """A paper engine filled one order again and again from a book that stood still."""
    document = engine.limit("BUY", "5", "60010")
    assert document["filled_quantity"] == "1"
    for _ in range(5):
        engine.show()  # the same level, confirmed again
        match_paper(engine.account.pk)
    assert engine.order(document["id"])["filled_quantity"] == "1"
    engine.trade("60010", "0.5", "SELL")
    for _ in range(5):
        match_paper(engine.account.pk)
    assert engine.order(document["id"])["filled_quantity"] == "1.5"
    assert (Fill.objects.count(), PaperTrade.objects.count()) == (2, 2)


def test_complaint_36_paper_is_a_property_of_the_account_and_its_cancels_stay_on_paper(engine: PaperEngine) -> None:
    """A mode string, a default on the exit path, a cancel that nobody had gated: paper modes sent live orders."""
    AccountFactory(name="beside", mode="live", rest_url="https://api.binance.com")
    document = engine.limit("BUY", "0.1", "59000")
    engine.request("DELETE", f"order/{document['id']}")
    drain()
    assert engine.order(document["id"])["status"] == "canceled"
    assert isinstance(adapter_for(Account.objects.get(pk=engine.account.pk)), PaperAdapter)
    assert engine.order(document["id"])["mode"] == "paper"
    with pytest.raises(ValueError, match="no host and no credentials"):
        add_account("p", exchange="binance", mode="paper", key="k" * 20, by=BY)


def test_complaint_37_validating_books_nothing_on_paper(engine: PaperEngine) -> None:
    """A dry run booked a paper fill."""
    flows = PaperFlow.objects.count()
    held = {row.asset: row.quantity for row in Holding.objects.all()}
    body = {"account": engine.account.name, "symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.5"}
    status, decision = engine.request("POST", "order", {**body, "validate_only": True})
    assert (status, decision["accepted"]) == (200, True)
    assert not Order.objects.exists() and not PaperOrder.objects.exists() and not PaperTrade.objects.exists()
    assert not Fill.objects.exists() and not Reservation.objects.exists()
    assert PaperFlow.objects.count() == flows
    assert {row.asset: row.quantity for row in Holding.objects.all()} == held
    assert Limit.objects.exclude(mode="paper").count() == 0
