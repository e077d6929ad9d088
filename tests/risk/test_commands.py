"""Limits, halts, kills and starts from the command line: the same rules as at the API, and the same record."""

from __future__ import annotations

import pytest

from execution_project.common.models import Approval, Event
from risk.models import KillSweep, Limit, TradingState
from tests.commands import row_counts, run
from tests.factories import AccountFactory
from tests.kills import WHY, take_for_proven

pytestmark = pytest.mark.django_db(transaction=True)
LIMIT = ("set_limit", "max_order_notional")


@pytest.fixture(autouse=True)
def _account(transactional_db: None) -> None:
    AccountFactory(name="main")


def test_a_limit_is_set_and_tightened_by_one_person_and_never_loosened() -> None:
    scope = ("--scope", "account:main", "--reason", "start")
    assert "Would set" in run(*LIMIT, "500", *scope, "--dry-run").out
    assert not Limit.objects.exists()
    first = run(*LIMIT, "500", *scope, "--json").document
    assert (first["value"], first["before"], first["version"], first["mode"]) == ("500", None, 1, "sandbox")
    assert run(*LIMIT, "499.5", *scope, "--json").document["before"] == "500"
    looser = run(*LIMIT, "500", *scope, "--json")
    assert (looser.code, looser.document["problem"]["code"]) == (1, "LOOSENING_NEEDS_APPROVAL")
    assert Limit.objects.count() == 2


def test_a_limit_needs_a_mode_a_control_and_an_amount_that_there_are() -> None:
    before = row_counts()
    scope, reason = ("--scope", "account:main"), ("--reason", "x")
    for arguments, code, words in [
        ((*LIMIT, "1", "--scope", "global", *reason), 2, "Give --mode"),
        ((*LIMIT, "1", *scope, "--mode", "live", *reason), 1, "main is a sandbox account"),
        ((*LIMIT, "1", "--scope", "account:nobody", *reason), 1, "There is no account 'nobody'"),
        ((*LIMIT, "1e3", *scope, *reason), 1, "Not a plain decimal"),
        ((*LIMIT, "-1", *scope, *reason), 1, ""),
        (("set_limit", "none", "1", *scope, *reason), 1, "invalid choice"),
        ((*LIMIT, "1", "--scope", "account", *reason), 1, "is no scope"),
    ]:
        ran = run(*arguments)
        assert ran.code == code, arguments
        assert words in ran.err, arguments
    assert row_counts() == before
    assert run(*LIMIT, "1", "--scope", "global", "--mode", "live", *reason).code == 0


def test_one_person_halts_and_starts() -> None:
    before = row_counts()
    assert "would be halted" in run("halt", "--reason", "x", "--dry-run").out
    assert row_counts() == before
    halted = run("halt", "--account", "main", "--reason", "odd prices", "--json").document
    assert (halted["scope"], halted["state"], halted["latched"]) == ({"account": "main"}, "HALTED", False)
    assert halted["cancels_requested"] is None
    again = run("start", "--scope", "account:main", "--reason", "prices are back", "--dry-run")
    assert (again.code, again.out) == (0, "account:main is HALTED; it would be ACTIVE.\n")
    assert TradingState.objects.get().state == "HALTED"
    assert run("start", "--scope", "account:main", "--reason", "back", "--json").document["state"] == "ACTIVE"
    event = Event.objects.get(kind="trading.halted")
    assert (event.actor.partition(":")[0], event.cause, event.evidence["reason"]) == ("command", "halt", "odd prices")


def test_a_kill_takes_a_second_persons_word_to_lift() -> None:
    before = row_counts()
    assert "would be latched" in run("kill_switch", "--reason", "x", "--dry-run").out
    assert row_counts() == before
    killed = run("kill_switch", "--reason", "stop", "--json").document
    assert (killed["scope"], killed["state"], killed["latched"], killed["cancels_requested"]) == (
        "global",
        "HALTED",
        True,
        0,
    )
    assert "a second person would be asked" in run("start", "--scope", "global", "--reason", "x", "--dry-run").out
    assert not Approval.objects.exists()
    held = run("start", "--scope", "global", "--reason", WHY, "--json")
    assert (held.code, held.document["problem"]["code"]) == (1, "LATCH_HELD")
    KillSweep.objects.all().delete()
    take_for_proven()
    asked = run("start", "--scope", "global", "--reason", WHY, "--json")
    assert asked.code == 3
    assert asked.document["approval"]["id"] == str(Approval.objects.get().id)
    assert asked.document["state"] == "HALTED"
    assert "a second person" in asked.err


def test_a_scope_that_there_is_not_is_refused() -> None:
    for name in ("halt", "kill_switch", "start"):
        ran = run(name, "--scope", "strategy:none", "--reason", "x", "--json")
        assert (ran.code, ran.document["problem"]["code"]) == (1, "UNKNOWN_SCOPE")
    assert not TradingState.objects.exists()
