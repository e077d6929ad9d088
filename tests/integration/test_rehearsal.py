"""Rehearsals on a recorded market: the engine's own code, and the same trades every time."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection

from exchanges.paper.recording import read
from execution_project.common import installation
from orders.management.commands.replay_market import SCRATCH
from orders.models import Attempt, Command, Order
from orders.rehearsal import Rehearsal, Result
from orders.rehearsal_plan import seeded_plan
from positions.models import Fill
from tests.commands import run
from tests.exchanges.paper.recordings import START, write_recording

pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True)]
SECONDS = 40


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recording") / "market"
    write_recording(path, SECONDS)
    return path


def rehearse(path: Path, seed: int) -> Result:
    installation.prefix.cache_clear()
    header, events = read(path)
    plan = seeded_plan(header, START + timedelta(seconds=SECONDS - 5), 14, seed)
    return Rehearsal(header, events, seed=seed).run(plan)


def test_the_same_file_and_seed_give_the_same_trades(recording: Path) -> None:
    told: list[Any] = []
    end = START + timedelta(seconds=SECONDS + 10)
    for seed in (7, 7):
        result = rehearse(recording, seed)
        told.append([trade.as_json() for trade in result.trades])
        assert result.orders == Order.objects.count() > 8
        assert Fill.objects.count() == len(result.trades) > 5
        assert Attempt.objects.exclude(outcome="accepted").exclude(outcome="refused").count() == 0
        assert not Command.objects.filter(status__in=["queued", "claimed"]).exists()
        for moments in (Order.objects.values_list("updated_at"), Fill.objects.values_list("traded_at")):
            assert all(START <= moment <= end for (moment,) in moments), "time is the recording's alone"
        call_command("flush", interactive=False, verbosity=0)
    assert told[0] == told[1]


def test_another_seed_is_another_plan(recording: Path) -> None:
    header, _ = read(recording)
    end = START + timedelta(seconds=SECONDS)
    plans = [seeded_plan(header, end, 20, seed) for seed in (1, 1, 2)]
    assert plans[0] == plans[1] != plans[2]
    assert all(START < step.at <= end for step in plans[0])


def test_a_rehearsal_takes_a_database_of_its_own(recording: Path, tmp_path: Path) -> None:
    assert "no file" in run("replay_market", str(tmp_path / "none")).err
    (tmp_path / "text").write_text("x")
    assert "no recording" in run("replay_market", str(tmp_path / "text")).err
    here = run("replay_market", str(recording), "--orders", "3", "--here", "--json")
    assert here.code == 0, here.err
    assert {"at", "order", "side", "price", "quantity", "fees"} == set(here.documents[0])
    assert "orders/s" in here.err
    assert "holds orders" in run("replay_market", str(recording), "--here").err


def test_a_rehearsal_makes_a_database_and_drops_it_again(recording: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "execution_project.settings")
    ran = run("replay_market", str(recording), "--orders", "3", "--json")
    assert ran.code == 0, ran.err
    assert {"at", "order", "side", "price", "quantity", "fees"} == set(ran.documents[0])
    assert not Order.objects.exists()
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_database WHERE datname LIKE %s", [f"{SCRATCH}%"])
        assert cursor.fetchone() == (0,)
