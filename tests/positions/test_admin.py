"""Fills, ledger, holdings and positions in the admin."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any

import pytest
from django.contrib import admin
from django.test import Client

from execution_project.common import clock, ids, read_only_admin
from execution_project.common.locking import ordered
from execution_project.common.models import Approval, Event
from positions.models import Fill, Holding, LedgerEntry, Position, Posting, TradeCursor
from positions.posting import reverse
from tests.factories import (
    BY,
    PREFIX,
    AccountFactory,
    FillFactory,
    HoldingFactory,
    InstrumentFactory,
    PositionFactory,
    QuoteFactory,
    whole_order,
)
from tests.positions.books import book, pair, posted, trade
from tests.staff import same_queries, signed_in, text_of

pytestmark = pytest.mark.django_db
FILLS = "/admin/positions/fill/"
LEDGER = "/admin/positions/ledgerentry/"
HOLDINGS = "/admin/positions/holding/"
POSTINGS = "/admin/positions/posting/"
OWNED = "/admin/positions/holding/owned/"
STATEMENTS = "/admin/positions/fill/statements/"


@pytest.fixture
def auditor() -> Client:
    """Somebody who may look."""
    return signed_in("auditor")


def leg(fill: Fill, **values: Any) -> LedgerEntry:
    """A leg of a fill and the one that it balances with; the first of them."""
    now = clock.now()
    row = {
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
    other = {**row, "book": "fees" if row["book"] == "exchange" else "exchange", "amount": -row["amount"]}
    return LedgerEntry.objects.bulk_create([LedgerEntry(**row), LedgerEntry(**other)])[0]


def found(client: Client, url: str, text: str) -> int:
    return int(client.get(url, {"q": text}).context["cl"].result_count)


def test_a_fill_is_found_by_each_of_its_ids(auditor: Client) -> None:
    order = whole_order(status="open")
    client_order_id = ids.client_order_id(PREFIX, order.id, 3)
    fill = FillFactory(order_id=order.id, trade_id="778899", exchange_order_id="55x", client_order_id=client_order_id)
    FillFactory()
    for text in ("778899", "55x", str(fill.id), str(order.id), client_order_id):
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
        str(fill.id): 4,
        str(order.id): 4,
        "778899": 4,
        "BTC": 2,
        "USDT": 2,
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
    assert LedgerEntry.objects.count() == 2
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
        PositionFactory(account=account, instrument=instrument)
        TradeCursor.objects.create(account=account, instrument=instrument, updated_at=now)
        posted(account, "airdrop", f"B{n}", "1", value=Decimal(2))
        reverse_of(posted(account, "deposit", f"B{n}", "1", value=Decimal(2)))

    def make_five() -> None:
        for _ in range(5):
            make()

    make()
    names = ("fill", "ledgerentry", "holding", "position", "tradecursor", "posting", "realisedpnl")
    for url in (*(f"/admin/positions/{name}/" for name in names), OWNED):
        assert same_queries(auditor, url, make_five, times=1) <= 18, url


def reverse_of(row: Posting) -> Posting:
    with ordered() as locks:
        return reverse(locks, row, reason="a test", approval_id=None, by=BY)


def all_cells(client: Client, url: str) -> list[list[str]]:
    """The cells of every table row of a page, without their markup."""
    rows = re.findall(r"<tr[ >].*?</tr>", text_of(client.get(url)), re.DOTALL)
    found = [re.findall(r"<t[dh][ >](.*?)</t[dh]>", row, re.DOTALL) for row in rows]
    return [[re.sub("<[^>]+>", "", cell.partition(">")[2] or cell).strip() for cell in row] for row in found]


def cells(client: Client, url: str, **query: str) -> list[list[str]]:
    """The cells of the last table of a page, without their markup."""
    page = text_of(client.get(url, query))
    table = page[page.rindex("<table") :]
    rows = re.findall(r"<tr>(.*?)</tr>", table, re.DOTALL)
    return [
        [re.sub("<[^>]+>", "", cell).strip() for cell in re.findall(r"<t[dh](?: [^>]*)?>(.*?)</t[dh]>", row)]
        for row in rows
    ]


def test_what_we_own_is_told_by_asset_over_the_exchanges(auditor: Client) -> None:
    here, there = AccountFactory(), AccountFactory(exchange="btcturk")
    HoldingFactory(account=here, asset="BTC", quantity=Decimal("1"), cost=Decimal("100"))
    HoldingFactory(account=there, asset="BTC", quantity=Decimal("2"), cost=Decimal("260"))
    HoldingFactory(account=there, quantity=Decimal("50"), cost=Decimal("50"))
    QuoteFactory(instrument=InstrumentFactory(), bid=Decimal("150"), ask=Decimal("151"))
    headings, *rows = cells(auditor, OWNED)
    assert headings[:5] == ["asset", "quantity", "binance", "btcturk", "average cost"]
    assert headings[5:] == ["cost", "value", "share", "unrealised", "realised", "missing"]
    assert rows == [
        ["BTC", "3", "1", "2", "120", "360", "450", "90 %", "90", "0", "–"],
        ["USDT", "50", "–", "50", "1", "50", "50", "10 %", "0", "0", "–"],
        ["all", "", "", "", "", "410", "500", "100 %", "90", "0", "–"],
    ]
    HoldingFactory(account=here, asset="ETH", quantity=Decimal("1"), cost=Decimal("7"))
    _, *rows = cells(auditor, OWNED)
    assert rows[-2][0] == "ETH"
    assert (rows[-1][6], rows[-1][-1]) == ("–", "not known: mark of ETH@binance")
    assert OWNED in text_of(auditor.get("/admin/")), "the menu leads to it"


def test_what_we_own_without_anything_says_so(auditor: Client) -> None:
    assert "No account holds anything yet." in text_of(auditor.get(OWNED))


def test_lists_show_worth_and_totals_of_what_matches(auditor: Client) -> None:
    account = AccountFactory(name="main")
    posted(account, "airdrop", "USDT", "30")
    posted(account, "deposit", "BTC", "2", value=Decimal(200))
    QuoteFactory(instrument=InstrumentFactory(), bid=Decimal("150"), ask=Decimal("151"))
    assert cells(auditor, HOLDINGS)[1] == ["sandbox", "230", "330", "100", "30", "0", "–"]
    assert cells(auditor, HOLDINGS, q="BTC")[1] == ["sandbox", "200", "300", "100", "0", "0", "–"]
    posted(account, "deposit", "ETH", "1")
    listed = {row[0]: row[6] for row in all_cells(auditor, HOLDINGS) if len(row) > 10}
    assert (listed["BTC"], listed["ETH"]) == ("200", "–"), "a cost that is not known is not zero"
    PositionFactory(account=account, instrument=InstrumentFactory(), fees_valued=Decimal(3))
    # 1 BTC for 100, now 150, with fees of 3
    assert cells(auditor, "/admin/positions/position/")[1] == ["sandbox", "0", "50", "3", "50", "47", "–"]
    assert "confirmed" in text_of(auditor.get("/admin/positions/position/"))
    assert cells(auditor, "/admin/positions/realisedpnl/")[1] == ["sandbox", "30", "0", "30", "0"]
    assert "Totals of all" not in text_of(auditor.get("/admin/positions/realisedpnl/", {"when": "2001-01"}))
    totals = [
        ["sandbox", "BTC", "deposit", "2"],
        ["sandbox", "ETH", "deposit", "1"],
        ["sandbox", "USDT", "airdrop", "30"],
    ]
    assert cells(auditor, POSTINGS)[1:] == totals
    legs = cells(auditor, LEDGER, q="BTC")[1:]
    assert legs == [["sandbox", "BTC", "exchange", "2"], ["sandbox", "BTC", "external", "-2"]]


def test_a_list_too_long_to_be_summed_says_so(auditor: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_only_admin, "COUNT_CAP", 1)
    leg(FillFactory())
    assert "narrow the list by its filters" in text_of(auditor.get(LEDGER))


def test_a_movement_is_classified_by_two_persons() -> None:
    account = AccountFactory(name="main")
    row = posted(account, "transfer", "BTC", "2", value=Decimal(200))
    url, page = f"{POSTINGS}{row.pk}/classify/", f"{POSTINGS}{row.pk}/change/"
    trader, olga, otto = (
        signed_in(group, name=name)
        for group, name in (("trader", "tim"), ("operations", "olga"), ("operations", "otto"))
    )
    assert url not in text_of(trader.get(page))
    assert trader.get(url).status_code == 403
    assert url in text_of(olga.get(page))
    answers = {
        "kind": "deposit",
        "value": "250",
        "network_fee": "",
        "effective_at": "",
        "other": "",
        "reason": "see the chain, tx 77",
    }
    for wrong, words in (
        ({"reason": "short"}, "at least 10 characters"),
        ({"value": "1e3"}, "no exponent"),
        ({"kind": "withdrawal"}, "that is no withdrawal"),
        ({"effective_at": "soon"}, "Enter a valid date/time"),
        ({"network_fee": "1"}, "positive part of what went out"),
    ):
        refused = olga.post(url, {**answers, **wrong})
        assert refused.status_code == 400, wrong
        assert words in refused.content.decode(), wrong
    assert not Approval.objects.exists()
    assert "2 BTC on main becomes a deposit" in text_of(olga.post(url, answers, follow=True))
    assert Posting.objects.count() == 1, "nothing changes before a second person approves"
    decide = f"/admin/acts/decide/{Approval.objects.get().id}"
    assert otto.post(decide, {"decision": "approve", "reason": "seen"}).status_code == 302
    new = Posting.objects.get(kind="deposit")
    assert (new.amount, new.value, new.classifies_id) == (2, 250, row.pk)
    assert Holding.objects.get(account=account, asset="BTC").cost == 250
    assert url not in text_of(olga.get(page))
    assert "taken back" in text_of(olga.get(POSTINGS))
    assert "It was classified or taken back already." in text_of(olga.get(url, follow=True))


def test_a_fill_is_corrected_by_two_persons() -> None:
    account = AccountFactory(name="main")
    (fill,) = book(account, pair("BTC"), trade(1, "BUY", "1", "100", "0.1 USDT"))
    url, page = f"{FILLS}{fill.pk}/correct/", f"{FILLS}{fill.pk}/change/"
    trader, olga, otto = (
        signed_in(group, name=name)
        for group, name in (("trader", "tim"), ("operations", "olga"), ("operations", "otto"))
    )
    assert url not in text_of(trader.get(page))
    assert trader.get(url).status_code == 403
    assert url in text_of(olga.get(page))
    assert 'value="USDT=0.1"' in text_of(olga.get(url))
    answers = {
        "kind": "correct",
        "price": "90",
        "quantity": "1",
        "quote_quantity": "90",
        "fees": "BNB=0.01 USDT=0.2:tax",
        "reason": "the exchange's trade list",
    }
    for wrong, words in (
        ({"reason": "short"}, "at least 10 characters"),
        ({"price": "1e3"}, "no exponent"),
        ({"price": ""}, "This field is required"),
        ({"fees": "BNB:0.01"}, "ASSET=AMOUNT"),
        ({"quantity": "0"}, "no quantities and no fees"),
        ({"price": "100", "quote_quantity": "100", "fees": "USDT=0.1"}, "stands like this already"),
    ):
        refused = olga.post(url, {**answers, **wrong})
        assert refused.status_code == 400, wrong
        assert words in refused.content.decode(), wrong
    assert not Approval.objects.exists()
    assert "becomes 1 BTC at 90 for 90 USDT (fees BNB=0.01, USDT=0.2:tax)" in text_of(
        olga.post(url, answers, follow=True)
    )
    decide = f"/admin/acts/decide/{Approval.objects.get().id}"
    assert otto.post(decide, {"decision": "approve", "reason": "seen"}).status_code == 302
    assert Position.objects.get().cost == 90
    shown = text_of(olga.get(page))
    assert "Corrections" in shown
    assert "BNB=0.01 USDT=0.2:tax" in shown
    missing = f"{FILLS}01990000-0000-7000-8000-000000000000/correct/"
    assert "There is no fill" in text_of(olga.get(missing, follow=True))


def download(client: Client, **answers: Any) -> Any:
    sent = {"kind": "fills", "method": "average", "start": "", "end": "", "form": "csv", **answers}
    return client.post(STATEMENTS, sent)


def test_statements_are_downloaded_and_recorded(auditor: Client) -> None:
    account, other = AccountFactory(name="main"), AccountFactory()
    posted(account, "airdrop", "USDT", "30")
    FillFactory(account=account)
    FillFactory(account=other)
    assert STATEMENTS in text_of(auditor.get("/admin/")), "the menu leads to it"
    assert "first in, first out" in text_of(auditor.get(STATEMENTS))
    answer = download(auditor, accounts=[account.pk])
    assert (answer.status_code, answer["Content-Type"]) == (200, "text/csv; charset=utf-8")
    assert re.fullmatch(r'attachment; filename="fills-[0-9TZ-]+\.csv"', answer["Content-Disposition"])
    lines = b"".join(answer.streaming_content).decode().splitlines()
    assert lines[0] == "# statement: fills"
    assert [line.split(",")[:2] for line in lines if line.startswith("fill,")] == [["fill", "main"]]
    answer = download(auditor, kind="pnl", method="fifo", form="jsonl", start="2026-05-01", end="2026-05-02")
    documents = [json.loads(line) for line in b"".join(answer.streaming_content).splitlines()]
    assert (documents[0]["method"], documents[0]["to"]) == ("first in, first out", "2026-05-02T00:00:00Z")
    assert documents[-1]["realised"] == "30"
    event = Event.objects.filter(kind="statement.made").latest("id")
    assert (event.actor, event.evidence["from"]) == ("user:mira", "2026-05-01T00:00:00Z")
    for wrong in ({"start": "soon"}, {"kind": "x"}, {"start": "2026-05-02", "end": "2026-05-02"}):
        assert download(auditor, **wrong).status_code == 400
    assert signed_in(name="nobody").get(STATEMENTS).status_code == 403
