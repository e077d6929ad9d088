"""Commands that place, cancel, ask and explain, against the simulator; and what holds for every command."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.core.management import CommandError, get_commands, load_command_class

from exchanges.models import Account, Balance
from execution_project.common.actors import Actor
from execution_project.common.approvals import decide_and_carry_out, request_approval
from execution_project.common.ids import uuid7
from execution_project.common.models import IdempotencyKey
from execution_project.common.rights import EVERYTHING
from orders import notifications
from orders.api import waiting
from orders.models import Attempt, Order
from risk.models import KillEpisode, TradingState
from tests.commands import Ran, our_commands, row_counts, run, run_program
from tests.engines import BY, Engine, drain, make_engine
from tests.factories import AlertFactory, BreakFactory
from tests.processes import ROOT
from tests.waiting import wait_until

pytestmark = pytest.mark.e2e
DAEMONS = {"run_cluster", "run_ticker", "run_streams", "exchange_simulator", "watchdog"}
DEVELOPMENT = {"seed", "place_demo_orders"}


@pytest.fixture(autouse=True)
def _listener_ends(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The listener's own connection must not outlive the test's database."""
    monkeypatch.setattr(notifications, "IDLE_S", 0.2)
    yield
    wait_until(lambda: not waiting.listener.is_listening(), 30, "the listener to end")


def place(engine: Engine, *arguments: Any, kind: str = "MARKET", side: str = "BUY", quantity: str = "0.01") -> Ran:
    engine.refresh()
    order = ("--account", engine.account.name, "--symbol", "BTCUSDT", "--side", side, "--type", kind)
    return run("place_order", *order, "--quantity", quantity, *arguments)


def resting(engine: Engine, *arguments: Any) -> Any:
    """An order that rests at the exchange: its document when it was placed."""
    ran = place(engine, "--price", "50000.00", "--time-in-force", "GTC", "--json", *arguments, kind="LIMIT")
    assert ran.code == 0, ran.err
    drain()
    return ran.document


def test_an_order_is_placed_once_per_key_like_at_the_api(engine: Engine) -> None:
    before = row_counts()
    assert place(engine, "--dry-run").out == "Would be accepted: every control passes.\n"
    assert row_counts() == before
    first = place(engine, "--idempotency-key", "tour-1", "--json")
    assert (first.document["status"], first.document["replayed"]) == ("pending", False)
    again = place(engine, "--idempotency-key", "tour-1", "--json")
    assert (again.document["id"], again.document["replayed"]) == (first.document["id"], True)
    other = place(engine, "--idempotency-key", "tour-1", "--json", quantity="0.02")
    assert (other.code, other.document["problem"]["code"]) == (1, "IDEMPOTENCY_KEY_REUSED")
    fresh = place(engine)
    key = fresh.err.removeprefix("idempotency key ").strip()
    assert IdempotencyKey.objects.filter(key=key, principal__startswith="command:").exists()
    assert Order.objects.count() == 2


def test_a_denied_order_is_a_problem_with_order_and_decision(engine: Engine) -> None:
    before = row_counts()
    rehearsed = place(engine, "--dry-run", "--json", quantity="100")
    assert (rehearsed.code, rehearsed.document["problem"]["code"]) == (1, "MAX_ORDER_NOTIONAL")
    assert row_counts() == before
    denied = place(engine, "--json", quantity="100")
    assert denied.code == 1
    problem = denied.document["problem"]
    assert (problem["code"], problem["order"]["status"]) == ("MAX_ORDER_NOTIONAL", "denied")
    assert problem["decision"]["accepted"] is False
    assert denied.err.splitlines()[-1].startswith("Denied: The order is worth up to")


def test_bad_options_of_an_order_are_told_at_the_field_and_place_nothing(engine: Engine) -> None:
    before = row_counts()
    for ran, code, words in [
        (place(engine, "--json", quantity="1e-2"), 1, "/quantity"),
        (place(engine, "--json", quantity="-1"), 1, "/quantity"),
        (place(engine, "--json", "--price", "1"), 1, "/price"),
        (place(engine, "--json", "--strategy", "none"), 1, "/strategy"),
        (place(engine, "--json", side="HOLD"), 1, "/side"),
    ]:
        assert ran.code == code
        assert words in [error["pointer"] for error in ran.document["problem"]["errors"]], ran.document
    unknown = run("place_order", "--account", "nobody", "--symbol", "X", "--side", "BUY", "--type", "MARKET")
    assert unknown.code == 1
    nobody = ("--symbol", "BTCUSDT", "--side", "BUY", "--type", "MARKET", "--quantity", "1")
    assert f"Accounts: {engine.account.name}." in run("place_order", "--account", "nobody", *nobody).err
    assert "from 0 to 600" in place(engine, "--wait", "601").err
    assert "visible ASCII" in place(engine, "--idempotency-key", "two words").err
    assert row_counts() == before


def test_waiting_tells_what_became_of_the_order(engine: Engine) -> None:
    undecided = place(engine, "--wait", "1", "--json")
    assert undecided.code == 3
    assert "after 1 s: follow it with explain_order" in undecided.err
    drain()
    assert Order.objects.get().status == "filled"


def test_an_order_is_found_by_each_of_its_ids_and_canceled(engine: Engine) -> None:
    document = resting(engine)
    row = Order.objects.get().exchange_orders.get()
    for name in (document["id"], row.client_order_id, row.exchange_order_id):
        before = row_counts()
        assert "would be asked for" in run("cancel_order", name, "--dry-run").out
        assert row_counts() == before
    assert "Its end is asked for" in run("cancel_order", row.exchange_order_id, "--reason", "tour").out
    assert Order.objects.get().commands.get(kind="cancel").reason == "tour"
    drain()
    assert run("cancel_order", document["id"], "--json").document["status"] == "canceled"
    assert "It has ended before" in run("cancel_order", document["id"]).out
    for unknown in (uuid7(), "12345", "nonsense", ""):
        ran = run("cancel_order", unknown, "--json")
        assert (ran.code, ran.document["problem"]["code"]) == (1, "UNKNOWN_ORDER")


def test_one_id_of_two_orders_is_not_guessed(engine: Engine) -> None:
    resting(engine)
    resting(engine)
    orders = [order.exchange_orders.get() for order in Order.objects.order_by("id")]
    orders[1].exchange_order_id = orders[0].exchange_order_id
    orders[1].save()
    ran = run("explain_order", orders[0].exchange_order_id)
    assert ran.code == 1
    assert all(str(row.order_id) in ran.err for row in orders)


def test_all_orders_of_a_filter_are_canceled_and_no_others(engine: Engine) -> None:
    mine, other = resting(engine, "--strategy", "demo"), resting(engine)
    before = row_counts()
    assert run("cancel_all", "--dry-run", "--json").document["cancels_requested"] == 2
    assert row_counts() == before
    account = ("--account", engine.account.name, "--symbol", "BTCUSDT", "--exchange", "binance")
    asked = run("cancel_all", "--strategy", "demo", *account, "--json").document
    assert (asked["cancels_requested"], asked["orders"]) == (1, [mine["id"]])
    for kind in ("account", "strategy", "symbol", "exchange"):
        misspelt = run("cancel_all", f"--{kind}", "none")
        assert (misspelt.code, misspelt.err) == (1, f"There is no {kind} 'none'.")
    assert run("cancel_all", "--json").document["orders"] == [mine["id"], other["id"]]
    drain()
    assert set(Order.objects.values_list("status", flat=True)) == {"canceled"}


def test_halting_with_cancels_and_killing_ask_for_the_end_of_every_order(engine: Engine) -> None:
    resting(engine)
    scope = ("--scope", f"account:{engine.account.name}", "--reason", "tour")
    assert run("halt", *scope, "--cancel-orders", "--dry-run", "--json").document["cancels_requested"] == 1
    assert run("halt", *scope, "--cancel-orders", "--json").document["cancels_requested"] == 1
    assert run("kill_switch", *scope, "--json").document["cancels_requested"] == 1
    drain()
    assert Order.objects.get().status == "canceled"
    assert place(engine, "--json").document["problem"]["code"] == "TRADING_HALTED"


def test_the_kill_switch_proves_the_end_by_itself_though_no_worker_lives(engine: Engine) -> None:
    resting(engine)
    place(engine, "--strategy", "demo")
    killed = run("kill_switch", "--reason", "the workers are dead", "--json")
    assert (killed.code, killed.document["kill"]["verdict"]) == (0, "VERIFIED"), killed
    assert set(Order.objects.values_list("status", flat=True)) <= {"canceled", "settled"}
    engine.simulator.fault("status", call="GET /api/v3/openOrders", times=None, status=503)
    again = run("kill_switch", "--reason", "once more", "--wait", "0", "--json").document
    assert (again["kill"]["joined"], again["kill"]["verdict"]) == (1, "SWEEPING"), "it is proven anew"


def test_an_exchange_that_hangs_holds_up_no_cancel_of_the_other(engine: Engine) -> None:
    """Without workers, the command alone sends the cancels."""
    for price in ("59000.00", "59001.00"):
        engine.limit("BUY", "0.01", price)
    turk = make_engine(engine.simulator, exchange="btcturk")
    turk.limit("BUY", "0.01", "59000")
    drain()
    engine.simulator.fault("delay", call="DELETE /api/v3/order", times=None, ms=2500)
    run("kill_switch", "--reason", "an outage", "--wait", "1")
    stamped = Attempt.objects.get(kind="cancel", command__order__account=turk.account).claimed_at
    assert (stamped - KillEpisode.objects.get().killed_at).total_seconds() < 2


def test_a_kill_that_is_not_proven_ends_with_3_and_says_what_is_lacking(engine: Engine) -> None:
    resting(engine)
    engine.simulator.fault("status", call="GET /api/v3/openOrders", times=None, status=503)
    killed = run("kill_switch", "--reason", "an outage", "--wait", "1")
    assert killed.code == 3
    assert f"{engine.account.name} not asked" in killed.out
    assert "Run this again" in killed.err


def test_a_kill_is_lifted_from_the_command_line_in_two_stages(engine: Engine) -> None:
    assert run("kill_switch", "--reason", "a drill").code == 0
    why = "the desk has looked at it and is content"
    held = run("start", "--scope", "global", "--reason", why, "--json")
    assert (held.code, held.document["problem"]["held_by"]) == (1, ["Its cause is not on record: why did it happen?"])
    for stage, cause in (("REDUCE_ONLY", ("--cause", "a drill of the desk")), ("ACTIVE", ())):
        engine.refresh()
        asked = run("start", "--scope", "global", "--reason", why, *cause, "--json")
        assert asked.code == 3, asked
        by = Actor("user:second", "a test", rights=EVERYTHING)
        decide_and_carry_out(UUID(asked.document["approval"]["id"]), approved=True, by=by)
        assert TradingState.objects.get(scope_kind="global").state == stage
    assert place(engine, "--json").code == 0


def test_an_order_is_explained_on_one_page(engine: Engine) -> None:
    place(engine, "--strategy", "demo", "--idempotency-key", "tour-9")
    drain()
    order = Order.objects.get()
    page = run("explain_order", order.id).out
    for words in (
        f"Order {order.id}",
        "BUY MARKET 0.01 BTCUSDT",
        "under key tour-9",
        "max_order_notional   pass  observed",
        order.exchange_orders.get().client_order_id,
        "submit done, asked for by command:",
        "POST /api/v3/order, HTTP 200",
        "taker, trade ",
        "order.filled",
    ):
        assert words in page, words
    assert max(len(line) for line in page.splitlines()) <= 100
    document = run("explain_order", order.id, "--json").document
    assert document["decision"]["accepted"] is True
    assert [attempt["outcome"] for command in document["commands"] for attempt in command["attempts"]] == ["accepted"]
    assert document["fills"][0]["quantity"] == "0.01"
    assert "signature" not in json.dumps(document)


def test_an_order_of_unknown_fate_is_explained_with_what_is_known(engine: Engine) -> None:
    engine.simulator.fault("drop_before")
    place(engine)
    drain("submit-binance")
    order = Order.objects.get()
    assert order.status == "submit_unknown"
    page = run("explain_order", order.id).out
    assert "What is known of it so far" in page
    assert "looked for 0 times" in page
    assert "No round of the proof of absence was made yet." in page
    assert ": unknown (" in " ".join(page.split())


def test_a_denied_order_is_explained_by_its_decision(engine: Engine) -> None:
    place(engine, quantity="100")
    page = run("explain_order", Order.objects.get().id).out
    assert "because MAX_ORDER_NOTIONAL: The order is worth up to" in page
    assert "order denied: MAX_ORDER_NOTIONAL" in page
    assert page.count("  none") == 4


def test_orders_and_positions_are_brought_up_to_date(engine: Engine) -> None:
    document = resting(engine)
    before = row_counts()
    assert run("sync_orders", "--dry-run", "--json").document["orders"] == 1
    assert run("sync_positions", "--dry-run", "--json").document["orders"] == 1
    assert row_counts() == before
    engine.simulator.trade("BTCUSDT", "49999.00", "0.01", "SELL")
    synced = run("sync_positions", engine.account.name, "--json").document
    assert (synced["ok"], synced["new_fills"]) == (True, 1)
    assert [(row["symbol"], row["net_quantity"]) for row in synced["positions"]] == [("BTCUSDT", "0.01")]
    assert Order.objects.get(id=document["id"]).status in {"filled", "settled"}
    assert run("sync_orders", "--json").document["orders"] == 0
    assert "never set" not in run("sync_positions").out


def test_an_unknown_order_is_found_by_asking(engine: Engine) -> None:
    engine.simulator.fault("drop_after")
    place(engine)
    drain("submit-binance")
    assert Order.objects.get().status == "submit_unknown"
    assert run("sync_orders", "--json").document["unknown_found"] == 1
    assert Order.objects.get().status == "filled"


def test_instruments_and_balances_are_read_and_a_dry_run_stores_nothing(engine: Engine) -> None:
    Balance.objects.all().delete()
    before = row_counts()
    dry = run("sync_balances", "--dry-run", "--json").document
    assert {row["asset"]: row["free"] for row in dry["balances"]}["BTC"] == "10"
    assert run("sync_instruments", "--dry-run", "--json").document["instruments"] > 1
    assert row_counts() == before
    assert run("sync_balances", "--json").document["balances"] == dry["balances"]
    assert Balance.objects.get(asset="BTC").free == 10
    assert run("sync_instruments", "--symbol", "BTCUSDT", "--json").document["instruments"] == 1
    wrong = run("sync_instruments", "--symbol", "NOPE")
    assert wrong.code == 1
    assert "The exchange refused the question" in wrong.err


def test_one_dead_exchange_keeps_no_other_account_from_being_asked(engine: Engine) -> None:
    dead = Account.objects.get(name=engine.account.name)
    dead.pk, dead.name, dead.rest_url = None, "dead", "http://127.0.0.1:9"
    dead.save(force_insert=True)
    ran = run("sync_balances", "--json")
    assert ran.code == 3
    assert {row["account"]: row["ok"] for row in ran.documents} == {engine.account.name: True, "dead": False}
    assert run("sync_balances", "dead").code == 1
    run("add_account", "paper", "--exchange", "binance", "--mode", "paper")
    assert run("sync_balances", "paper", "--json").document["balances"] == []


def test_the_check_says_what_is_wrong_on_one_line_each(engine: Engine) -> None:
    resting(engine)
    good = run("check_exchange")
    assert (good.code, len(good.out.splitlines())) == (0, 1)
    assert " ok " in good.out
    assert "key reads, trades" in good.out
    assert "1 open order" in good.out
    foreign = {"account": engine.account.name, "symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT"}
    rest = {"quantity": "0.01", "price": "50000.00", "time_in_force": "GTC"}
    engine.simulator.call("POST", "/sim/orders", {**foreign, **rest})
    document = run("check_exchange", "--json").document
    assert (document["open_orders"], document["foreign_orders"], document["problems"]) == (2, 1, [])
    Account.objects.update(books_opened_at=None)
    closed = run("check_exchange", "--json")
    assert (closed.code, closed.document["problems"]) == (3, ["The books are not open: run open_books."])
    Account.objects.update(rest_url="http://127.0.0.1:9")
    dead = run("check_exchange", engine.account.name)
    assert dead.code == 3
    assert "WRONG" in dead.out
    assert "127.0.0.1:9 is not reached." in dead.out


def test_a_key_that_the_exchange_refuses_is_told(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("Y", "a-key-that-nobody-knows")
    assert run("rotate_credentials", engine.account.name, "--key-env", "Y", "--secret-env", "Y").code == 0
    ran = run("check_exchange", "--json")
    assert ran.code == 3
    assert ran.document["can_read"] is False
    assert "The exchange refused the key" in ran.document["problems"][0]


def test_books_open_with_what_a_dry_run_shows(engine: Engine) -> None:
    Account.objects.update(books_opened_at=None)
    before = row_counts()
    dry = run("open_books", engine.account.name, "--dry-run", "--json")
    assert dry.document["opened"]["BTC"] == "10"
    assert "pairs" not in dry.out
    assert row_counts() == before
    assert Account.objects.get().books_opened_at is None


ARGUMENTS: dict[str, list[str]] = {
    "add_account": ["new", "--exchange", "binance", "--mode", "paper"],
    "add_strategy": ["new"],
    "alerts": ["--ack", "ALERT"],
    "approve": ["APPROVAL", "--reason", "x"],
    "cancel_order": ["ORDER"],
    "correct_fill": ["01990000-0000-7000-8000-000000000000", "bust", "--reason", "the exchange took it back"],
    "create_api_key": ["new", "--scope", "read"],
    "explain_order": ["ORDER"],
    "export_emergency_kit": ["kit"],
    "halt": ["--reason", "x"],
    "kill_switch": ["--reason", "x"],
    "open_books": ["ACCOUNT"],
    "place_order": [
        *("--account", "ACCOUNT", "--symbol", "BTCUSDT", "--side", "BUY", "--type", "MARKET"),
        *("--quantity", "0.01"),
    ],
    "propose_limit": ["max_order_notional", "off", "--scope", "account:ACCOUNT", "--reason", "a larger desk"],
    "refuse": ["APPROVAL"],
    "rehearse_limit": ["max_order_notional", "account:ACCOUNT", "1"],
    "resolve_break": ["BREAK", "--reason", "a deposit by hand"],
    "override_order": ["ORDER", "max_order_notional", "--reason", "agreed with the desk head"],
    "resolve_order": ["ORDER", "--outcome", "rejected", "--reason", "x"],
    "revoke_api_key": ["KEY"],
    "rotate_credentials": ["ACCOUNT", "--key-env", "Y_KEY", "--secret-env", "Y_KEY"],
    "set_foreign_orders": ["ACCOUNT", "adopt", "--reason", "x"],
    "set_market_as_limit_ioc": ["ACCOUNT", "on", "--reason", "x"],
    "arm_live": ["ACCOUNT", "--reason", "x"],
    "record_market": ["/no/such/folder/market", "--seconds", "1"],
    "replay_market": ["/no/such/folder/market"],
    "paper_deposit": ["paper", "USDT", "5", "--reason", "x"],
    "set_paper_terms": ["paper", "--submit-ms", "5", "--reason", "x"],
    "set_limit": ["max_order_notional", "1", "--scope", "account:ACCOUNT", "--reason", "x"],
    "start": ["--scope", "global", "--reason", "x"],
}


def test_every_command_answers_in_json_and_a_dry_run_writes_nothing(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("Y_KEY", "another-key-0123456789")
    order = resting(engine)["id"]
    opened_at = engine.account.books_opened_at
    places = {
        "ORDER": order,
        "ACCOUNT": engine.account.name,
        "KEY": engine.api_key.split("_")[1],
        "APPROVAL": str(request_approval("lift_latch", "global", reason="x", by=BY).id),
        "ALERT": str(AlertFactory().id),
        "BREAK": str(BreakFactory(account=engine.account).id),
    }
    rehearsed: set[str] = set()
    for name in our_commands():
        if name in DAEMONS | DEVELOPMENT:
            continue
        arguments = [places.get(text, text.replace("ACCOUNT", engine.account.name)) for text in ARGUMENTS.get(name, [])]
        command = load(name)
        Account.objects.update(books_opened_at=None if name == "open_books" else opened_at)
        before = row_counts()
        ran = run(name, *arguments, "--json", *(["--dry-run"] if command.writes else []))
        assert ran.documents, (name, ran)
        assert ran.code in {0, 1, 3}, (name, ran)
        if command.writes:
            assert row_counts() == before, name
            rehearsed.add(name)
    assert len(rehearsed) >= 15


def load(name: str) -> Any:
    """The command, ready to be run."""
    return load_command_class(get_commands()[name], name)


def test_every_command_is_in_the_reference() -> None:
    text = (Path(ROOT) / "docs" / "commands.md").read_text(encoding="utf-8")
    missing = [name for name in our_commands() if f"`{name}" not in text]
    assert missing == []


def test_the_reference_names_every_option() -> None:
    text = (Path(ROOT) / "docs" / "commands.md").read_text(encoding="utf-8")
    for name in our_commands():
        if name in DAEMONS | DEVELOPMENT:
            continue
        parser = load(name).create_parser("manage.py", name)
        shared = {"--version", "--verbosity", "--settings", "--pythonpath", "--traceback", "--no-color", "--help"}
        shared |= {"--force-color", "--skip-checks"}
        options = {
            option for action in parser._actions for option in action.option_strings if option.startswith("--")
        } - shared
        assert [option for option in sorted(options) if option not in text] == [], name


def documented_lines() -> list[tuple[str, str]]:
    """Every line of a code block in the documents that runs a command of ours, with its file."""
    lines: list[tuple[str, str]] = []
    for path in sorted([Path(ROOT) / "README.md", *(Path(ROOT) / "docs").glob("*.md")]):
        for line in path.read_text(encoding="utf-8").splitlines():
            command = line.strip().removeprefix(".venv/bin/python ")
            if command.startswith("manage.py ") and command.split()[1] in our_commands():
                lines.append((path.name, command.partition("  #")[0]))
    return lines


def test_every_documented_command_line_is_one_that_the_command_takes() -> None:
    lines = documented_lines()
    assert len(lines) >= 5
    for path, line in lines:
        _, name, *arguments = shlex.split(line)
        try:
            load(name).create_parser("manage.py", name).parse_args(arguments)
        except CommandError as error:
            pytest.fail(f"{path}: {line}: {error}")


def test_an_order_from_the_command_line_is_one_for_programs_too(engine: Engine) -> None:
    # A sale at a limit needs no fresh price: a busy machine may take seconds to start a program.
    order = ("--account", engine.account.name, "--symbol", "BTCUSDT", "--side", "SELL", "--type", "LIMIT")
    size = ("--quantity", "0.01", "--price", "70000.00", "--time-in-force", "GTC")
    placed = run_program("place_order", *order, *size, "--idempotency-key", "k", "--json")
    assert (placed.code, placed.err) == (0, "")
    explained = run_program("explain_order", placed.document["id"], "--json")
    assert (explained.document["status"], explained.document["idempotency_key"]) == ("pending", "k")
    assert explained.err == ""
    checked = run_program("check_exchange", "--json")
    assert (checked.code, checked.document["ok"]) == (0, True)
