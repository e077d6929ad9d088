"""Trading state, limits, decisions and reservations in the admin."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.test import Client

from execution_project.common import clock, ids
from risk.models import Decision, Limit
from risk.pausing import pause
from risk.trading_state import halt, start
from tests.factories import BY, CircuitFactory, LimitFactory, ReservationFactory, whole_order
from tests.risk.decided import control
from tests.staff import same_queries, signed_in, text_of

DECISIONS = "/admin/risk/decision/"
STATES = "/admin/risk/tradingstate/"


def decision(accepted: bool = False, **values: Any) -> Decision:
    return Decision.objects.create(
        **{
            "order_id": ids.uuid7(),
            "accepted": accepted,
            "results": [
                {
                    "number": 4,
                    "control": "max_order_notional",
                    "outcome": "pass" if accepted else "breach",
                    "code": "" if accepted else "MAX_ORDER_NOTIONAL",
                    "detail": "<i>too much</i>",
                    "observed": "700",
                    "limit": "500",
                    "headroom": "-200",
                    "microseconds": 5,
                }
            ],
            "inputs": {"available": "1000"},
            "gate_seq": 3,
            "decided_at": clock.now(),
            "actor": "key:tester",
            **values,
        }
    )


@pytest.fixture
def auditor(db: None) -> Client:
    """Somebody who may look."""
    return signed_in("auditor")


def test_a_decision_shows_every_control_and_is_found_by_its_order(auditor: Client) -> None:
    order = whole_order()
    row = decision(order_id=order.id)
    decision(accepted=True)
    text = text_of(auditor.get(f"{DECISIONS}{row.id}/change/"))
    for said in (
        "max order notional",
        "MAX_ORDER_NOTIONAL",
        "700",
        "500",
        "-200",
        "&lt;i&gt;too much",
        "&quot;1000&quot;",
    ):
        assert said in text, said
    assert f"/admin/orders/order/{order.id}/change/" in text
    listed = auditor.get(DECISIONS, {"q": str(order.id)})
    assert [found.id for found in listed.context["cl"].result_list] == [row.id]
    assert "MAX_ORDER_NOTIONAL" in listed.content.decode()
    denied = auditor.get(DECISIONS, {"verdict": "denied"}).context["cl"].result_list
    assert [found.id for found in denied] == [row.id]
    assert auditor.get(DECISIONS, {"q": "0"}).context["cl"].result_count == 0


def test_decisions_are_found_by_what_came_of_a_breach(auditor: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def let_pass(outcome: str) -> Decision:
        return decision(accepted=True, mode="paper", results=[control("price_collar", outcome, "global")])

    warned, denied, shadowed = let_pass("warned"), decision(), let_pass("shadowed")

    def found(outcome: str) -> list[Decision]:
        return list(auditor.get(DECISIONS, {"broke": outcome}).context["cl"].result_list)

    assert (found("breach"), found("warned"), found("shadowed")) == ([denied], [warned], [shadowed])
    text = text_of(auditor.get(DECISIONS))
    assert "PRICE_COLLAR (warned)" in text and 'x-blue">paper<' in text
    assert auditor.get(DECISIONS, {"broke": "pass"}).status_code == 302
    monkeypatch.setattr("risk.admin.LOOKED_AT", 2)
    assert (found("warned"), found("shadowed")) == ([], [shadowed]), "beyond the newest two"


def test_of_a_limit_s_versions_the_one_that_counts_is_marked(auditor: Client) -> None:
    past = clock.now() - timedelta(hours=1)
    first, counts = LimitFactory(), LimitFactory(version=2)
    expired = LimitFactory(version=3, expires_at=past)
    listed = auditor.get("/admin/risk/limit/", {"counts": "yes"}).context["cl"].result_list
    assert list(listed) == [counts]
    assert set(auditor.get("/admin/risk/limit/", {"counts": "no"}).context["cl"].result_list) == {first, expired}
    for row, said in ((first, "replaced"), (counts, "counts"), (expired, "expired")):
        assert f">{said}<" in text_of(auditor.get(f"/admin/risk/limit/{row.pk}/change/"))


@pytest.mark.django_db(transaction=True)
def test_a_scope_offers_what_its_state_calls_for() -> None:
    risk, auditor = signed_in("risk", name="rita"), signed_in("auditor", name="otto")
    active = start("account", "calm", reason="", by=BY)
    halted = halt("account", "a&b", reason="<b>why</b>", by=BY)
    latched = halt("global", "", reason="kill", by=BY, latched=True)

    def page(client: Client, key: int) -> str:
        return text_of(client.get(f"{STATES}{key}/change/"))

    assert "/admin/acts/halt?kind=account&amp;key=calm" in page(risk, active.pk)
    assert "/admin/acts/start?kind=account&amp;key=a%26b" in page(risk, halted.pk)
    assert "Propose start" in page(risk, latched.pk)
    for row in (active, halted, latched):
        assert "x-button" not in page(auditor, row.pk)
    listing = text_of(auditor.get(STATES))
    assert "&lt;b&gt;why" in listing
    assert "latched" in listing


@pytest.mark.django_db
def test_an_open_circuit_may_be_closed_by_whoever_may_start() -> None:
    risk, auditor = signed_in("risk", name="rita"), signed_in("auditor", name="otto")
    opened = CircuitFactory()
    lapsed = CircuitFactory(symbol="ETHUSDT", open_until=clock.now() - timedelta(seconds=1))
    counting = CircuitFactory(symbol="BTCEUR", open_until=None)
    for row, offered in ((opened, True), (lapsed, False), (counting, False)):
        act, page = f"/admin/acts/circuit/{row.pk}", f"/admin/risk/circuit/{row.pk}/change/"
        assert (act in text_of(risk.get(page))) is offered
        assert act not in text_of(auditor.get(page))


@pytest.mark.django_db
def test_nothing_of_the_gate_can_be_edited() -> None:
    root = signed_in(superuser=True)
    limit, row = LimitFactory(), decision()
    for url in (f"/admin/risk/limit/{limit.pk}", f"{DECISIONS}{row.pk}"):
        assert root.post(f"{url}/change/", {"value": "9"}).status_code == 403
        assert root.post(f"{url}/delete/", {"post": "yes"}).status_code == 403
    assert root.get("/admin/risk/limit/add/").status_code == 403
    assert Limit.objects.count() == 1


def test_reservations_are_found_by_order_and_exchange_order(auditor: Client) -> None:
    row = ReservationFactory()
    ReservationFactory(amount=0)
    url = "/admin/risk/reservation/"
    for key in (row.order_id, row.exchange_order_id):
        assert isinstance(key, UUID)
        assert auditor.get(url, {"q": str(key)}).context["cl"].result_count == 1
    assert auditor.get(url, {"standing": "live"}).context["cl"].result_count == 1
    assert "100 USDT" in text_of(auditor.get(f"{url}?standing=live"))


def test_lists_take_the_same_statements_however_many_rows(auditor: Client) -> None:
    numbers = iter(range(1000))

    def make() -> None:
        decision()
        ReservationFactory()
        LimitFactory(scope_key=f"account-{next(numbers)}")

    for _ in range(3):
        make()
    for name in ("decision", "reservation", "limit", "tradingstate", "circuit"):
        assert same_queries(auditor, f"/admin/risk/{name}/", make) <= 14, name


def test_a_pause_is_shown_with_its_end(auditor: Client) -> None:
    given: dict[str, Any] = {
        "length": timedelta(minutes=5),
        "reason": "three losses",
        "evidence": {"observed": "3"},
        "by": BY,
    }
    row = pause("sandbox", "strategy", "momentum", control="max_losing_closes_1h", **given)
    assert row is not None
    listed = text_of(auditor.get("/admin/risk/pause/"))
    for said in ("strategy:momentum", "paused", "three losses"):
        assert said in listed, said
    assert "Pause of strategy:momentum" in text_of(auditor.get(f"/admin/risk/pause/{row.id}/change/"))
