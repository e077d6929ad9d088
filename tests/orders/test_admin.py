"""Orders in the admin: the order's page, the lists, the search."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.contrib import admin
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from execution_project.common import clock, ids
from execution_project.common.events import record
from execution_project.common.read_only_admin import ReadOnlyAdmin
from orders.models import AbsenceEvidence, Attempt, Order
from positions.models import Fill
from risk.models import Decision
from tests.factories import (
    BY,
    AbsenceEvidenceFactory,
    AccountFactory,
    BreakFactory,
    CommandFactory,
    ExchangeOrderFactory,
    FillFactory,
    OrderFactory,
    lost_order,
    whole_order,
)
from tests.staff import queries_of, same_queries, signed_in, text_of

pytestmark = pytest.mark.django_db
HOSTILE = "<script>alert(1)</script><img src=x onerror=y>"
LIST = "/admin/orders/order/"
OURS = ("orders", "positions", "risk", "execution_project.common")


@pytest.fixture
def auditor() -> Client:
    """Somebody who may look at everything and do nothing."""
    return signed_in("auditor")


def page(order: Order) -> str:
    return f"/admin/orders/order/{order.id}/change/"


def attempt(order: Order, **values: Any) -> Attempt:
    command = order.commands.get()
    now = clock.now()
    return Attempt.objects.create(
        **{
            "command": command,
            "exchange_order": command.exchange_order,
            "kind": "submit",
            "fence": 1,
            "stamp_ms": 1,
            "recv_window_ms": 5000,
            "send_by": now,
            "body_hash": "",
            "worker": "worker-7",
            "claimed_at": now,
            "answered_at": now + timedelta(milliseconds=42),
            "outcome": "accepted",
            "request": {"path": "/api/v3/order", "symbol": "BTCUSDT"},
            "response": {"status": 200, "body": "fine"},
            **values,
        }
    )


def decided(order: Order, **values: Any) -> Decision:
    return Decision.objects.create(
        **{
            "id": order.decision_id,
            "order_id": order.id,
            "accepted": True,
            "results": [
                {
                    "number": 4,
                    "control": "max_order_notional",
                    "outcome": "pass",
                    "code": "",
                    "detail": "",
                    "observed": "60000",
                    "limit": "100000",
                    "headroom": "40000",
                    "inputs": {},
                    "microseconds": 3,
                }
            ],
            "inputs": {"available": "1"},
            "gate_seq": 7,
            "decided_at": clock.now(),
            "actor": "key:tester",
            **values,
        }
    )


def test_the_page_tells_the_whole_story(auditor: Client) -> None:
    order = whole_order(status="partially_filled", filled_quantity=Decimal("0.25"), filled_quote=Decimal("15000"))
    decided(order)
    record("order.open", "order", order.id, BY, from_status="submitting", to_status="open", evidence={"seen": "it"})
    attempt(order, code="-2010", message="Account has insufficient balance")
    fill = FillFactory(
        order_id=order.id,
        account=order.account,
        trade_id="778899",
        quantity=Decimal("0.25"),
        price=Decimal("60000"),
        fees=[{"asset": "BNB", "amount": "0.00075", "kind": "fee"}],
    )
    text = text_of(auditor.get(page(order)))
    row = order.exchange_orders.get()
    for said in (
        *("BUY 1 BTC (BTCUSDT)", "partially filled", "sandbox", order.account.name, "0.25 of 1 BTC filled"),
        *("at 60000 on average", "submitting → open", "key:tester", "a test", "&quot;seen&quot;: &quot;it&quot;"),
        *("worker-7", "42 ms", "-2010 Account has insufficient balance", "/api/v3/order", "778899", "0.00075 BNB"),
        *("max order notional", "100000", "40000", row.client_order_id, "9001", order.idempotency_key),
        *(f"/admin/positions/fill/{fill.id}/change/", f"/admin/exchanges/account/{order.account_id}/change/"),
        *(
            f"/admin/exchanges/instrument/{order.instrument_id}/change/",
            f"/admin/orders/exchangeorder/{row.id}/change/",
        ),
        f"/admin/risk/decision/{order.decision_id}/change/",
    ):
        assert said in text, said
    assert 'value="25"' in text
    assert text.index("submitting → open") < text.index("submit attempt") < text.index("fill 778899")


def test_what_an_exchange_writes_is_never_markup(auditor: Client) -> None:
    order = whole_order(status="rejected", reason="FILTER", detail=HOSTILE)
    made = attempt(order, outcome="refused", code="<b>1</b>", message=HOSTILE, response={"body": HOSTILE})
    event = record("order.rejected", "order", order.id, BY, evidence={"message": HOSTILE})
    order.exchange_orders.update(exchange_order_id="<i>9</i>", reported_status="<u>odd</u>", end_proof="refused:<s>")
    FillFactory(
        order_id=order.id, account=order.account, trade_id="<em>5</em>", fees=[{"asset": HOSTILE, "amount": "1"}]
    )
    for url in (
        *(page(order), LIST, "/admin/orders/attempt/", f"/admin/orders/attempt/{made.id}/change/"),
        *("/admin/orders/exchangeorder/", "/admin/positions/fill/", f"/admin/common/event/{event.id}/change/"),
        f"{LIST}?q={HOSTILE}",
    ):
        text = text_of(auditor.get(url))
        for markup in ("<script>alert", "<img src=x", "<b>1</b>", "<i>9</i>", "<u>odd", "<s>", "<em>5"):
            assert markup not in text, (url, markup)
    assert "&lt;script&gt;alert(1)" in text_of(auditor.get(page(order)))


def test_json_in_an_answers_body_is_laid_out(auditor: Client) -> None:
    order = whole_order(status="open")
    attempt(order, response={"body": '{"price":60000.10,"odd":"</pre><b>"}', "other": "{not json"})
    text = text_of(auditor.get(page(order)))
    assert "&quot;price&quot;: &quot;60000.10&quot;" in text
    assert "&lt;/pre&gt;&lt;b&gt;" in text
    assert "{not json" in text


def test_cancel_is_offered_to_whoever_may_while_there_is_something_to_cancel() -> None:
    working, ended = whole_order(status="open"), whole_order(status="filled")
    trader, auditor = signed_in("trader", name="tess"), signed_in("auditor", name="otto")
    act = f"/admin/acts/cancel/{working.id}"
    assert act in text_of(trader.get(page(working)))
    assert act not in text_of(auditor.get(page(working)))
    assert f"/admin/acts/cancel/{ended.id}" not in text_of(trader.get(page(ended)))


def test_an_order_with_500_fills_takes_a_bounded_page(auditor: Client) -> None:
    order = whole_order(status="partially_filled")
    decided(order)

    def fills(count: int) -> None:
        Fill.objects.bulk_create(
            FillFactory.build(
                account=order.account, instrument=order.instrument, order_id=order.id, trade_id=f"t{n}-{count}"
            )
            for n in range(count)
        )

    fills(3)
    auditor.get(page(order))
    few = queries_of(auditor, page(order))
    fills(497)
    for _ in range(250):
        record("order.open", "order", order.id, BY, from_status="open", to_status="open")
    assert queries_of(auditor, page(order)) == few
    assert few <= 24
    text = text_of(auditor.get(page(order)))
    assert text.count("/admin/positions/fill/0") == 50
    assert f"/admin/positions/fill/?q={order.id}" in text
    assert f"/admin/common/event/?q={order.id}" in text
    assert len(text) < 400_000


def test_rounds_of_looking_for_a_lost_order_stand_in_its_timeline(auditor: Client) -> None:
    order = whole_order(status="submit_unknown")
    row = order.exchange_orders.get()
    AbsenceEvidence.objects.create(
        order=order,
        exchange_order=row,
        verdict="failed",
        detail="open orders: timeout",
        asked_at=clock.now(),
        answered_at=clock.now(),
        counts_from_ms=1,
        bounds={},
        answers=[{"call": "open_orders", "error": "timeout"}],
    )
    text = text_of(auditor.get(page(order)))
    assert "looked for it: a question was not answered" in text
    assert "open orders: timeout" in text


def test_the_evidence_says_what_was_asked_and_whether_it_counts(auditor: Client) -> None:
    order = lost_order()
    row = order.exchange_orders.get()
    assert "Evidence" not in text_of(auditor.get(page(order)))
    AbsenceEvidenceFactory(exchange_order=row, at=-10, exchange_ms=999_000, verdict="failed", detail=HOSTILE)
    AbsenceEvidenceFactory(exchange_order=row, at=0)
    text = text_of(auditor.get(page(order)))
    section = text[text.index("<h2>Evidence</h2>") :].partition("</section>")[0]
    assert "no: not every question was answered" in section
    assert "<td>yes</td>" in section
    assert "open orders: HTTP 200" in section
    assert HOSTILE not in text
    few = queries_of(auditor, page(order))
    for at in range(40, 400, 40):
        AbsenceEvidenceFactory(exchange_order=row, at=at)
    assert queries_of(auditor, page(order)) == few


def test_resolving_is_offered_to_whoever_may_while_something_is_unknown() -> None:
    lost, known, closed = lost_order(), whole_order(status="open"), whole_order(status="closed_unverified")
    operations, trader = signed_in("operations", name="olga"), signed_in("trader", name="tom")
    for order, offered in ((lost, True), (closed, True), (known, False)):
        act = f"/admin/acts/resolve/{order.id}"
        assert (act in text_of(operations.get(page(order)))) is offered
        assert act not in text_of(trader.get(page(order)))


def test_a_break_offers_its_acts_while_it_is_open() -> None:
    operations, auditor = signed_in("operations", name="olga"), signed_in("auditor")
    opened, ended = BreakFactory(), BreakFactory(status="resolved", resolution="x", resolved_at=clock.now())
    for row, offered in ((opened, True), (ended, False)):
        text = text_of(operations.get(f"/admin/orders/break/{row.id}/change/"))
        for act in ("take", "end"):
            assert (f"/admin/acts/break/{row.id}/{act}" in text) is offered
        assert "/admin/acts/break/" not in text_of(auditor.get(f"/admin/orders/break/{row.id}/change/"))


@pytest.mark.parametrize("method", ["post", "put", "delete"])
def test_nothing_can_be_posted_to_an_order(method: str) -> None:
    order = whole_order()
    root = signed_in(superuser=True)
    assert getattr(root, method)(page(order), {"status": "filled"}).status_code == 403
    assert root.post(f"/admin/orders/order/{order.id}/delete/", {"post": "yes"}).status_code == 403
    assert root.get("/admin/orders/order/add/").status_code == 403
    assert Order.objects.get().status == "pending"


def found(client: Client, url: str, text: str) -> int:
    answer = client.get(url, {"q": text})
    assert answer.status_code == 200
    return int(answer.context["cl"].result_count)


def test_an_order_is_found_by_each_of_its_ids_and_by_nothing_less(auditor: Client) -> None:
    order = whole_order(status="open", idempotency_key="my-key-1")
    OrderFactory(account=order.account)
    row = order.exchange_orders.get()
    for text in (str(order.id), order.id.hex, str(order.id).upper(), row.client_order_id, "9001", "my-key-1"):
        assert found(auditor, LIST, text) == 1, text
        assert found(auditor, LIST, f"  {text} ") == 1
    assert found(auditor, LIST, "BTCUSDT") == 2
    for text in (str(order.id)[:8], "my-key", "900", "%", "'; --", "☃" * 40, "x" * 5000, str(uuid4()), "\\"):
        assert found(auditor, LIST, text) == 0, text
    hint = text_of(auditor.get(LIST, {"q": "my-key"}))
    assert "Nothing here has exactly “my-key”" in hint
    assert "client order id" in hint
    assert auditor.get(LIST, {"q": "nul\0"}).status_code == 200


def steps(model: Any, path: str) -> list[tuple[Any, str]]:
    """Which columns of which models a search path is looked up by."""
    found = []
    for name in path.split("__"):
        field = model._meta.get_field(name)
        if field.auto_created and not field.concrete:
            model = field.related_model
            found.append((model, field.field.column))
        else:
            found.append((model, field.column))
            model = field.related_model or model
    return found


def test_an_index_leads_to_whatever_a_search_finds() -> None:
    large = {
        model: site
        for model, site in admin.site._registry.items()
        if isinstance(site, ReadOnlyAdmin) and not site.small and type(site).__module__.startswith(OURS)
    }
    assert len(large) >= 11
    leading: dict[str, set[str]] = {}
    with connection.cursor() as cursor:
        for model in large:
            table = model._meta.db_table
            found = connection.introspection.get_constraints(cursor, table).values()
            indexes = [index["columns"] for index in found if index["index"] or index["unique"] or index["primary_key"]]
            leading[table] = {columns[0] for columns in indexes}
            if table == "positions_ledgerentry":  # an asset is looked for account by account
                assert any(columns[:2] == ["account_id", "asset"] for columns in indexes)
                leading[table].add("asset")
    asked = [
        (step_model._meta.db_table, column)
        for model, site in large.items()
        for path in site.search_fields
        for step_model, column in steps(model, path)
        if step_model in large
    ]
    assert len(asked) > 25
    assert [(table, column) for table, column in asked if column not in leading[table]] == []


def test_commands_attempts_and_exchange_orders_are_found_by_ids_pasted(auditor: Client) -> None:
    order = whole_order(status="open")
    made = attempt(order)
    row, command = order.exchange_orders.get(), order.commands.get()
    for url, texts in {
        "/admin/orders/command/": (order.id, command.id, row.client_order_id),
        "/admin/orders/attempt/": (order.id, command.id, made.id, row.client_order_id),
        "/admin/orders/exchangeorder/": (order.id, row.id, row.client_order_id, "9001"),
    }.items():
        for text in texts:
            assert found(auditor, url, str(text)) == 1, (url, text)
        assert found(auditor, url, "no such") == 0


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"standing": "working"}, {"open", "pending", "submit_unknown"}),
        ({"standing": "unknown"}, {"submit_unknown"}),
        ({"standing": "unsettled"}, {"filled"}),
        ({"status__exact": "denied"}, {"denied"}),
        ({"side__exact": "SELL"}, set()),
        ({"when": "1h"}, {"open", "pending", "submit_unknown", "filled", "denied"}),
    ],
)
def test_filters(auditor: Client, parameters: dict[str, str], expected: set[str]) -> None:
    for status in ("open", "pending", "submit_unknown", "filled", "denied"):
        OrderFactory(status=status)
    rows = auditor.get(LIST, parameters).context["cl"].result_list
    assert {row.status for row in rows} == expected


def test_time_drill_down_goes_by_the_time_in_the_id(auditor: Client) -> None:
    now = clock.now()
    old_id = ids.UUID(int=int((now - timedelta(days=40)).timestamp() * 1000) << 80 | 0x7 << 76)
    old, new = OrderFactory(id=old_id, created_at=now - timedelta(days=40)), OrderFactory()

    def shown(value: str) -> set[Any]:
        return {row.id for row in auditor.get(LIST, {"when": value}).context["cl"].result_list}

    assert shown("30d") == {new.id}
    assert shown(f"{now:%Y-%m-%d}") == {new.id}
    assert shown(f"{old.created_at:%Y-%m}") == {old.id}
    assert shown(f"{old.created_at:%Y-%m-%d}") == {old.id}
    assert f"when={old.created_at:%Y-%m}" in text_of(auditor.get(LIST, {"when": f"{old.created_at:%Y-%m-%d}"}))


@pytest.mark.parametrize("query", ["when=never", "when=2026-13", "when=9999-12", "standing=odd", "p=99999999", "p=x"])
def test_foreign_parameters_lead_back_to_the_list(auditor: Client, query: str) -> None:
    OrderFactory()
    assert auditor.get(f"{LIST}?{query}").status_code in {200, 302}


@pytest.mark.parametrize("query", ["detail__icontains=x", "created_by__regex=.", "account__api_secret_sealed__gt=a"])
def test_lookups_that_no_page_links_to_are_refused(auditor: Client, query: str) -> None:
    assert auditor.get(f"{LIST}?{query}").status_code == 400


def test_the_count_stops_at_its_cap(auditor: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("execution_project.common.read_only_admin.COUNT_CAP", 60)
    account = AccountFactory()
    for _ in range(59):
        OrderFactory(account=account)
    assert "59 orders" in text_of(auditor.get(LIST))
    for _ in range(5):
        OrderFactory(account=account)
    with CaptureQueriesContext(connection) as captured:
        text = text_of(auditor.get(LIST))
    assert "more than 60 orders" in text
    counts = [query["sql"] for query in captured if "COUNT(*)" in query["sql"] and '"orders_order"' in query["sql"]]
    assert any("LIMIT 61" in sql for sql in counts)
    assert all("LIMIT" in sql for sql in counts)
    assert auditor.get(LIST, {"p": 2}).status_code == 200


def test_lists_take_the_same_statements_however_many_rows(auditor: Client) -> None:
    account = AccountFactory()

    def make() -> None:
        order = whole_order(account=account)
        attempt(order)

    for _ in range(3):
        make()
    for url, most in {
        LIST: 16,
        "/admin/orders/exchangeorder/": 12,
        "/admin/orders/command/": 12,
        "/admin/orders/attempt/": 12,
    }.items():
        assert same_queries(auditor, url, make) <= most, url


def test_a_row_that_is_not_there_leads_back_to_the_list_in_words(auditor: Client) -> None:
    for key in ("not-a-uuid", str(uuid4()), "1"):
        answer = auditor.get(f"/admin/orders/order/{key}/change/", follow=True)
        assert answer.redirect_chain == [(LIST, 302)]
        assert "There is no order" in answer.content.decode()


def test_pages_of_commands_and_exchange_orders(auditor: Client) -> None:
    command = CommandFactory(exchange_order=ExchangeOrderFactory(), reason="because")
    assert "because" in text_of(auditor.get(f"/admin/orders/command/{command.id}/change/"))
    row = command.exchange_order
    text = text_of(auditor.get(f"/admin/orders/exchangeorder/{row.id}/change/"))
    assert f"/admin/orders/order/{row.order_id}/change/" in text
