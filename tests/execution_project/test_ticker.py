"""The ticker: periods, isolation of ticks, one leader, pruning."""

from __future__ import annotations

import os
import signal
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from django.apps import apps
from django.db import connection
from django.db.models.signals import post_migrate
from django.utils import timezone
from django_q.models import Task

from execution_project import ticker as ticker_module
from execution_project.common.models import QueueBeat
from execution_project.ticker import LEADER_LOCK, Tick, Ticker, beat, prune_task_results, registered_ticks
from tests.threads import Other
from tests.waiting import wait_until


@pytest.fixture
def calls() -> list[str]:
    return []


@pytest.mark.django_db(transaction=True)
def test_a_tick_is_called_in_its_period_and_another_ones_error_does_not_matter(calls: list[str]) -> None:
    def broken() -> None:
        calls.append("broken")
        raise ValueError("no")

    def wrong_statement() -> None:
        calls.append("wrong statement")
        with connection.cursor() as cursor:
            cursor.execute("SELECT nonsense")

    ticker = Ticker(
        [
            Tick("broken", 1000, broken),
            Tick("wrong", 1000, wrong_statement),
            Tick("often", 0.0, lambda: calls.append("often")),
        ]
    )
    ticker.step()
    ticker.step()
    connection.close()  # gives the leader's lock back
    assert calls == ["broken", "wrong statement", "often", "often"]


@pytest.mark.django_db(transaction=True)
def test_one_leads_and_the_other_takes_over_when_the_leaders_connection_ends(calls: list[str]) -> None:
    leading, done = threading.Event(), threading.Event()

    def lead() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", [LEADER_LOCK])
        leading.set()
        done.wait(20)
        connection.close()

    thread = threading.Thread(target=lead)
    thread.start()
    assert leading.wait(20)
    standby = Ticker([Tick("standby", 1000, lambda: calls.append("standby"))])
    standby.step()
    assert calls == []
    done.set()
    thread.join()
    wait_until(lambda: standby.step() or calls, 30, "the standby leads")
    connection.close()


@pytest.mark.django_db(transaction=True)
def test_tick_that_hangs_is_cut_off(calls: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ticker_module, "LONGEST_TICK_S", 0.2)
    hang = threading.Event()
    Ticker([Tick("hangs", 1000, lambda: hang.wait(60)), Tick("next", 1000, lambda: calls.append("next"))]).step()
    connection.close()
    assert calls == ["next"]


@pytest.mark.django_db
def test_beat_is_readable() -> None:
    beat()
    beat()
    assert QueueBeat.objects.get(queue="ticker").beaten_at is not None


@pytest.mark.django_db
def test_old_results_are_pruned() -> None:
    now = timezone.now()
    for name, success, days in [("a", True, 0), ("b", True, 2), ("c", False, 2), ("d", False, 40)]:
        stopped = now - timedelta(days=days)
        Task.objects.create(id=name, name=name, func="f", started=stopped, stopped=stopped, success=success)
    assert prune_task_results() == 2
    assert sorted(Task.objects.values_list("name", flat=True)) == ["a", "c"]


def test_ticks_of_the_settings_are_registered(settings: object) -> None:
    settings.EXEC_TICKS = {"execution_project.ticker.beat": 3}
    assert [(tick.name, tick.every_s) for tick in registered_ticks()][-1] == ("execution_project.ticker.beat", 3)


@pytest.mark.django_db(transaction=True)
def test_process_beats_through_a_lost_connection_and_ends_on_sigterm(processes: object) -> None:
    ticker = processes.manage("run_ticker")
    look = QueueBeat.objects.filter(queue="ticker", beaten_at__isnull=False)
    first = wait_until(look.first, 30, f"the ticker beats: {ticker.output()}")
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND pid <> pg_backend_pid()"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
    wait_until(look.filter(beaten_at__gt=first.beaten_at).first, 20, "it beats again")
    assert ticker.terminate() == 0


@pytest.mark.django_db(transaction=True)
def test_a_start_comes_before_the_first_tick_and_once_per_lead(calls: list[str]) -> None:
    ticks = [Tick("beat", 0.0, beat), Tick("tick", 0.0, lambda: calls.append("tick"))]
    ticker = Ticker(ticks, lambda: calls.append("boot"))
    ticker.step()
    ticker.step()
    connection.close()  # the lead is lost and won again on the same server: that is no start
    ticker.step()
    connection.close()
    assert calls == ["boot", "tick", "tick", "tick"]


@pytest.mark.django_db(transaction=True)
def test_a_database_that_was_away_for_long_is_a_start(calls: list[str]) -> None:
    """Long enough for a watchdog to have acted: the books are compared before anything trades."""
    ticks = [Tick("beat", 0.0, beat), Tick("tick", 0.0, lambda: calls.append("tick"))]
    ticker = Ticker(ticks, lambda: calls.append("boot"))
    ticker.step()
    QueueBeat.objects.update(beaten_at=timezone.now() - timedelta(seconds=16))
    connection.close()
    ticker.step()
    connection.close()
    assert calls == ["boot", "tick", "boot", "tick"]


@pytest.mark.django_db(transaction=True)
def test_a_leader_that_stood_still_begins_with_a_start(calls: list[str], tmp_path: Path) -> None:
    """Its own connection outlives a pause of the machine, and its first tick would write a fresh beat."""
    now, heart = [1000.0], tmp_path / "heartbeat"
    ticks = [
        Tick("beat", 0.0, beat),
        Tick("slow", 0.0, lambda: now.__setitem__(0, now[0] + 10)),
        Tick("slow too", 0.0, lambda: now.__setitem__(0, now[0] + 10)),
        Tick("tick", 0.0, lambda: calls.append("tick")),
    ]
    ticker = Ticker(ticks, lambda: calls.append("boot"), heart, wall=lambda: now[0])
    ticker.step()
    ticker.step()
    assert calls == ["boot", "tick", "tick"], "slow ticks are no standstill"
    now[0] += 16
    ticker.step()
    connection.close()
    assert calls == ["boot", "tick", "tick", "boot", "tick"]


@pytest.mark.django_db(transaction=True)
def test_the_heart_beats_after_a_turn_of_a_leaders_loop_alone(calls: list[str], tmp_path: Path) -> None:
    heart = tmp_path / "run" / "heartbeat"
    ticker = Ticker([Tick("tick", 0.0, lambda: calls.append(str(heart.exists())))], heartbeat=heart)
    ticker.step()
    assert calls == ["False"] and heart.exists()
    heart.unlink()
    standby = Other(lambda: Ticker([], heartbeat=heart).step())
    standby.join()
    assert not heart.exists(), "one that waits turns no loop"
    connection.close()


@pytest.mark.django_db(transaction=True)
def test_no_tick_before_the_start_has_succeeded(calls: list[str]) -> None:
    def boot() -> None:
        calls.append("boot")
        if len(calls) == 1:
            raise ValueError("not yet")

    ticker = Ticker([Tick("tick", 0.0, lambda: calls.append("tick"))], boot)
    with pytest.raises(ValueError, match="not yet"):
        ticker.step()
    ticker.step()
    connection.close()
    assert calls == ["boot", "boot", "tick"]


@pytest.mark.django_db(transaction=True)
def test_taking_over_from_a_ticker_that_beat_a_moment_ago_is_no_start(calls: list[str]) -> None:
    beat()
    ticker = Ticker([Tick("tick", 0.0, lambda: calls.append("tick"))], lambda: calls.append("boot"))
    ticker.step()
    connection.close()
    assert calls == ["tick"]
    QueueBeat.objects.update(beaten_at=timezone.now() - timedelta(seconds=16))
    later = Ticker([], lambda: calls.append("boot"))

    def took_over() -> bool:
        later.step()  # a standby for as long as the server has not noticed that the other one's connection is gone
        return calls == ["tick", "boot"]

    wait_until(took_over, 30, "the start")
    connection.close()


@pytest.mark.django_db(transaction=True)
def test_an_engine_that_comes_back_at_once_begins_with_a_start(calls: list[str]) -> None:
    beat()
    wiring = apps.get_app_config("execution_project")
    sent = {"app_config": wiring, "verbosity": 0, "interactive": False, "using": "default", "apps": apps, "plan": []}
    post_migrate.send(sender=wiring, **sent)
    ticker = Ticker([], lambda: calls.append("boot"))
    ticker.step()
    connection.close()
    assert calls == ["boot"]


@pytest.mark.django_db(transaction=True)
def test_a_beat_from_before_the_servers_start_hands_nothing_over(calls: list[str]) -> None:
    beat()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE common_queuebeat SET beaten_at = pg_postmaster_start_time() - interval '1 ms'")
    ticker = Ticker([], lambda: calls.append("boot"))
    ticker.step()
    connection.close()
    assert calls == ["boot"]


@pytest.mark.django_db(transaction=True)
def test_a_ticker_that_ends_as_planned_leaves_no_beat(calls: list[str]) -> None:
    def once() -> None:
        calls.append("tick")
        os.kill(os.getpid(), signal.SIGTERM)

    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    try:
        Ticker([Tick("beat", 0.0, beat), Tick("end", 0.0, once)], None).run()
    finally:
        for number, handler in zip((signal.SIGTERM, signal.SIGINT), before, strict=True):
            signal.signal(number, handler)
    connection.close()
    assert calls == ["tick"]
    assert not QueueBeat.objects.exists()
