"""The whole API against its own description: no 5xx, and every answer is one that the schema shows, to the member.

``PROOF_ROUNDS`` in the environment raises the number of examples.
"""

from __future__ import annotations

import os
from decimal import Decimal
from typing import Any

import pytest
import schemathesis
from django.core.wsgi import get_wsgi_application
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from execution_project.common import clock
from execution_project.common.models import ApiKey
from orders.flattening import plan_flatten
from orders.models import Break, BreakKind, Order, Severity
from risk.alerts import Alarm, raise_alert
from risk.limits import Change, newest, propose, tighten_or_set
from risk.models import Alert, AlertKind, AlertSeverity, Enforcement, KillEpisode
from risk.trading_state import halt
from tests.engines import BY, Engine, drain, make_engine
from tests.factories import HoldingFactory, StrategyFactory
from tests.kills import SECOND, take_for_proven

TURNOVER = ("max_turnover_1d", "live", "global", "")
EXAMPLES = max(10, int(os.environ.get("PROOF_ROUNDS", "0")))
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
# Limits and halts come last, or no order would pass the gate any more.
LAST = ["setLimit", "stop", "kill", "start"]

SCHEMA = schemathesis.openapi.from_wsgi("/api/exec/schema", get_wsgi_application())
for name, component in SCHEMA.raw_schema["components"]["schemas"].items():
    # Clients shall bear new members; here a member that nobody described is a finding.
    if name != "Problem" and "properties" in component:
        component["additionalProperties"] = False
OPERATIONS = sorted(
    (found.ok() for found in SCHEMA.get_all_operations()),
    key=lambda operation: LAST.index(name) if (name := operation.definition.raw["operationId"]) in LAST else -1,
)


def seed(engine: Engine) -> dict[str, list[str]]:
    """Orders in many states at both exchanges, with fills, replaces and a denial; breaks of every severity.

    Returns the ids that paths take.
    """
    other = make_engine(engine.simulator, exchange="btcturk")
    # Its word counts as somebody's.
    scopes = ["read", "trade", "operate", "approve"]
    ApiKey.objects.update(requests_per_second=1_000_000, owner="ann", scopes=scopes)
    answers = [
        engine.place(),
        engine.limit("BUY", "0.01", "50000.00"),
        engine.limit("BUY", "0.02", "50000.00", strategy="demo"),
        engine.place(side="SELL", quantity="0.005", strategy="demo"),
        engine.place(quantity="100"),
        other.place(quote_quantity="500"),
    ]
    drain()
    orders = [str(order.id) for order in Order.objects.order_by("id")]
    assert len(orders) == len(answers)
    engine.request("PATCH", f"order/{orders[1]}", {"price": "51000.00"})
    engine.request("DELETE", f"order/{orders[2]}")
    drain()
    now = clock.now()
    breaks = [
        Break.objects.create(
            # not of the account that orders are placed with: an open break blocks it
            account=other.account,
            kind=BreakKind.values[0],
            severity=severity,
            subject=f"{severity} {number}",
            opened_at=now,
            last_seen_at=now,
        )
        for severity in Severity.values
        for number in range(2)
    ]
    kills = [str(verified_kill(engine, f"killed-{number}").id) for number in range(3)]
    tighten_or_set(*TURNOVER, Decimal(10), reason="a careful start", by=BY)
    for number in range(3):
        raise_alert(Alarm(AlertKind.TRIPPED, f"test {number}", AlertSeverity.CRITICAL, "global", "a latch"), by=BY)
    return {
        "order_id": orders,
        "break_id": [str(row.id) for row in breaks],
        "kill_id": kills,
        "approval_id": [proposed() for _ in range(3)],
        "alert_id": [str(row.id) for row in Alert.objects.all()],
    }


def proposed() -> str:
    """The id of another person's proposal to loosen a limit."""
    stands = newest(*TURNOVER)
    assert stands is not None and stands.value is not None
    change = Change(*TURNOVER, stands.value + 1, Enforcement.BLOCK.value, None)
    return str(propose(change, reason="the desk grows", by=SECOND).id)


def verified_kill(engine: Engine, strategy: str) -> KillEpisode:
    """The kill of a strategy of its own that holds something; its proof is taken for granted."""
    HoldingFactory(
        account=engine.account, asset="BTC", strategy=StrategyFactory(name=strategy), quantity=Decimal("0.001")
    )
    halt("strategy", strategy, reason="a drill", by=BY, latched=True)
    return take_for_proven("strategy", strategy)


def made_real(case: Case, choice: int, engine: Engine, ids: dict[str, list[str]]) -> None:
    """Put what exists in the place of what was made up, in some of the cases."""
    for name in case.path_parameters.keys() & ids.keys():
        if choice % 4:
            case.path_parameters[name] = ids[name][choice % len(ids[name])]
    if isinstance(case.query, dict):
        if "wait" in case.query:
            case.query["wait"] = min(0, case.query["wait"]) if isinstance(case.query["wait"], int) else "x"
        for name, value in {"account": engine.account.name, "symbol": "BTCUSDT", "strategy": "demo"}.items():
            if name in case.query and choice % 2:
                case.query[name] = value
    body: Any = case.body
    if isinstance(body, dict) and choice % 8:
        real: dict[str, Any] = {"account": engine.account.name, "symbol": "BTCUSDT", "strategy": "demo"}
        body.update({name: value for name, value in real.items() if name in body})
        if isinstance(body.get("scope"), dict) and choice % 2:
            body["scope"] = {"account": engine.account.name}


def known_to_work(operation: Any, engine: Engine) -> dict[str, Any] | None:
    """A request that succeeds, for operations whose bodies are seldom right by chance."""
    if operation.label == "POST /api/exec/order":
        order = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.01"}
        return {
            "headers": {"Idempotency-Key": "known-to-work"},
            "body": {"account": engine.account.name, **order},
        }
    if operation.label == "POST /api/exec/limits":
        limit = {"control": "max_order_rate_1s", "scope": "global", "mode": "live", "value": "100"}
        return {"body": {**limit, "reason": "a careful start"}}
    if operation.label == "POST /api/exec/start":
        return {"body": {"scope": {"symbol": "ETHUSDT"}, "reason": "prices are back"}}
    if operation.label == "POST /api/exec/kills/{kill_id}/flatten":
        episode = verified_kill(engine, "killed-and-flattened")
        return {
            "path_parameters": {"kill_id": str(episode.id)},
            "body": {"confirm": plan_flatten(episode).confirm, "reason": "a drill"},
        }
    if operation.label.startswith("POST /api/exec/approvals/"):
        return {"path_parameters": {"approval_id": proposed()}}
    if operation.label == "POST /api/exec/order/{order_id}/override":
        account = engine.account
        tighten_or_set("max_order_quantity", account.mode, "symbol", "BTCUSDT", Decimal(1), reason="fat finger", by=BY)
        status, document = engine.limit("BUY", "1.1", "50000.00")
        assert (status, document["code"]) == (422, "MAX_ORDER_QUANTITY"), document
        denied = Order.objects.filter(status="denied").latest("id")
        body = {"controls": ["max_order_quantity"], "reason": "one client's rebalancing, agreed with the desk head"}
        return {"path_parameters": {"order_id": str(denied.id)}, "body": body}
    if operation.label == "PATCH /api/exec/order/{order_id}":
        status, document = engine.limit("BUY", "0.01", "50000.00")
        assert status == 202, document
        drain()
        return {"path_parameters": {"order_id": document["id"]}, "body": {"price": "51000.00"}}
    if operation.label == "POST /api/exec/order/{order_id}/resolve":
        engine.simulator.fault("drop_before")
        status, document = engine.limit("BUY", "0.01", "50000.00")
        assert status == 202, document
        drain("submit-binance")
        return {"path_parameters": {"order_id": document["id"]}, "body": {"outcome": "rejected", "reason": "not there"}}
    return None


def statuses_of(operation: Any, mode: GenerationMode, engine: Engine, ids: dict[str, list[str]]) -> set[int]:
    """Send many requests of one operation and hold every answer against the schema; returns the statuses seen."""
    statuses: set[int] = set()

    def send(case: Case) -> None:
        answer = case.call(headers={"Authorization": f"Bearer {engine.api_key}"})
        statuses.add(answer.status_code)
        case.validate_response(answer, checks=CHECKS)

    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(case=operation.as_strategy(mode), choice=st.integers(min_value=0, max_value=63))
    def every_case(case: Case, choice: int) -> None:
        made_real(case, choice, engine, ids)
        send(case)

    certain = known_to_work(operation, engine)
    if certain is not None:
        send(operation.Case(method=operation.method, media_type="application/json", **certain))
    every_case()
    return statuses


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_every_answer_is_one_that_the_schema_shows(
    engine: Engine, mode: GenerationMode, subtests: pytest.Subtests
) -> None:
    ids = seed(engine)
    for operation in OPERATIONS:
        with subtests.test(operation=operation.label):
            engine.refresh()
            statuses = statuses_of(operation, mode, engine, ids)
            if mode is GenerationMode.POSITIVE:
                assert statuses & {200, 202}, "it never succeeded: nothing is known of that answer"
