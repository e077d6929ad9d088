"""The emergency kit as a file, what it cancels without a database, and the watchdog that holds it."""

from __future__ import annotations

import io
import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from exchanges.absence_bounds import LEAST
from exchanges.accounts import replace_credentials
from exchanges.dead_man import Watchdog, write_heartbeat
from exchanges.emergency_cancel import Pauses, bounds_or_least
from exchanges.emergency_kit import Kit, KitAccount, KitUnusable, export_kit, open_kit
from exchanges.management.passphrase import read_passphrase
from exchanges.models import Account
from exchanges.reports import Evidence, Outcome, OutcomeKind
from execution_project.common.actors import Actor
from execution_project.common.management_command import Refused
from execution_project.common.problems import Problem
from execution_project.common.rights import EVERYTHING, Right
from orders import boot
from orders.models import Order
from risk.models import TradingState
from tests.engines import Engine, drain, make_engine
from tests.factories import BY, AccountFactory
from tests.measuring import python
from tests.regressions.rounds import resting, working_at_exchange
from tests.server import ROOT
from tests.simulators import Simulator
from tests.waiting import wait_until

PASSPHRASE = "a passphrase of some length"
EMERGENCY = "exchanges,orders/management"
"""Where the code of the emergency programs stands."""


def kit_in(folder: Path) -> Path:
    export_kit(folder / "kit", PASSPHRASE, by=BY)
    return folder / "kit"


@pytest.mark.django_db
def test_a_kit_holds_what_canceling_takes_and_opens_by_its_passphrase_alone(tmp_path: Path) -> None:
    account = AccountFactory()
    AccountFactory(mode="paper", rest_url="")
    path = kit_in(tmp_path)
    assert path.stat().st_mode & 0o777 == 0o600
    text = path.read_text()
    assert "a-secret" not in text and account.name not in text
    kit = open_kit(path, PASSPHRASE)
    (entry,) = kit.accounts
    assert (entry.name, entry.exchange, entry.rest_url) == (account.name, "binance", account.rest_url)
    assert (entry.credentials.key, entry.credentials.secret) == ("a-key-with-a-tail", "a-secret")
    assert "a-secret" not in repr(kit)
    assert [file.name for file in tmp_path.iterdir()] == ["kit"], "nothing half-written is left"


@pytest.mark.django_db
def test_an_account_whose_keys_cannot_be_read_is_left_out_and_named(tmp_path: Path) -> None:
    good, bad = AccountFactory(), AccountFactory()
    Account.objects.filter(id=bad.id).update(api_key_sealed=b"nonsense")
    kit = export_kit(tmp_path / "kit", PASSPHRASE, by=BY)
    assert kit.left_out == (bad.name,)
    assert [entry.name for entry in open_kit(tmp_path / "kit", PASSPHRASE).accounts] == [good.name]
    Account.objects.update(api_key_sealed=b"nonsense")
    with pytest.raises(KitUnusable, match="left as it is"):
        kit_in(tmp_path)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda d: d.update(sealed=d["sealed"][:-8] + "AAAAAAA="), "does not open"),
        (lambda d: d.update(written_at="2030-01-01T00:00:00.000Z"), "does not open"),
        (lambda d: d.update(n=2**30), "not one"),
        (lambda d: d.update(emergency_kit=2), "another version"),
        (lambda d: d.pop("salt"), "is not an emergency kit"),
    ],
)
def test_a_kit_that_was_changed_does_not_open(tmp_path: Path, change: Any, says: str) -> None:
    AccountFactory()
    path = kit_in(tmp_path)
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    with pytest.raises(KitUnusable, match=says):
        open_kit(path, PASSPHRASE)


@pytest.mark.django_db
def test_a_wrong_passphrase_a_missing_file_and_a_short_passphrase_are_said(tmp_path: Path) -> None:
    AccountFactory()
    path = kit_in(tmp_path)
    with pytest.raises(KitUnusable, match="another passphrase"):
        open_kit(path, PASSPHRASE + "x")
    with pytest.raises(KitUnusable, match="No such file"):
        open_kit(tmp_path / "none", PASSPHRASE)
    with pytest.raises(KitUnusable, match="at least 12"):
        export_kit(path, "short", by=BY)
    with pytest.raises(KitUnusable, match="cannot be written"):
        export_kit(tmp_path / "no" / "kit", PASSPHRASE, by=BY)
    with pytest.raises(Problem):
        export_kit(path, PASSPHRASE, by=Actor("user:x", "a test", rights=EVERYTHING - {Right.MANAGE_ACCOUNTS}))
    assert open_kit(path, PASSPHRASE).accounts


@pytest.mark.django_db(transaction=True)
def test_a_change_of_keys_writes_the_configured_kit_anew(tmp_path: Path, settings: Any) -> None:
    account = AccountFactory()
    settings.EXEC_EMERGENCY_KIT, settings.EXEC_EMERGENCY_PASSPHRASE = str(tmp_path / "kit"), PASSPHRASE
    replace_credentials(account, "another-key-0123456789", "another-secret", by=BY)
    (entry,) = open_kit(tmp_path / "kit", PASSPHRASE).accounts
    assert entry.credentials.secret == "another-secret"
    settings.EXEC_EMERGENCY_KIT = str(tmp_path / "no" / "kit")
    replace_credentials(account, "a-third-key-0123456789", "a-third-secret", by=BY)
    assert Account.objects.get().api_key_tail == "6789", "the change of the keys stands"


# -------------------------------------------------------------------------------------------------- at the exchanges


@pytest.fixture
def both(transactional_db: None, simulator: Simulator) -> list[Engine]:
    """An account at each exchange, each with an order that rests."""
    simulator.call("POST", "/sim/btcturk", {"limits_on": False})
    engines = [make_engine(simulator, exchange=exchange) for exchange in ("binance", "btcturk")]
    for engine in engines:
        resting(engine)
    return engines


def order_of(engine: Engine) -> str:
    """The id of the account's one order."""
    return str(Order.objects.filter(account=engine.account).earliest("id").id)


def nowhere() -> dict[str, str]:
    """The environment of a process whose database cannot be reached."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("EXEC_")},
        "DATABASE_URL": "postgres://nobody@127.0.0.1:1/none",
        "EXEC_EMERGENCY_PASSPHRASE": PASSPHRASE,
        "EXEC_READ_DOTENV": "0",
        "DJANGO_SETTINGS_MODULE": "execution_project.settings",
    }


def without_database(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A command in a process whose database cannot be reached."""
    return subprocess.run(
        python("manage.py", *arguments, source=EMERGENCY),
        cwd=ROOT,
        env=nowhere(),
        capture_output=True,
        text=True,
        timeout=90,
    )


@pytest.mark.e2e
def test_the_kill_switch_with_a_kit_needs_no_database_and_says_what_it_proved(
    both: list[Engine], tmp_path: Path
) -> None:
    path = kit_in(tmp_path)
    assert [len(working_at_exchange(engine)) for engine in both] == [1, 1]
    ran = without_database("kill_switch", "--kit", str(path), "--wait", "40")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    for engine in both:
        assert working_at_exchange(engine) == []
        (line,) = [line for line in ran.stdout.splitlines() if line.startswith(engine.account.name)]
        assert line.split()[1:] == [engine.account.exchange, "1", "0", "VERIFIED"]


@pytest.mark.e2e
def test_what_a_kit_ended_while_the_database_was_away_is_found_by_the_start_before_anything_trades(
    both: list[Engine], tmp_path: Path
) -> None:
    ran = without_database("kill_switch", "--kit", str(kit_in(tmp_path)), "--wait", "40")
    assert ran.returncode == 0, ran.stderr
    for engine in both:
        assert engine.order(order_of(engine))["status"] == "open", "the books do not know it yet"
    connection.close()
    boot.boot()
    for engine in both:
        assert TradingState.objects.get(scope_key=engine.account.name).state == "HALTED"
        assert engine.limit("BUY", "0.01", "59000")[0] == 422
    boot.ring_boot_reconciliations()
    drain()
    for engine in both:
        assert TradingState.objects.get(scope_key=engine.account.name).state == "ACTIVE"
        assert engine.order(order_of(engine))["status"] in {"canceled", "settled"}


@pytest.mark.e2e
def test_a_kit_says_what_it_could_not_prove(both: list[Engine], tmp_path: Path) -> None:
    path = kit_in(tmp_path)
    both[0].simulator.fault("status", call="GET /api/v3/openOrders", times=None, status=503)
    ran = without_database("kill_switch", "--kit", str(path), "--wait", "3", "--json")
    rows = {row["account"]: row for row in map(json.loads, ran.stdout.splitlines())}
    assert ran.returncode == 3
    assert "no believable answer" in rows[both[0].account.name]["detail"]
    assert working_at_exchange(both[1]) == [], "one exchange holds up the other no more than one account another"


@pytest.mark.e2e
def test_the_watchdog_acts_when_the_heart_stands_still_and_not_before(both: list[Engine], tmp_path: Path) -> None:
    said: list[str] = []
    heart = tmp_path / "run" / "heartbeat"
    kit: Kit = open_kit(kit_in(tmp_path), PASSPHRASE)
    ahead = [0.0]
    watchdog = Watchdog(kit.accounts, heart, said.append, clock=lambda: time.monotonic() + ahead[0])
    assert watchdog.step() == 0 and said == [], "no beat yet, and it has only begun to watch"
    write_heartbeat(heart)
    assert watchdog.step() == 0
    ahead[0] = 29
    assert watchdog.step() == 0 and said == []
    assert [len(working_at_exchange(engine)) for engine in both] == [1, 1]
    both[0].simulator.fault("status", call="GET /api/v3/openOrders", times=10, status=503)
    ahead[0] = 31
    assert watchdog.step() == 1
    assert any("no believable answer, asked again" in line for line in said)
    both[0].simulator.call("DELETE", "/sim/faults")
    assert watchdog.step() == 1, "it keeps trying"
    wait_until(lambda: not any(working_at_exchange(engine) for engine in both), 30, "both to be canceled")
    assert sum("canceled 1 orders of a dead engine" in line for line in said) == 2
    assert watchdog.step() == 0
    ahead[0] = 0
    write_heartbeat(heart)
    watchdog.step()
    assert "The heart beats again" in said[-1]


def throttled(for_ms: int | None) -> Outcome:
    return Outcome(OutcomeKind.THROTTLED, Evidence("GET", "/x", {}), throttled_for_ms=for_ms)


def test_a_throttled_host_is_left_alone_for_as_long_as_it_says() -> None:
    now = [100.0]
    pauses = Pauses(lambda: now[0])
    pauses.note("one", throttled(30_000))
    pauses.note("one", throttled(None))
    assert (pauses.left_s("one"), pauses.left_s("other")) == (30, 0)
    now[0] += 31
    assert pauses.left_s("one") == 0


def test_bounds_that_are_wrong_keep_no_kit_from_canceling(settings: Any) -> None:
    settings.EXEC_ABSENCE_BOUNDS = {"binance": {"quiet_ms": 1, "round_gap_ms": 1, "rounds": 1}}
    said: list[str] = []
    account = Account(name="main", exchange="binance", mode="live", rest_url="https://api.binance.com")
    assert bounds_or_least(account, said.append) == LEAST["binance"]
    assert "EXEC_ABSENCE_BOUNDS" in said[0]


def test_the_watchdog_asks_less_often_where_accounts_share_a_host(tmp_path: Path) -> None:
    now = [0.0]
    entries = tuple(KitAccount(str(n), "binance", "sandbox", "http://127.0.0.1:9", "k", "s", ()) for n in range(3))
    watchdog = Watchdog(entries, tmp_path / "none", lambda text: None, clock=lambda: now[0])
    assert watchdog.due() == list(entries)
    watchdog._empty_at = {"0": 0.0, "1": 0.0}
    assert watchdog.due() == [entries[2]], "nothing is known of the third"
    now[0] = 4.0
    assert watchdog.due() == list(entries)


def test_what_was_before_the_watchdog_watched_does_not_count(tmp_path: Path) -> None:
    """A machine that comes back after a pause starts watchdog and engine together; the last beat is long ago."""
    said: list[str] = []
    heart, now = tmp_path / "heartbeat", [1000.0]
    write_heartbeat(heart)
    os.utime(heart, (time.time() - 3600, time.time() - 3600))
    watchdog = Watchdog((), heart, said.append, clock=lambda: now[0])
    for _ in range(3):
        watchdog.step()
        now[0] += 10
    assert said == []
    write_heartbeat(heart)
    watchdog.step()
    now[0] += 3600  # it was itself stopped for an hour, with the engine
    watchdog.step()
    assert said == []
    now[0] += 29
    watchdog.step()
    now[0] += 2
    watchdog.step()
    assert "No heartbeat for 31 s" in said[0]


@pytest.mark.e2e
def test_the_watchdogs_command_looks_once_without_a_database(both: list[Engine], tmp_path: Path) -> None:
    path, heart = kit_in(tmp_path), tmp_path / "heartbeat"
    write_heartbeat(heart)
    arguments = ("watchdog", "--kit", str(path), "--heartbeat", str(heart), "--once", "--json")
    ran = without_database(*arguments)
    assert (ran.returncode, json.loads(ran.stdout)["found"]) == (0, 0), ran.stderr
    ran = without_database(*arguments, "--stale-after", "0")
    assert json.loads(ran.stdout)["found"] == 2, ran.stderr


@pytest.mark.e2e
def test_the_watchdog_watches_until_it_is_told_to_end(both: list[Engine], tmp_path: Path) -> None:
    path, heart = kit_in(tmp_path), tmp_path / "heartbeat"
    write_heartbeat(heart)
    watching = subprocess.Popen(
        python("manage.py", "watchdog", "--kit", str(path), "--heartbeat", str(heart), source=EMERGENCY),
        cwd=ROOT,
        env=nowhere(),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert watching.stderr is not None
    try:
        while f"Watching {heart} for 2 accounts" not in (said := watching.stderr.readline()):
            assert said, "it ended"
    finally:
        watching.terminate()
    assert watching.wait(60) == 0
    watching.stderr.close()


class Terminal(io.StringIO):
    """Standard input of somebody who sits there."""

    def isatty(self) -> bool:
        return True


def test_a_passphrase_comes_from_a_variable_the_settings_or_a_terminal(
    monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    monkeypatch.setenv("KIT", "from a variable")
    assert read_passphrase({"passphrase_env": "KIT"}) == "from a variable"
    with pytest.raises(Refused, match="NONE is not set"):
        read_passphrase({"passphrase_env": "NONE"})
    settings.EXEC_EMERGENCY_PASSPHRASE = "from the settings"
    assert read_passphrase({}) == "from the settings"
    settings.EXEC_EMERGENCY_PASSPHRASE = ""
    monkeypatch.setattr("sys.stdin", io.StringIO())
    with pytest.raises(Refused, match="run this on a terminal"):
        read_passphrase({})
    monkeypatch.setattr("sys.stdin", Terminal())
    typed = iter(["typed", "once", "once", "once", "twice"])
    monkeypatch.setattr("getpass.getpass", lambda prompt: next(typed))
    assert read_passphrase({}) == "typed"
    assert read_passphrase({}, twice=True) == "once"
    with pytest.raises(Refused, match="differ"):
        read_passphrase({}, twice=True)
