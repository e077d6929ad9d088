"""The frame of the admin: the bar on every page, the desk, the sidebar, the security policy."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings
from django.contrib import admin
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from exchanges.freshness import set_blocked_by
from exchanges.models import Balance, HostClock, HostPause, Quote, StreamState
from exchanges.rate_budget import pause
from execution_project.back_office.bar import read_bar
from execution_project.back_office.desk import read_desk
from execution_project.back_office.navigation import GROUPS
from execution_project.back_office.wording import capped_count
from execution_project.common import clock
from execution_project.common.actors import Actor
from execution_project.common.events import record
from execution_project.common.models import Approval, Chore, QueueBeat
from execution_project.common.rights import EVERYTHING
from orders.canceling import working_orders
from orders.lifecycle import OrderStatus
from orders.models import Break, Order
from positions.models import Position
from risk.trading_state import halt, start
from tests.factories import (
    AccountFactory,
    BalanceFactory,
    FillFactory,
    InstrumentFactory,
    QuoteFactory,
    StrategyFactory,
    whole_order,
)
from tests.people import client_of, person

pytestmark = pytest.mark.django_db(transaction=True)
BY = Actor("user:eve", "a test", rights=EVERYTHING)


def words_of(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def bar_of(client: Client, page: str = "/admin/") -> str:
    """The bar's words on a page; empty without one."""
    html = client.get(page).content.decode()
    found = re.search(r'<div class="bo-bar-place".*?<div class="bg-white', html, re.S)
    return words_of(found.group(0)) if found else ""


def live_account(**values: Any) -> Any:
    return AccountFactory(mode="live", rest_url="https://api.binance.com", **values)


@pytest.fixture
def operator() -> Client:
    """Somebody of operations."""
    return client_of(person("olga", "operations"))


# ------------------------------------------------------------------------------------------------------------ the bar


def test_bar_tells_modes_state_scopes_and_unknown_orders(operator: Client) -> None:
    assert "no accounts" in bar_of(operator)
    live_account()
    AccountFactory()
    AccountFactory(mode="paper", rest_url="")
    whole_order(status="submit_unknown")
    whole_order(status="open")
    words = bar_of(operator, "/admin/orders/order/")
    assert words.index("LIVE") < words.index("SANDBOX") < words.index("PAPER")
    assert "Trading ACTIVE" in words and "1 unknown" in words and "Kill switch" in words
    assert "latched" not in words and "not active" not in words
    halt("exchange", "btcturk", reason="x", by=BY, latched=True)
    halt("global", "", reason="x", by=BY)
    words = bar_of(operator)
    assert "Trading HALTED" in words and "1 scope not active" in words and "1 latched" in words


def test_bar_tells_of_a_ban_and_when_it_ends_and_of_nothing_that_is_over(operator: Client) -> None:
    now = clock.now()
    HostPause.objects.create(host="slow", until=now + timedelta(minutes=1), reason="HTTP 429")
    HostPause.objects.create(host="over", until=now - timedelta(seconds=1), banned=True, reason="HTTP 418")
    assert "banned" not in bar_of(operator) and "slow" not in bar_of(operator)
    pause("api.example", 60_000, reason="HTTP 418 <i>", banned=True)
    until = HostPause.objects.get(host="api.example").until
    sentence = f"api.example is banned until {until:%FT%TZ}: nothing goes there, not even cancels and probes"
    for page in ("/admin/", "/admin/orders/order/"):
        assert f"{sentence} (HTTP 418 &lt;i&gt;)" in bar_of(operator, page)


def test_live_is_red_sandbox_amber_paper_blue(operator: Client) -> None:
    live_account()
    AccountFactory()
    AccountFactory(mode="paper", rest_url="")
    html = operator.get(reverse("admin:live_bar")).content.decode()
    for tone, mode in (("danger", "LIVE"), ("warning", "SANDBOX"), ("info", "PAPER")):
        assert f'<span class="bo-badge bo-{tone}">{mode}</span>' in html


def test_bar_offers_what_a_person_may_do() -> None:
    for name, active_acts, halted_acts in (
        ("trader", {"Halt", "Kill switch"}, {"Kill switch"}),
        ("operations", {"Halt", "Kill switch"}, {"Start", "Kill switch"}),
        ("auditor", set(), set()),
    ):
        client = client_of(person(f"p-{name}", name))
        for acts in (active_acts, halted_acts):
            html = client.get(reverse("admin:live_bar")).content.decode()
            assert set(re.findall(r'<a class="bo-button[^>]*>([^<]+)</a>', html)) == acts, name
            halt("global", "", reason="x", by=BY)
        start("global", "", reason="x", by=BY)


def test_staff_without_any_right_see_neither_bar_nor_desk() -> None:
    AccountFactory(name="secret-account")
    client = client_of(person("nobody"))
    assert bar_of(client) == ""
    html = client.get("/admin/").content.decode()
    assert "has no right to view anything yet" in html and "secret-account" not in html
    for fragment in ("live_bar", "live_desk"):
        assert "secret-account" not in client.get(reverse(f"admin:{fragment}")).content.decode()


def test_bar_costs_three_queries_however_much_there_is() -> None:
    for count in (1, 20):
        for _ in range(count):
            whole_order(status="submit_unknown")
            halt("account", AccountFactory().name, reason="x", by=BY)
            pause(uuid4().hex, 60_000, reason="x", banned=True)
        with CaptureQueriesContext(
            connection,
        ) as queries:
            read_bar(BY)
        assert len(queries) == 3


def test_unknown_and_working_orders_are_found_by_an_index() -> None:
    AccountFactory()
    with CaptureQueriesContext(connection) as queries:
        read_bar(BY)
        list(working_orders("global", ""))
        capped_count(working_orders("global", ""))
    asked = [query["sql"] for query in queries if '"orders_order"' in query["sql"]]
    assert len(asked) == 3
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")  # the table is too small for an index to pay
        for sql in asked:
            cursor.execute(f"EXPLAIN {sql}")
            plan = "\n".join(row[0] for row in cursor.fetchall())
            # of live orders, or by status: which of the two the planner takes depends on what it knows of the table
            assert "order_live" in plan or "order_status" in plan, plan


# ----------------------------------------------------------------------------------------------------------- the desk


def _one_of_everything(number: int) -> None:
    order = whole_order(status="open", strategy=StrategyFactory())
    whole_order(status="submit_unknown")
    denied = whole_order(status="denied")
    Order.objects.filter(id=denied.id).update(detail=f"Too large <b>{number}</b>")
    record("order.denied", "order", denied.id, BY, evidence={"breaches": ["MAX_ORDER_NOTIONAL"]})
    record("replace.denied", "order", order.id, BY, evidence={"breaches": ["TRADING_HALTED"]})
    record("order.breach", "order", order.id, BY, evidence={"breach": "filled beyond its quantity"})
    FillFactory(account=order.account, fees=[{"asset": "BNB", "amount": "0.01", "kind": "fee"}])
    Position.objects.create(
        account=order.account, instrument=order.instrument, net_quantity=1, cost=2, updated_at=clock.now()
    )
    BalanceFactory(account=order.account)
    QuoteFactory(instrument=InstrumentFactory(symbol=f"S{number}USDT"))
    halt("account", order.account.name, reason="odd", by=BY, latched=True)
    now = clock.now()
    Approval.objects.create(
        act="lift_latch",
        subject=f"account:{order.account.name}",
        reason="x",
        requested_by="user:eve",
        requested_at=now,
        expires_at=now + timedelta(hours=1),
    )
    Chore.objects.create(name=f"follow:{number}", rung_at=now, finished_at=now, error="ReadFailed: <i>gone</i>")
    Break.objects.create(
        account=order.account,
        kind="balance_mismatch",
        severity="blocking",
        subject="BTC",
        opened_at=now,
        last_seen_at=now,
    )
    set_blocked_by(order.account, "balance mismatch of BTC")
    StreamState.objects.create(kind="market", subject=f"m{number}", exchange="binance", written_at=now)
    HostPause.objects.create(host=f"h{number}", until=now + timedelta(minutes=1), reason="429")


def test_desk_asks_as_much_for_thirty_rows_as_for_three(operator: Client) -> None:
    asked = []
    for first, last in ((0, 3), (3, 30)):
        for number in range(first, last):
            _one_of_everything(number)
        with CaptureQueriesContext(connection) as queries:
            assert operator.get("/admin/").status_code == 200
        asked.append(len(queries))
    assert asked[0] == asked[1] <= 33
    assert not [q["sql"] for q in queries if "COUNT(*)" in q["sql"].upper() and "LIMIT" not in q["sql"].upper()]


def test_desk_shows_what_there_is_and_escapes_it(operator: Client) -> None:
    _one_of_everything(1)
    html = operator.get("/admin/").content.decode()
    words = words_of(html)
    for expected in (
        "MAX_ORDER_NOTIONAL",
        "TRADING_HALTED",
        "filled beyond its quantity",
        "lift latch",
        "0.01 BNB",
        "Paused until",
        "Propose start",
        "ledger and balance differ",
        "no more exposure: balance mismatch of BTC",
    ):
        assert expected in words, expected
    assert "Too large &lt;b&gt;1&lt;/b&gt;" in html and "ReadFailed: &lt;i&gt;gone&lt;/i&gt;" in html
    unknown = Order.objects.get(status="submit_unknown")
    section = html[html.index('id="unknown"') : html.index('id="states"')]
    assert str(unknown.id) in section
    assert reverse("admin:act_cancel_order", args=[unknown.id]) in section


def test_desk_hides_acts_from_whoever_may_not(operator: Client) -> None:
    _one_of_everything(1)
    assert "/admin/acts/" in operator.get("/admin/").content.decode()
    auditor = client_of(person("ada", "auditor")).get("/admin/").content.decode()
    assert "MAX_ORDER_NOTIONAL" in auditor and "/admin/acts/" not in auditor


def test_desk_turns_red_when_the_engine_or_facts_grow_old() -> None:
    now = clock.now()
    account = AccountFactory()
    BalanceFactory(account=account, as_of=now)
    QuoteFactory(confirmed_at=now)
    HostClock.objects.create(host="127.0.0.1:9", offset_ms=3, round_trip_ms=2, sampled_at=now)
    for queue in ("ticker", *settings.EXEC_QUEUES):
        QueueBeat.objects.create(queue=queue, sent_at=now, beaten_at=now)
    StreamState.objects.create(
        kind="market", subject="binance:sandbox", exchange="binance", connected_since=now, written_at=now
    )
    desk = read_desk()
    assert desk.late == [] and {beat.tone for beat in desk.beats} == {"good"}
    (line,) = desk.accounts
    assert (line.balances_tone, line.quotes_tone, line.clock_tone) == ("good", "good", "good")
    assert line.clock == "+3 ms"

    QueueBeat.objects.filter(queue="cancel-binance").update(beaten_at=now - timedelta(seconds=40))
    QueueBeat.objects.filter(queue="ticker").delete()
    Balance.objects.update(as_of=now - timedelta(seconds=70))
    Quote.objects.update(confirmed_at=now - timedelta(seconds=20))
    HostClock.objects.update(offset_ms=900)
    StreamState.objects.update(connected_since=None)
    desk = read_desk()
    assert {beat.name for beat in desk.late} == {"cancel-binance", "ticker", "market binance:sandbox"}
    (line,) = desk.accounts
    assert (line.balances_tone, line.quotes_tone, line.clock_tone) == ("danger", "danger", "danger")


def test_desk_counts_working_orders_without_the_unknown_ones() -> None:
    whole_order(status="open")
    whole_order(status="submit_unknown")
    whole_order(status="settled", ended_as="filled")
    desk = read_desk()
    assert (desk.working_words, desk.unknown_total) == ("1", 1)
    assert [order.status for order in desk.working] == [OrderStatus.OPEN]


def test_fragments_are_parts_of_pages_for_staff_alone(operator: Client) -> None:
    for name in ("live_bar", "live_desk"):
        html = operator.get(reverse(f"admin:{name}")).content.decode()
        assert "<html" not in html and "bo-" in html
        response = Client().get(reverse(f"admin:{name}"))
        assert response.status_code == 302 and response["Location"].startswith("/admin/login/")
    index = operator.get("/admin/").content.decode()
    assert f'data-live="{reverse("admin:live_bar")}"' in index and f'data-live="{reverse("admin:live_desk")}"' in index


# -------------------------------------------------------------------------------------------------------- the frame


def test_sidebar_has_a_page_behind_every_entry_and_hides_what_one_may_not_see() -> None:
    registered = {model._meta.label for model in admin.site._registry}
    labels = {label.partition("/")[0] for _, entries in GROUPS for _, label, _ in entries}
    assert labels <= registered
    auditor = client_of(person("ada", "auditor")).get("/admin/").content.decode()
    assert 'href="/admin/orders/order/"' in auditor and 'href="/admin/auth/user/"' not in auditor
    assert 'href="/admin/django_q/ormq/"' not in auditor
    root = client_of(User.objects.create_superuser("root")).get("/admin/").content.decode()
    for label in labels:
        assert f'href="/admin/{label.lower().replace(".", "/")}/"' in root


@pytest.mark.parametrize(
    "page", ["/admin/", "/admin/login/", "/admin/orders/order/", "/admin/acts/kill", "/api/exec/x"]
)
def test_no_answer_lets_a_browser_run_what_is_not_ours(operator: Client, page: str) -> None:
    response = (Client() if "login" in page else operator).get(page)
    policy = dict(part.split(" ", 1) for part in response["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'none'" and policy["frame-ancestors"] == "'none'"
    assert policy["script-src"] == "'self' 'unsafe-eval'"
    html = response.content.decode()
    assert not re.findall(r"<script(?![^>]*\bsrc=)", html)
    assert not re.findall(r"<[^>]+\son[a-z]+=", html)
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', html)


def test_what_is_refused_or_missing_in_the_admin_is_a_page_in_words(operator: Client) -> None:
    for path, status, said in (
        ("/admin/auth/user/", 403, "Your groups do not allow this page."),
        ("/admin/no/such/page/", 404, "There is no such page"),
    ):
        response = operator.get(path)
        assert response.status_code == status
        html = response.content.decode()
        assert said in html and "Back to the desk" in html
    guarded = client_of(person("rita", "risk"), enforce_csrf_checks=True)
    response = guarded.post("/admin/acts/halt", {"reason": "x"})
    assert response.status_code == 403 and "Nothing was done" in response.content.decode()
    for client in (operator, Client()):
        assert client.get("/api/exec/no-such-path").json()["code"] == "NOT_FOUND"
    assert Client().get("/elsewhere").json()["code"] == "NOT_FOUND"
