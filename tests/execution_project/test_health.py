"""Liveness and readiness: what is wrong is said in words, and nothing is asked of an exchange."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.test import Client

from exchanges.models import AccountFreshness, HostClock, HostPause, StreamKind, StreamState
from execution_project.common import clock
from execution_project.common.models import QueueBeat
from tests.engines import Engine
from tests.factories import api_key
from tests.people import client_of, person

pytestmark = pytest.mark.e2e


@pytest.fixture
def ready(engine: Engine) -> Engine:
    """An engine whose every part has just spoken."""
    now = clock.now()
    for name in [*settings.EXEC_QUEUES, "ticker"]:
        QueueBeat.objects.create(queue=name, sent_at=now, beaten_at=now)
    AccountFreshness.objects.update_or_create(
        account=engine.account, defaults={"orders_at": now, "trades_at": now, "balances_at": now, "blocked_by": ""}
    )
    return engine


def readiness() -> tuple[int, dict[str, Any]]:
    """Status, and what each check says."""
    answer = Client().get("/readyz")
    document = answer.json()
    assert document["status"] == ("ready" if answer.status_code == 200 else "not ready")
    return answer.status_code, {check["name"]: check for check in document["checks"]}


def wrong(name: str, *words: str) -> None:
    """Exactly this check fails, with these words."""
    status, checks = readiness()
    assert status == 503
    assert [check["name"] for check in checks.values() if not check["ok"]] == [name]
    for word in words:
        assert word in checks[name]["says"]


def test_a_whole_engine_is_ready(ready: Engine) -> None:
    status, checks = readiness()
    assert status == 200, checks
    assert all(check["says"] for check in checks.values())
    assert Client().post("/readyz").status_code == 405


def test_a_process_is_alive_without_a_database(db: None) -> None:
    with connection.execute_wrapper(_no_query):
        assert Client().get("/healthz").json() == {"status": "ok"}


def _no_query(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
    raise AssertionError(f"a query: {sql}")


def test_a_deaf_queue_and_one_that_never_started_are_named(ready: Engine) -> None:
    QueueBeat.objects.filter(queue="cancel-binance").update(beaten_at=clock.now() - timedelta(minutes=1))
    QueueBeat.objects.filter(queue="ticker").delete()
    wrong("queues and ticker", "cancel-binance last beat 60 s ago", "ticker has never beaten")


def test_an_account_that_was_not_compared_in_time_or_has_a_break_is_named(ready: Engine) -> None:
    AccountFreshness.objects.update(trades_at=None, blocked_by="BTC differs by 0.1")
    wrong("reconciliation", ready.account.name, "(trades)", "BTC differs by 0.1")


def test_a_clock_that_is_off_is_named_with_its_offset(ready: Engine) -> None:
    HostClock.objects.update_or_create(
        host="elsewhere", defaults={"offset_ms": -700, "round_trip_ms": 10, "sampled_at": clock.now()}
    )
    wrong("clocks", "elsewhere is -700 ms off")


def test_a_banned_host_is_named_with_its_reason(ready: Engine) -> None:
    until = clock.now() + timedelta(minutes=5)
    HostPause.objects.create(host="elsewhere", until=until, banned=True, reason="418")
    wrong("rate budget", f"elsewhere is banned until {until:%FT%TZ}: nothing goes there, not even cancels", "418")


def test_a_stream_that_is_not_connected_is_named(ready: Engine) -> None:
    StreamState.objects.create(
        kind=StreamKind.PRIVATE, subject="desk", exchange="binance", last_error="refused", written_at=clock.now()
    )
    wrong("streams", "private stream of desk", "refused")


def test_an_order_that_waits_long_for_its_outcome_is_counted(ready: Engine) -> None:
    _, order = ready.limit("BUY", "0.01", "50000.00")
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE orders_order SET status = 'submit_unknown', updated_at = now() - interval '1 hour' WHERE id = %s",
            [order["id"]],
        )
    wrong("unknown orders", "1 orders have waited long")


def says(client: Client | None = None, address: str = "192.0.2.1", **headers: str) -> bool:
    """Whether the answer has words; names and yes or no it always has."""
    checks = (client or Client()).get("/readyz", headers=headers, REMOTE_ADDR=address).json()["checks"]
    assert all(check["name"] and check["ok"] in (True, False) for check in checks)
    worded = {"says" in check for check in checks}
    assert len(worded) == 1
    return worded.pop()


@pytest.mark.django_db
def test_strangers_get_no_words() -> None:
    assert not says()
    assert not says(address="")
    assert not says(address="127.0.0.1", **{"X-Forwarded-For": "192.0.2.1"})
    for header in ("Bearer exk_x_y", f"Basic {api_key('read')}", f"Bearer {api_key('trade', 'operate')}"):
        assert not says(Authorization=header)
    assert not says(Authorization=f"Bearer {api_key('read', networks=['10.0.0.0/8'])}")
    no_staff = person("paul")
    no_staff.is_staff = False
    no_staff.save()
    assert not says(client_of(no_staff))


@pytest.mark.django_db
def test_the_desk_gets_words() -> None:
    assert says(address="127.0.0.1")
    assert says(address="::1")
    assert says(Authorization=f"Bearer {api_key('read')}")
    assert says(client_of(person("olga", "operations")))
