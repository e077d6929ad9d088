"""Alerts: raised once while their cause stands, taken by name, escalated when nobody does; API, command and desk."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from structlog.testing import capture_logs

from execution_project.common import clock
from execution_project.common.actors import Actor, engine
from execution_project.common.clock import ManualClock
from execution_project.common.models import Event
from execution_project.common.problems import Problem
from risk.alerts import acknowledge, escalate_unacknowledged, standing_alerts
from risk.boot_halt import halt_for_boot
from risk.models import Alert, KillEpisode, KillVerdict, TradingState
from risk.monitors.stops import watch_stops
from risk.pausing import pause
from risk.trading_state import halt
from risk.tripping import trip
from tests.commands import run
from tests.factories import BY, AccountFactory, AlertFactory, StrategyFactory, api_key
from tests.kills import take_for_proven
from tests.staff import signed_in, text_of

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
FIVE_MINUTES = timedelta(minutes=5)
ENGINE = engine("test", "a test")


@pytest.fixture
def now() -> Iterator[ManualClock]:
    hand = ManualClock(NOON)
    with clock.using(hand):
        yield hand


def standing() -> list[tuple[str, str]]:
    return sorted(Alert.objects.filter(resolved_at=None).values_list("kind", "scope"))


def kinds(alert: Alert) -> list[str]:
    return list(
        Event.objects.filter(subject_type="alert", subject_id=str(alert.id))
        .order_by("id")
        .values_list("kind", flat=True)
    )


def test_a_latch_is_told_until_it_is_lifted() -> None:
    trip("account", "main", control="max_drawdown", reason="too much", evidence={}, by=BY)
    assert (watch_stops(), watch_stops()) == (1, 0)
    [alert] = Alert.objects.all()
    assert (alert.kind, alert.scope, alert.severity) == ("tripped", "account:main", "critical")
    assert alert.subject == "account:main is latched by max_drawdown: too much"
    trip("account", "main", control="other", reason="that too", evidence={}, by=BY)
    assert watch_stops() == 1
    TradingState.objects.update(state="ACTIVE", latched=False, tripped_by="")
    watch_stops()
    assert standing() == []
    assert kinds(alert) == ["alert.raised", "alert.resolved"]


def test_a_kill_that_is_not_proven_is_told_until_it_is() -> None:
    halt("account", "main", reason="smoke", by=BY, latched=True)
    assert watch_stops() == 0, "it may yet be proven"
    KillEpisode.objects.update(verdict=KillVerdict.KILL_INCOMPLETE, unproven=[{"account": "main", "what": "not ended"}])
    assert (watch_stops(), watch_stops(), standing()) == (1, 0, [("kill_incomplete", "account:main")])
    assert "main not ended" in Alert.objects.get().subject
    take_for_proven("account", "main")
    watch_stops()
    assert standing() == []


def test_halts_of_the_engine_are_told_and_those_of_people_and_starts_are_not() -> None:
    halt("account", "by-hand", reason="lunch", by=BY)
    halt("account", "refused", reason="the key was refused", by=ENGINE)
    halt_for_boot("starting", by=engine("boot", "start"))
    watch_stops()
    assert standing() == [("halted", "account:refused")]
    halt("account", "refused", reason="I know", by=BY)
    watch_stops()
    assert standing() == [], "somebody has taken over"


def test_a_pause_is_told_while_it_stands_and_the_next_one_anew(now: ManualClock) -> None:
    def set_for(seconds: int) -> None:
        length = timedelta(seconds=seconds)
        pause("paper", "account", "main", control="c", length=length, reason="losses", evidence={}, by=ENGINE)

    set_for(10)
    assert (watch_stops(), watch_stops(), standing()) == (1, 0, [("paused", "account:main")])
    alert = Alert.objects.get()
    assert (alert.severity, alert.mode) == ("warning", "paper")
    assert alert.subject == "account:main, paper, is paused until 2026-05-01T12:00:10Z: losses"
    now.advance(timedelta(seconds=10))
    assert (watch_stops(), standing()) == (0, [])
    assert kinds(alert) == ["alert.raised", "alert.resolved"]
    set_for(10)
    assert (watch_stops(), Alert.objects.count()) == (1, 2)


def test_who_acknowledges_stands_by_name_and_the_first_stays(now: ManualClock) -> None:
    alert = AlertFactory()
    with pytest.raises(Problem, match="right"):
        acknowledge(alert.id, by=Actor("key:looker", "a test"))
    now.advance(FIVE_MINUTES)
    acknowledge(alert.id, by=BY)
    again = acknowledge(alert.id, by=ENGINE)
    assert (again.acknowledged_by, again.acknowledged_at) == (BY.name, NOON + FIVE_MINUTES)
    assert kinds(alert) == ["alert.acknowledged"] * 2
    assert list(standing_alerts()) == [again], "it stands until its cause is gone"


def test_what_nobody_takes_for_five_minutes_is_told_again_as_critical(now: ManualClock) -> None:
    late, taken, info = AlertFactory(), AlertFactory(), AlertFactory(severity="info")
    over = AlertFactory(resolved_at=NOON)
    acknowledge(taken.id, by=BY)
    now.advance(FIVE_MINUTES - timedelta(microseconds=1))
    assert escalate_unacknowledged() == 0
    now.advance(timedelta(microseconds=1))
    with capture_logs() as logs:
        assert (escalate_unacknowledged(), escalate_unacknowledged()) == (1, 0)
    assert [entry["log_level"] for entry in logs] == ["error"]
    late.refresh_from_db()
    assert (late.severity, late.escalated_at) == ("critical", NOON + FIVE_MINUTES)
    now.advance(FIVE_MINUTES)
    assert escalate_unacknowledged() == 1
    late.refresh_from_db()
    assert (late.escalated_at, late.told_at) == (NOON + FIVE_MINUTES, NOON + 2 * FIVE_MINUTES)
    assert kinds(late) == ["alert.escalated"] * 2
    assert [kinds(each) for each in (taken, info, over)] == [["alert.acknowledged"], [], []]


def call(method: str, path: str, key: str, body: bytes = b"{}") -> tuple[int, Any]:
    response = Client().generic(
        method, f"/api/exec/{path}", body, content_type="application/json", headers={"Authorization": f"Bearer {key}"}
    )
    return response.status_code, response.json()


def test_the_api_lists_and_acknowledges() -> None:
    mine, other = AlertFactory(), AlertFactory(scope="strategy:demo", severity="critical")
    over = AlertFactory(resolved_at=clock.now())
    every = api_key("read", "operate")

    def listed(query: str = "", key: str = every) -> list[str]:
        status, document = call("GET", f"alerts{query}", key)
        assert status == 200, document
        return [each["id"] for each in document["alerts"]]

    assert sorted(listed()) == sorted([str(over.id), str(other.id), str(mine.id)])
    assert listed("?standing=true&severity=warning") == [str(mine.id)]
    assert listed("?standing=false") == [str(over.id)]
    status, document = call("POST", f"alerts/{mine.id}/ack", every)
    assert (status, document["acknowledged_by"].partition(":")[0]) == (200, "key")
    assert listed("?acknowledged=true") == [str(mine.id)]
    assert listed("?acknowledged=false&standing=true") == [str(other.id)]
    assert call("POST", f"alerts/{mine.id}/ack", every, b'{"owner": "me"}')[0] == 400
    StrategyFactory(name="demo")
    AccountFactory(name="main")
    bound = api_key("read", "operate", strategies=["demo"])
    assert listed(key=bound) == [str(other.id)]
    assert call("POST", f"alerts/{mine.id}/ack", bound)[1]["code"] == "UNKNOWN_ALERT"
    assert sorted(listed(key=api_key("read", accounts=["main"]))) == sorted([str(over.id), str(mine.id)])


def test_the_command_lists_and_acknowledges() -> None:
    alert = AlertFactory()
    AlertFactory(resolved_at=clock.now())
    shown = run("alerts", "--json")
    assert (shown.code, shown.documents[0]["id"], shown.documents[-1]) == (
        3,
        str(alert.id),
        {"alerts": 1, "waiting": 1},
    )
    assert run("alerts", "--all", "--json").documents[-1] == {"alerts": 2, "waiting": 1}
    run("alerts", "--ack", str(alert.id), "--dry-run")
    assert Alert.objects.filter(acknowledged_at=None).count() == 2
    taken = run("alerts", "--ack", str(alert.id), "--json")
    assert (taken.code, taken.documents[0]["acknowledged_by"].partition(":")[0]) == (0, "command")
    assert run("alerts").code == 0
    assert "no alert's id" in run("alerts", "--ack", "x").err


def test_the_desk_shows_what_stands_and_somebody_takes_it() -> None:
    alert = AlertFactory(subject="80 % reached: max_drawdown")
    AlertFactory(subject="long ago", resolved_at=clock.now())
    trader = signed_in("trader")
    text = text_of(trader.get("/admin/"))
    assert "80 % reached: max_drawdown" in text
    assert "nobody" in text
    assert "long ago" not in text
    page = f"/admin/acts/alert/{alert.id}"
    assert "everybody sees who looks after it" in text_of(trader.get(page))
    assert trader.post(page, {"reason": "on it"}).status_code == 302
    alert.refresh_from_db()
    assert alert.acknowledged_by.startswith("user:")
    assert alert.acknowledged_by in text_of(trader.get(f"/admin/risk/alert/{alert.id}/change/"))
    assert "looks after it already" in text_of(trader.get(page))
