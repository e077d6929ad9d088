"""Every error of the API is a problem document with a stable code, through the real middleware, parser and views."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client

from execution_project.common import clock
from execution_project.common.ids import uuid7
from execution_project.common.models import ApiKey
from orders.api import views
from orders.models import Order
from tests.factories import api_key, funded_account

pytestmark = pytest.mark.django_db
BODY = {"account": "main", "symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.01"}


NOBODYS = "0192f3a0-0000-7000-8000-000000000000"


def call(method: str, path: str, body: Any = None, *, key: str | None = None, **extra: Any) -> Any:
    """(status, document, response) of one call; ``body`` is sent as it is when it is bytes or text."""
    data = body if isinstance(body, bytes | str) else b"" if body is None else json.dumps(body)
    headers = {**({"Authorization": f"Bearer {key}"} if key else {}), **extra.pop("headers", {})}
    answer = Client(raise_request_exception=False).generic(
        method, path, data, content_type=extra.pop("content_type", "application/json"), headers=headers
    )
    return answer.status_code, answer.json(), answer


def refused(status: int, code: str, answer: Any) -> dict[str, Any]:
    """Assert the shape that every problem has, and return it."""
    got, document, response = answer
    assert (got, document["code"]) == (status, code), document
    assert response["Content-Type"] == "application/problem+json"
    assert document["status"] == status
    assert document["type"] == f"urn:exec:problem:{code.lower()}"
    assert document["title"] and document["detail"]
    assert document["request_id"] == response["X-Request-Id"] != ""
    result: dict[str, Any] = document
    return result


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/exec/order"),
        ("GET", f"/api/exec/order/{NOBODYS}"),
        ("DELETE", f"/api/exec/order/{NOBODYS}"),
        ("GET", "/api/exec/orders"),
        ("DELETE", "/api/exec/orders"),
        ("OPTIONS", "/api/exec/orders"),
        ("POST", "/api/exec/kill"),
        ("POST", "/api/exec/stop"),
        ("POST", "/api/exec/start"),
        ("GET", "/api/exec/positions"),
        ("GET", "/api/exec/fills"),
    ],
)
def test_without_a_key_nothing_answers(method: str, path: str) -> None:
    answer = call(method, path, {})
    refused(401, "NOT_AUTHENTICATED", answer)
    assert answer[2]["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("header", ["Basic dXNlcjpwdw==", "Bearer", "Bearer exk_0_0", "Bearer a b", "exk_1_2"])
def test_a_key_that_proves_nothing_is_refused(header: str) -> None:
    refused(401, "INVALID_API_KEY", call("GET", "/api/exec/fills", headers={"Authorization": header}))


def test_an_expired_and_a_revoked_key_are_refused() -> None:
    key = api_key("read")
    assert call("GET", "/api/exec/fills", key=key)[0] == 200
    ApiKey.objects.update(expires_at=clock.now() - timedelta(seconds=1))
    refused(401, "INVALID_API_KEY", call("GET", "/api/exec/fills", key=key))
    ApiKey.objects.update(expires_at=None, revoked_at=clock.now())
    refused(401, "INVALID_API_KEY", call("GET", "/api/exec/fills", key=key))


@pytest.mark.parametrize(
    ("method", "path", "needed"),
    [
        ("POST", "order", ["trade"]),
        ("DELETE", f"order/{NOBODYS}", ["trade", "operate"]),
        ("GET", f"order/{NOBODYS}", ["read"]),
        ("PATCH", f"order/{NOBODYS}", ["trade"]),
        ("GET", "orders", ["read"]),
        ("DELETE", "orders", ["trade", "operate"]),
        ("POST", "kill", ["operate"]),
        ("POST", "stop", ["operate"]),
        ("POST", "start", ["operate"]),
        ("POST", f"approvals/{NOBODYS}/approve", ["approve"]),
        ("POST", f"approvals/{NOBODYS}/reject", ["approve"]),
        ("GET", "positions", ["read"]),
        ("GET", "fills", ["read"]),
    ],
)
def test_every_call_needs_one_of_its_scopes_and_no_other_serves(method: str, path: str, needed: list[str]) -> None:
    others = {"read", "trade", "operate", "approve"} - set(needed)
    document = refused(403, "MISSING_SCOPE", call(method, f"/api/exec/{path}", {}, key=api_key(*others)))
    for scope in needed:
        assert f"'{scope}'" in document["detail"]
        assert call(method, f"/api/exec/{path}", {}, key=api_key(scope))[0] != 403


def test_a_key_of_another_account_sees_no_order_and_no_account() -> None:
    account = funded_account(USDT="1000")
    status, order, _ = call(
        "POST", "/api/exec/order", {**BODY, "account": account.name}, key=api_key(), headers={"Idempotency-Key": "1"}
    )
    assert status == 202
    stranger = api_key(accounts=["another"])
    for method in ("GET", "DELETE"):
        refused(404, "UNKNOWN_ORDER", call(method, f"/api/exec/order/{order['id']}", key=stranger))
    refused(404, "UNKNOWN_ACCOUNT", call("POST", "/api/exec/order", {**BODY, "account": account.name}, key=stranger))
    for scope in ("global", {"account": account.name}, {"exchange": "binance"}):
        refused(403, "SCOPE_NOT_ALLOWED", call("POST", "/api/exec/stop", {"scope": scope}, key=stranger))
    assert Order.objects.get(id=order["id"]).status == "pending"


def test_what_is_not_there_is_404() -> None:
    refused(404, "NOT_FOUND", call("GET", "/api/exec/nowhere", key=api_key()))
    refused(404, "NOT_FOUND", call("GET", "/api/exec/order/not-an-id", key=api_key()))
    refused(404, "UNKNOWN_ORDER", call("GET", f"/api/exec/order/{uuid7()}", key=api_key()))


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "order"), ("PUT", "order"), ("PATCH", "fills"), ("DELETE", "positions"), ("GET", "stop")],
)
def test_a_method_that_a_path_does_not_have_is_405(method: str, path: str) -> None:
    refused(405, "METHOD_NOT_ALLOWED", call(method, f"/api/exec/{path}", {}, key=api_key()))


@pytest.mark.parametrize(
    "body",
    [
        "{",
        "[]",
        '"text"',
        "1",
        "null",
        '{"account": NaN}',
        '{"a": Infinity}',
        b"\xff\xfe",
        '{"a": 1, "a": 2}',
        '{"scope": {"account": "a", "account": "b"}}',
        "[" * 5000,
    ],
)
def test_a_body_that_is_not_one_plain_json_object_is_refused(body: str | bytes) -> None:
    refused(400, "MALFORMED_BODY", call("POST", "/api/exec/order", body, key=api_key()))


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
def test_another_content_type_is_refused(kind: str) -> None:
    answer = call("POST", "/api/exec/order", json.dumps(BODY), key=api_key(), content_type=kind)
    refused(415, "UNSUPPORTED_MEDIA_TYPE", answer)


@pytest.mark.parametrize(
    ("change", "pointer", "code"),
    [
        ({"quantiy": "1"}, "/quantiy", "UNKNOWN_FIELD"),
        ({"quantity": 0.01}, "/quantity", "NOT_PLAIN_DECIMAL"),
        ({"quantity": 1}, "/quantity", "NOT_PLAIN_DECIMAL"),
        ({"quantity": "1e3"}, "/quantity", "NOT_PLAIN_DECIMAL"),
        ({"quantity": "1_0"}, "/quantity", "NOT_PLAIN_DECIMAL"),
        ({"quantity": "\u0661"}, "/quantity", "NOT_PLAIN_DECIMAL"),
        ({"quantity": "1\n"}, "/quantity", "NOT_PLAIN_DECIMAL"),
        ({"quantity": "0"}, "/quantity", "POSITIVE"),
        ({"quantity": "-1"}, "/quantity", "POSITIVE"),
        ({"quantity": None}, "/quantity", "NULL"),
        ({"account": 7}, "/account", "NOT_A_STRING"),
        ({"account": None}, "/account", "NULL"),
        ({"symbol": "x" * 51}, "/symbol", "MAX_LENGTH"),
        ({"symbol": "\u0000"}, "/symbol", "NULL_CHARACTERS_NOT_ALLOWED"),
        ({"symbol": "\ud800"}, "/symbol", "SURROGATE_CHARACTERS_NOT_ALLOWED"),
        ({"side": "buy"}, "/side", "INVALID_CHOICE"),
        ({"type": "STOP"}, "/type", "INVALID_CHOICE"),
        ({"reduce_only": "true"}, "/reduce_only", "NOT_BOOLEAN"),
        ({"reduce_only": 1}, "/reduce_only", "NOT_BOOLEAN"),
        ({"valid_for": "10"}, "/valid_for", "OUT_OF_RANGE"),
        ({"valid_for": 0}, "/valid_for", "OUT_OF_RANGE"),
        ({"valid_for": 86_401}, "/valid_for", "OUT_OF_RANGE"),
        ({"valid_for": True}, "/valid_for", "OUT_OF_RANGE"),
    ],
)
def test_a_field_that_is_not_valid_is_named(change: dict[str, Any], pointer: str, code: str) -> None:
    document = refused(400, "INVALID_REQUEST", call("POST", "/api/exec/order", {**BODY, **change}, key=api_key()))
    assert [(error["pointer"], error["code"]) for error in document["errors"]] == [(pointer, code)]


@pytest.mark.parametrize("body", ["{}", ""])
def test_all_fields_that_are_missing_are_named(body: str) -> None:
    document = refused(400, "INVALID_REQUEST", call("POST", "/api/exec/order", body, key=api_key()))
    assert {error["pointer"] for error in document["errors"]} == {"/account", "/symbol", "/side", "/type"}
    assert {error["code"] for error in document["errors"]} == {"REQUIRED"}


@pytest.mark.parametrize(
    ("key", "code"),
    [
        (None, "IDEMPOTENCY_KEY_MISSING"),
        *((odd, "IDEMPOTENCY_KEY_INVALID") for odd in ("", "a b", "x" * 256, "é", "a\n")),
    ],
)
def test_an_order_needs_a_plain_idempotency_key(key: str | None, code: str) -> None:
    account = funded_account(USDT="1000")
    headers = {} if key is None else {"Idempotency-Key": key}
    body = {**BODY, "account": account.name}
    refused(400, code, call("POST", "/api/exec/order", body, key=api_key(), headers=headers))
    assert Order.objects.count() == 0


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"scope": "everything"},
        {"scope": {"account": "nobody"}},
        {"scope": {"account": ["main"]}},
        {"scope": {"account": "a", "symbol": "b"}},
        {"scope": {"galaxy": "a"}},
        {"scope": "global", "reason": 7},
        {"scope": "global", "reason": "x" * 257},
        {"scope": "global", "reason": "\u0000"},
        {"scope": "global", "reason": "\ud800"},
        {"scope": {"account": "\u0000"}},
        {"scope": {"account": "\ud800"}},
        {"scope": "global", "cancel_orders": "yes"},
        {"scope": "global", "cancel": True},
    ],
)
def test_a_stop_that_is_not_clear_is_refused(body: dict[str, Any]) -> None:
    refused(400, "INVALID_REQUEST", call("POST", "/api/exec/stop", body, key=api_key()))


def test_the_request_id_of_the_client_is_kept_when_it_is_a_sane_one() -> None:
    given = "a-sane-request-id"
    _, document, answer = call("GET", "/api/exec/nowhere", headers={"X-Request-Id": given})
    assert answer["X-Request-Id"] == document["request_id"] == given
    for odd in ("short", "x" * 65, "with blank inside", "semi;colon;here"):
        assert call("GET", "/api/exec/nowhere", headers={"X-Request-Id": odd})[2]["X-Request-Id"] != odd


def test_a_database_that_does_not_answer_is_503_and_worth_trying_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OperationalError("server closed the connection: secret host name")

    monkeypatch.setattr(views, "order_of", fail)
    answer = call("GET", f"/api/exec/order/{uuid7()}", key=api_key())
    document = refused(503, "DATABASE_UNAVAILABLE", answer)
    assert answer[2]["Retry-After"] == "1"
    assert "secret" not in json.dumps(document)


def test_a_defect_of_ours_tells_the_client_nothing_but_its_request_id(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("internal secret")

    monkeypatch.setattr(views, "order_of", fail)
    document = refused(500, "INTERNAL_ERROR", call("GET", f"/api/exec/order/{uuid7()}", key=api_key()))
    assert "secret" not in json.dumps(document)


def test_a_body_beyond_64_kib_is_413_and_not_parsed() -> None:
    answer = call("POST", "/api/exec/order", key=api_key(), body={"account": "x" * 70_000})
    refused(413, "BODY_TOO_LARGE", answer)


def test_a_nul_in_a_parameter_is_400() -> None:
    refused(400, "INVALID_PARAMETER", call("GET", "/api/exec/positions?symbol=%00", key=api_key()))
