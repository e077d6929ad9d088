"""``manage.py reconcile`` and ``after_restore``: tables, JSON, exit codes, and dry runs that store nothing."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from execution_project.common import installation
from orders.models import Break, Order
from risk.models import TradingState
from tests.engines import Engine

pytestmark = pytest.mark.e2e


def run(*words: str) -> tuple[int, str]:
    out = io.StringIO()
    try:
        call_command(*words, stdout=out, stderr=io.StringIO())
    except CommandError as error:
        return error.returncode, out.getvalue()
    return 0, out.getvalue()


def foreign(engine: Engine) -> None:
    body: dict[str, Any] = {"account": engine.account.name, "symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT"}
    body |= {"quantity": "0.1", "price": "59000.00", "time_in_force": "GTC", "client_order_id": "web-1"}
    engine.simulator.call("POST", "/sim/orders", body)


def test_equal_books_exit_0(engine: Engine) -> None:
    code, text = run("reconcile", "--account", engine.account.name)
    assert code == 0
    assert "compared orders, trades, balances; 0 new fills." in text


def test_differences_are_a_table_and_exit_3(engine: Engine) -> None:
    foreign(engine)
    code, text = run("reconcile", "--dry-run")
    assert (code, Order.objects.count(), Break.objects.count()) == (3, 0, 0)
    assert "part    what" in text
    assert "seen" in text
    code, text = run("reconcile", "--json")
    document = json.loads(text)
    assert (code, document["account"], document["succeeded"]) == (3, engine.account.name, True)
    assert [row["became"] for row in document["differences"]] == ["adopted"]
    assert run("reconcile")[0] == 0


def test_a_part_without_an_answer_is_told(engine: Engine) -> None:
    engine.simulator.fault("status", call="GET /api/v3/myTrades", times=50, status=503, code=-1000, msg="down")
    code, text = run("reconcile")
    assert code == 3
    assert "trades: not compared" in text


@pytest.mark.parametrize("words", [["--since", "yesterday"], ["--since", "2026-01-31T12:00:00"]])
def test_a_time_that_cannot_be_read_is_refused(engine: Engine, words: list[str]) -> None:
    assert run("reconcile", *words)[0] == 2


def test_after_restore_halts_and_takes_another_prefix(engine: Engine) -> None:
    before = installation.prefix()
    code, text = run("after_restore", "--json")
    document = json.loads(text)
    assert (code, document["looked_for"]) == (0, 0)
    assert document["prefix"] == installation.prefix() != before
    assert TradingState.objects.get().state == "HALTED"
