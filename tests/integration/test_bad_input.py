"""Whatever is wrong with a request for an order: one clear problem document, and nothing half-written.

Malformed bodies and single fields: ``tests/common/test_api_problems.py``; what can never be an order, below the API:
``tests/orders/test_placing.py``; a database that is gone: ``test_database_away.py``.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.test import Client
from django_q.models import OrmQ

from exchanges.models import Account
from execution_project.common import clock
from execution_project.common.models import IdempotencyKey
from orders import sweeping
from orders.models import Attempt, Command, ExchangeOrder, Order
from risk.models import Decision, Reservation
from risk.trading_state import halt
from tests.engines import BY, Engine, drain
from tests.factories import AccountFactory, InstrumentFactory, api_key, funded_account
from tests.web import free_port

ACCEPTED = (ExchangeOrder, Reservation, Command, OrmQ)
DECIDED = (Order, Decision, IdempotencyKey)
MARKET = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.001"}
LIMIT = {**MARKET, "type": "LIMIT", "price": "60000.00", "time_in_force": "GTC"}


def post(body: Any, *, key: str | None = None, **headers: str) -> tuple[int, dict[str, Any]]:
    """(status, document) of a POST of an order; a body that is bytes or text is sent as it is."""
    answer = Client().generic(
        "POST",
        "/api/exec/order",
        body if isinstance(body, bytes | str) else json.dumps(body),
        content_type=headers.pop("content_type", "application/json"),
        headers={"Authorization": f"Bearer {key or api_key()}", "Idempotency-Key": "one", **headers},
    )
    document: dict[str, Any] = answer.json()
    assert answer["Content-Type"] == "application/problem+json" or answer.status_code < 400
    assert document.get("request_id") or answer.status_code < 400
    return answer.status_code, document


def assert_nothing_is_written() -> None:
    for model in (*DECIDED, *ACCEPTED):
        assert not model.objects.exists(), model


def assert_only_the_denial_is_written() -> None:
    """The order, its decision and the key that it answers for ever; nothing that would carry it out."""
    assert [model.objects.count() for model in DECIDED] == [1, 1, 1]
    assert Order.objects.get().status == "denied"
    for model in ACCEPTED:
        assert not model.objects.exists(), model


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("body", "status", "code", "pointer"),
    [
        ({**MARKET, "account": "nobody"}, 404, "UNKNOWN_ACCOUNT", None),
        ({**MARKET, "symbol": "NOPE"}, 400, "UNKNOWN_SYMBOL", "/symbol"),
        ({**MARKET, "strategy": "nobody"}, 400, "UNKNOWN_STRATEGY", "/strategy"),
        ({**MARKET, "leverage": "10"}, 400, "INVALID_REQUEST", "/leverage"),
        ({**MARKET, "quantity": "-0.001"}, 400, "INVALID_REQUEST", "/quantity"),
        ({**MARKET, "quantity": "0"}, 400, "INVALID_REQUEST", "/quantity"),
        ({**MARKET, "quantity": "0.000"}, 400, "INVALID_REQUEST", "/quantity"),
        ({**MARKET, "quantity": "NaN"}, 400, "INVALID_REQUEST", "/quantity"),
        ({**MARKET, "quantity": "Infinity"}, 400, "INVALID_REQUEST", "/quantity"),
        ({**MARKET, "quantity": "1e-3"}, 400, "INVALID_REQUEST", "/quantity"),
        ({**MARKET, "quantity": "1" * 40}, 400, "INVALID_REQUEST", "/quantity"),
        ({**MARKET, "quantity": "0." + "1" * 40}, 400, "INVALID_REQUEST", "/quantity"),
        ({**MARKET, "quantity": 0.001}, 400, "INVALID_REQUEST", "/quantity"),
        ({**MARKET, "quote_quantity": "60"}, 400, "ONE_QUANTITY", "/quantity"),
        ({name: value for name, value in MARKET.items() if name != "quantity"}, 400, "ONE_QUANTITY", "/quantity"),
        ({**MARKET, "price": "60000"}, 400, "UNEXPECTED_FIELD", "/price"),
        ({**MARKET, "type": "ICEBERG"}, 400, "INVALID_REQUEST", "/type"),
        ({**LIMIT, "time_in_force": "GTD"}, 400, "INVALID_REQUEST", "/time_in_force"),
        ('{"quantity": NaN}', 400, "MALFORMED_BODY", None),
        ({**MARKET, "account": "x" * 70_000}, 413, "BODY_TOO_LARGE", None),
    ],
)
def test_what_is_no_order_is_refused_and_leaves_nothing(body: Any, status: int, code: str, pointer: str | None) -> None:
    account = funded_account(USDT="1000")
    if isinstance(body, dict):
        body = {"account": account.name, **body}
    got, document = post(body)
    assert (got, document["code"]) == (status, code), document
    assert [error["pointer"] for error in document.get("errors", [])] == ([] if pointer is None else [pointer])
    assert len(json.dumps(document)) < 2000, "what was sent is not echoed at length"
    assert_nothing_is_written()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("change", "code", "pointer"),
    [
        ({"type": "LIMIT_MAKER", "quantity": "1", "price": "60000"}, "NOT_SUPPORTED", "/type"),
        (
            {"type": "LIMIT", "quantity": "1", "price": "60000", "time_in_force": "FOK"},
            "NOT_SUPPORTED",
            "/time_in_force",
        ),
        ({"type": "MARKET", "quantity": "1"}, "NOT_SUPPORTED", "/quantity"),
    ],
)
def test_what_the_exchange_cannot_do_is_refused_and_leaves_nothing(
    change: dict[str, str], code: str, pointer: str
) -> None:
    account = AccountFactory(exchange="btcturk")
    InstrumentFactory(exchange="btcturk")
    status, document = post({"account": account.name, "symbol": "BTCUSDT", "side": "BUY", **change})
    assert (status, document["code"]) == (400, code), document
    assert [error["pointer"] for error in document["errors"]] == [pointer]
    assert_nothing_is_written()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({**MARKET, "quantity": "0.001001"}, "FILTER_LOT_SIZE"),
        ({**LIMIT, "quantity": "0.000001"}, "FILTER_LOT_SIZE"),
        ({**LIMIT, "price": "60000.001"}, "FILTER_PRICE_FILTER"),
        ({**LIMIT, "quantity": "0.00001"}, "FILTER_NOTIONAL"),
        ({**MARKET, "quantity": "1"}, "INSUFFICIENT_FUNDS"),
    ],
)
def test_what_the_exchange_would_refuse_is_denied_with_its_reason_for_good(body: dict[str, str], code: str) -> None:
    account, key = funded_account(USDT="1000"), api_key()
    status, document = post({"account": account.name, **body}, key=key)
    assert status == 422
    assert code in document["decision"]["breaches"], document
    assert (document["order"]["status"], document["code"]) == ("denied", document["decision"]["breaches"][0])
    assert_only_the_denial_is_written()
    status, again = post({"account": account.name, **body}, key=key)
    assert (status, again["order"]["id"]) == (422, document["order"]["id"])
    assert_only_the_denial_is_written()


@pytest.mark.django_db
def test_keys_content_types_and_idempotency_keys_that_do_not_do() -> None:
    account, own = funded_account(USDT="1000"), api_key()
    body = {**MARKET, "account": account.name}
    cases: list[tuple[int, str, dict[str, Any]]] = [
        (401, "INVALID_API_KEY", {"key": "exk_0_0"}),
        (401, "INVALID_API_KEY", {"Authorization": "Basic eDp5"}),
        (404, "UNKNOWN_ACCOUNT", {"key": api_key(accounts=["another"])}),
        (403, "MISSING_SCOPE", {"key": api_key("read", "operate")}),
        (415, "UNSUPPORTED_MEDIA_TYPE", {"content_type": "text/csv"}),
        (400, "IDEMPOTENCY_KEY_INVALID", {"Idempotency-Key": ""}),
    ]
    for status, code, options in cases:
        got, document = post(body, **{"key": own, **options})
        assert (got, document["code"]) == (status, code), document
        assert_nothing_is_written()
    answer = Client().post(
        "/api/exec/order", body, content_type="application/json", headers={"Authorization": f"Bearer {own}"}
    )
    assert (answer.status_code, answer.json()["code"]) == (400, "IDEMPOTENCY_KEY_MISSING")
    assert_nothing_is_written()
    assert post(body, key=own)[0] == 202
    got, document = post({**body, "quantity": "0.002"}, key=own)
    assert (got, document["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")
    assert [model.objects.count() for model in (*DECIDED, *ACCEPTED)] == [1] * 7


@pytest.mark.django_db
@pytest.mark.parametrize("scope", [("global", ""), ("exchange", "binance"), ("symbol", "BTCUSDT")])
def test_a_stopped_engine_denies_and_says_so(scope: tuple[str, str]) -> None:
    account = funded_account(USDT="1000")
    halt(*scope, reason="a test", by=BY)
    status, document = post({**MARKET, "account": account.name})
    assert (status, document["code"]) == (422, "TRADING_HALTED")
    assert_only_the_denial_is_written()


@pytest.mark.e2e
def test_while_the_exchange_cannot_be_reached_an_order_waits_and_is_denied_when_its_time_is_over(
    engine: Engine,
) -> None:
    """Nothing left the engine: it stays pending and is tried again until ``valid_for``, then it ends STALE_INTENT."""
    reachable = Account.objects.get(id=engine.account.id).rest_url
    assert urlsplit(reachable).hostname == "127.0.0.1"
    Account.objects.update(rest_url=f"http://127.0.0.1:{free_port()}")
    status, order = engine.place(side="SELL", quantity="0.01", valid_for=60)
    assert status == 202
    drain()
    document = engine.order(order["id"])
    assert (document["status"], document["filled_quantity"]) == ("pending", "0")
    assert {attempt["outcome"] for command in document["commands"] for attempt in command["attempts"]} <= {"not_sent"}
    Order.objects.update(valid_until=clock.now() - timedelta(seconds=1))
    sweeping.expire_stale_intents()
    drain()
    document = engine.order(order["id"])
    assert (document["status"], document["reason"]) == ("denied", "STALE_INTENT")
    assert Reservation.objects.get().amount == 0
    assert engine.simulator.posted() == {}
    Account.objects.update(rest_url=reachable)
    drain()
    assert Attempt.objects.exclude(outcome="not_sent").count() == 0
    assert engine.order(order["id"])["status"] == "denied"
