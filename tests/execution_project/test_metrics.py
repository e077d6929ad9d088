"""What a monitoring system is told: figures of the database, and to whom."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families

from execution_project.common import clock
from execution_project.common.models import QueueBeat
from orders.breaks import Finding, open_or_touch
from orders.models import BreakKind, Severity
from risk.limits import tighten_or_set
from risk.trading_state import halt
from tests.engines import BY, Engine, drain
from tests.factories import api_key
from tests.people import client_of, person

pytestmark = pytest.mark.e2e


def figures() -> dict[tuple[str, ...], float]:
    """Name and labels of every sample, the labels in the order of their names, to its value."""
    answer = Client().get("/metrics")
    assert answer.status_code == 200, answer.content
    assert answer["Content-Type"].startswith("text/plain; version=0.0.4")
    found = {}
    for family in text_string_to_metric_families(answer.content.decode()):
        assert family.documentation
        for sample in family.samples:
            found[(sample.name, *sample.labels.values())] = sample.value
    return found


def test_figures_follow_what_happens(engine: Engine) -> None:
    name = engine.account.name
    status, placed = engine.limit("BUY", "0.01", "50000.00")
    assert status == 202, placed
    QueueBeat.objects.create(queue="ticker", sent_at=clock.now(), beaten_at=clock.now())
    before = figures()
    assert before["exec_orders", "binance", "sandbox", "pending"] == 1
    assert before["exec_commands", "binance", "submit", "queued"] == 1
    assert before["exec_queue_tasks", "submit-binance"] == 1
    assert before["exec_queue_tasks", "cancel-binance"] == 0
    assert 0 <= before["exec_beat_age_seconds", "ticker"] < 60
    assert 0 <= before["exec_comparison_age_seconds", name, "balances"] < 60
    assert not [key for key in before if key[0] in {"exec_trading_held", "exec_breaks"}]
    drain()
    halt("account", name, reason="test", by=BY)
    open_or_touch(engine.account, Finding(BreakKind.BALANCE_MISMATCH, Severity.BLOCKING, "BTC"), by=BY)
    after = figures()
    assert after["exec_orders", "binance", "sandbox", "open"] == 1
    assert ("exec_orders", "binance", "sandbox", "pending") not in after
    assert after["exec_trading_held", "no", "account", "HALTED"] == 1
    assert after["exec_breaks", name, "balance_mismatch", "blocking"] == 1


def test_the_used_part_of_a_limit_is_told_by_scope(engine: Engine) -> None:
    name = engine.account.name
    tighten_or_set("max_working_orders", "sandbox", "account", name, Decimal(4), reason="test", by=BY)
    assert engine.limit("BUY", "0.01", "50000.00")[0] == 202
    assert figures()["exec_limit_used_ratio", "max_working_orders", "sandbox", f"account:{name}"] == 0.25


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("scopes", "bound", "status"),
    [(("read",), {}, 200), (("trade",), {}, 403), (("read",), {"accounts": ["main"]}, 403), ((), {}, 403)],
)
def test_strangers_and_bound_keys_are_told_nothing(scopes: tuple[str, ...], bound: dict[str, Any], status: int) -> None:
    sent = {"Authorization": f"Bearer {api_key(*scopes, **bound) if scopes else 'no key'}"}
    answer = Client(REMOTE_ADDR="192.0.2.7").get("/metrics", headers=sent)
    assert (answer.status_code, b"exec_" in answer.content) == (status, status == 200)


@pytest.mark.django_db
def test_who_is_signed_in_reads_them_and_nobody_writes_them() -> None:
    client = client_of(person("auditor"))
    assert client.get("/metrics", REMOTE_ADDR="192.0.2.7").status_code == 200
    assert client.post("/metrics").status_code == 405


@pytest.mark.django_db
def test_without_a_database_the_answer_says_so() -> None:
    def away(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        raise OperationalError("gone")

    with connection.execute_wrapper(away):
        answer = Client().get("/metrics")
    assert (answer.status_code, answer.content) == (503, b"The database does not answer: OperationalError.\n")
