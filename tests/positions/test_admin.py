"""Fills, ledger, holdings and positions in the admin."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.contrib import admin
from django.test import Client

from execution_project.common import clock, ids
from positions.models import Fill, Holding, LedgerEntry, Position, TradeCursor
from tests.factories import PREFIX, AccountFactory, FillFactory, HoldingFactory, InstrumentFactory, whole_order
from tests.staff import same_queries, signed_in, text_of

pytestmark = pytest.mark.django_db
FILLS = "/admin/positions/fill/"
LEDGER = "/admin/positions/ledgerentry/"


@pytest.fixture
def auditor() -> Client:
    """Somebody who may look."""
    return signed_in("auditor")


def leg(fill: Fill, **values: Any) -> LedgerEntry:
    now = clock.now()
    return LedgerEntry.objects.create(
        **{
            "account": fill.account,
            "asset": "BTC",
            "book": "exchange",
            "amount": Decimal("0.100000000000000000"),
            "kind": "fill",
            "fill": fill,
            "reference": fill.trade_id,
            "effective_at": now,
            "posted_at": now,
            **values,
        }
    )


def found(client: Client, url: str, text: str) -> int:
    return int(client.get(url, {"q": text}).context["cl"].result_count)


def test_a_fill_is_found_by_each_of_its_ids(auditor: Client) -> None:
    order = whole_order(status="open")
    client_order_id = ids.client_order_id(PREFIX, order.id, 3)
    fill = FillFactory(order_id=order.id, trade_id="778899", exchange_order_id="55", client_order_id=client_order_id)
    FillFactory()
    for text in ("778899", "55", str(fill.id), str(order.id), client_order_id):
        assert found(auditor, FILLS, text) == 1, text
    for text in ("7788", "5", client_order_id[:-1], "☃", "x" * 200):
        assert found(auditor, FILLS, text) == 0, text


def test_a_fills_page_leads_to_its_order_and_shows_its_legs(auditor: Client) -> None:
    order = whole_order(status="open")
    fill = FillFactory(order_id=order.id, account=order.account, fees=[{"asset": "<b>BNB</b>", "amount": "0.1"}])
    entry = leg(fill, amount=Decimal("-1.500"))
    text = text_of(auditor.get(f"{FILLS}{fill.id}/change/"))
    assert f"/admin/orders/order/{order.id}/change/" in text
    assert f"/admin/exchanges/account/{fill.account_id}/change/" in text
    assert f"{LEDGER}{entry.pk}/change/" in text
    assert "-1.5<" in text
    assert "&lt;b&gt;BNB" in text
    assert "<b>BNB" not in text
    assert "0.1 &lt;b&gt;BNB" in text_of(auditor.get(FILLS))


def test_ledger_is_found_by_fill_order_trade_and_asset(auditor: Client) -> None:
    order = whole_order(status="open")
    fill = FillFactory(order_id=order.id, trade_id="778899", account=order.account)
    leg(fill)
    leg(fill, asset="USDT", amount=Decimal("-6000"), book="trading")
    for text, count in {
        str(fill.id): 2,
        str(order.id): 2,
        "778899": 2,
        "BTC": 1,
        "USDT": 1,
        "BT": 0,
        "ETH": 0,
        "no such": 0,
    }.items():
        assert found(auditor, LEDGER, text) == count, text
    rows = text_of(auditor.get(LEDGER))
    assert "-6000<" in rows
    assert "0.1<" in rows
    assert (
        auditor.get(LEDGER, {"when": f"{clock.now():%Y-%m}", "book__exact": "trading"}).context["cl"].result_count == 1
    )
    assert auditor.get(LEDGER, {"when": "2001-01"}).context["cl"].result_count == 0


def test_facts_and_books_cannot_be_touched(rf: Any) -> None:
    root = signed_in(superuser=True)
    fill = FillFactory()
    entry, holding = leg(fill), HoldingFactory()
    for url in (f"{FILLS}{fill.id}", f"{LEDGER}{entry.pk}", f"/admin/positions/holding/{holding.pk}"):
        assert root.post(f"{url}/change/", {"quantity": "9"}).status_code == 403
        assert root.post(f"{url}/delete/", {"post": "yes"}).status_code == 403
    for url in (FILLS, LEDGER):
        assert root.get(f"{url}add/").status_code == 403
        chosen = {"action": "delete_selected", "_selected_action": [str(fill.pk)], "post": "yes"}
        root.post(url, chosen)
    assert Fill.objects.count() == 1
    assert LedgerEntry.objects.count() == 1
    for model in (Fill, LedgerEntry, Holding, Position, TradeCursor):
        assert admin.site._registry[model].get_actions(rf.get("/")) == {}


def test_holdings_and_positions_are_found_by_what_they_hold(auditor: Client) -> None:
    account = AccountFactory(name="main")
    HoldingFactory(account=account, asset="BTC", quantity=Decimal("0.500"))
    HoldingFactory(account=account)
    for quantity, base in ((Decimal("2"), "BTC"), (Decimal("0"), "ETH")):
        Position.objects.create(
            account=account,
            instrument=InstrumentFactory(base_asset=base),
            net_quantity=quantity,
            average_price=Decimal("60000") if quantity else None,
            updated_at=clock.now(),
        )
    assert found(auditor, "/admin/positions/holding/", "BTC") == 1
    assert found(auditor, "/admin/positions/holding/", "main") == 2
    assert found(auditor, "/admin/positions/position/", "ETHUSDT") == 1
    assert "0.5<" in text_of(auditor.get("/admin/positions/holding/"))
    rows = auditor.get("/admin/positions/position/", {"standing": "open"}).context["cl"].result_list
    assert [row.net_quantity for row in rows] == [2]


def test_lists_take_the_same_statements_however_many_rows(auditor: Client) -> None:
    account = AccountFactory()
    numbers = iter(range(1000))

    def make() -> None:
        n, now = next(numbers), clock.now()
        instrument = InstrumentFactory(base_asset=f"A{n}")
        leg(FillFactory(account=account, instrument=instrument))
        HoldingFactory(account=account, asset=f"A{n}")
        Position.objects.create(account=account, instrument=instrument, updated_at=now)
        TradeCursor.objects.create(account=account, instrument=instrument, updated_at=now)

    for _ in range(3):
        make()
    for name in ("fill", "ledgerentry", "holding", "position", "tradecursor"):
        assert same_queries(auditor, f"/admin/positions/{name}/", make) <= 16, name
