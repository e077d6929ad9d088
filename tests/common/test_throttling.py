"""A key's rate: one statement that counts for all processes together, and never stands between a client and a stop."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from execution_project.common import clock
from execution_project.common.api_keys import InvalidApiKey, Throttled, authenticate
from execution_project.common.models import ApiKey, ApiKeyUse
from orders.models import Order
from tests.factories import api_key, funded_account
from tests.threads import run_together

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def manual() -> Iterator[clock.ManualClock]:
    """A clock that stands still."""
    stopped = clock.ManualClock(START)
    with clock.using(stopped):
        yield stopped


def passes(key: str, times: int, **options: Any) -> int:
    """How many of so many requests pass, one after the other."""
    passed = 0
    for _ in range(times):
        try:
            authenticate(key, **options)
        except Throttled:
            continue
        passed += 1
    return passed


@pytest.mark.django_db
@pytest.mark.parametrize(("rate", "burst"), [(1, 10), (5, 10), (7, 14), (50, 100)])
def test_a_burst_of_two_seconds_worth_and_of_no_less_than_ten_passes(
    manual: clock.ManualClock, rate: int, burst: int
) -> None:
    key = api_key(requests_per_second=rate)
    assert passes(key, burst + 3) == burst
    manual.advance(timedelta(seconds=1))
    assert passes(key, burst) == rate, "a second gives back the rate"
    manual.advance(timedelta(hours=1))
    assert passes(key, burst + 3) == burst, "rest gives back no more than the burst"


@pytest.mark.django_db
@pytest.mark.parametrize("rate", [1, 3, 100])
def test_a_second_after_a_refusal_a_request_passes(manual: clock.ManualClock, rate: int) -> None:
    key = api_key(requests_per_second=rate)
    passes(key, max(10, 2 * rate))
    manual.advance(timedelta(seconds=1) / rate - timedelta(microseconds=2))
    assert passes(key, 5) == 0
    manual.advance(timedelta(microseconds=2))
    assert passes(key, 5) == 1


@pytest.mark.django_db(transaction=True)
def test_of_many_clients_at_once_exactly_the_burst_passes(manual: clock.ManualClock) -> None:
    """Eight connections share nothing but the database, as processes do."""
    for rate in (5, 10):
        key = api_key(requests_per_second=rate)
        results = run_together([lambda key=key: passes(key, 6) for _ in range(8)])
        assert sum(result for result in results if isinstance(result, int)) == max(10, 2 * rate), results


@pytest.mark.django_db
@pytest.mark.parametrize("spoil", ["secret", "expired", "revoked", "network"])
def test_what_proves_nothing_takes_nothing_and_leaves_no_use(manual: clock.ManualClock, spoil: str) -> None:
    key = api_key(requests_per_second=5, networks=["10.0.0.0/8"] if spoil == "network" else None)
    if spoil == "expired":
        ApiKey.objects.update(expires_at=START)
    if spoil == "revoked":
        ApiKey.objects.update(revoked_at=START)
    sent = key[:-1] + ("0" if key[-1] != "0" else "1") if spoil == "secret" else key
    for _ in range(20):
        with pytest.raises(InvalidApiKey):
            authenticate(sent, address="192.0.2.1")
    assert not ApiKeyUse.objects.exists()
    ApiKey.objects.update(expires_at=None, revoked_at=None)
    assert passes(key, 20, address="10.1.2.3") == 10


@pytest.mark.django_db
def test_the_last_use_is_recorded_with_its_address_also_of_a_refused_request(manual: clock.ManualClock) -> None:
    key = api_key(requests_per_second=1)
    authenticate(key, address="192.0.2.1")
    use = ApiKeyUse.objects.get()
    assert (use.last_used_at, use.last_used_from, use.refused_at) == (START, "192.0.2.1", None)
    passes(key, 9)
    manual.advance(timedelta(milliseconds=10))
    assert passes(key, 1, address="2001:db8::1") == 0
    use = ApiKeyUse.objects.get()
    assert use.last_used_at == use.refused_at == START + timedelta(milliseconds=10)
    assert use.last_used_from == "2001:db8::1"
    authenticate(key, throttled=False)
    assert ApiKeyUse.objects.get().last_used_from is None


@pytest.mark.django_db
def test_a_clock_that_was_set_back_locks_no_key_out(manual: clock.ManualClock) -> None:
    key = api_key(requests_per_second=1)
    passes(key, 10)
    with clock.using(clock.ManualClock(START - timedelta(days=1))) as earlier:
        assert passes(key, 1) == 0
        earlier.advance(timedelta(seconds=10))
        assert passes(key, 1) == 1


@pytest.mark.django_db(transaction=True)
def test_one_statement_does_it_all_and_leaves_the_session_as_it_was() -> None:
    key = api_key()
    with connection.cursor() as cursor:
        cursor.execute("SET synchronous_commit TO on")
        with CaptureQueriesContext(connection) as queries:
            authenticate(key)
        assert len(queries) == 1
        cursor.execute("SHOW synchronous_commit")
        assert cursor.fetchone() == ("on",)
        cursor.execute("RESET synchronous_commit")


@pytest.mark.django_db(transaction=True)
def test_placing_an_order_takes_no_more_than_twelve_statements() -> None:
    account = funded_account(USDT="1000")
    body = {"account": account.name, "symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.001"}
    client = Client(headers={"Authorization": f"Bearer {api_key()}"})

    def place(key: str) -> None:
        headers = {"Idempotency-Key": key}
        answer = client.post("/api/exec/order", body, content_type="application/json", headers=headers)
        assert answer.status_code == 202, answer.json()

    place("first")  # what a process and a database read once
    with CaptureQueriesContext(connection) as queries:
        place("second")
    statements = [query["sql"] for query in queries if query["sql"] not in {"BEGIN", "COMMIT"}]
    assert len(statements) <= 12, "\n".join(statements)


@pytest.mark.django_db(transaction=True)
def test_a_client_that_asked_too_much_can_still_cancel_stop_and_kill(manual: clock.ManualClock) -> None:
    account = funded_account(USDT="1000")
    key = api_key(requests_per_second=1)
    client = Client(headers={"Authorization": f"Bearer {key}"})

    def call(method: str, path: str, body: Any = None) -> Any:
        headers = {"Idempotency-Key": "one"}
        data = b"" if body is None else json.dumps(body).encode()
        return client.generic(method, f"/api/exec/{path}", data, content_type="application/json", headers=headers)

    order = {"account": account.name, "symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.001"}
    placed = call("POST", "order", order).json()
    assert passes(key, 20) == 9
    for method, path in (("GET", "orders"), ("POST", "order"), ("POST", "start"), ("OPTIONS", "orders")):
        refused = call(method, path, order)
        assert (refused.status_code, refused.json()["code"]) == (429, "THROTTLED")
        assert refused["Retry-After"] == "1"
    scope = {"scope": {"account": account.name}, "reason": "too much"}
    assert call("DELETE", f"order/{placed['id']}").status_code == 200
    assert call("DELETE", f"orders?account={account.name}").status_code == 202
    assert call("POST", "stop", scope).status_code == 200
    assert call("POST", "kill", scope).status_code == 200
    assert Order.objects.get().status == "canceled"
    manual.advance(timedelta(seconds=1))
    assert call("GET", "orders").status_code == 200, "what passes anyway takes nothing of the rate"
