"""Scenes of kills: during an exchange's outage, without a database, and with a flatten after it."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import Any

from tests.drill.desk import BINANCE, BTCTURK, PASSPHRASE, Desk
from tests.drill.report import Report

VERIFIED_S = 120.0
FIRST_CANCEL_MS = 5000
"""A wide bound for slow machines, far below what a question that hangs takes: the table tells the figure."""
AWAY_S = 17.0
"""A database that was away for more than 15 s starts the engine anew: halted, until the books were compared."""
BACK_S = 180.0
STRATEGY = "demo"
BOUGHT = "0.3"
BOOK = "0.05"
"""Per level: a fifth of what is sold fits into the bids that one chunk may take a quarter of."""


def outage(desk: Desk, report: Report) -> None:
    """A kill while the exchanges take connections and answer nothing."""
    report.done = "both exchanges hang; POST kill of everything; they answer again"
    order = desk.resting()
    desk.hang_exchange()
    kill, seconds = desk.kill("global", "a drill: the exchanges hang")
    report.took_ms("block effective", seconds * 1000)
    denied = desk.place("BUY", "0.01", "50000")
    report.saw(denied.status == 422 and denied.document["code"] == "TRADING_HALTED", "nothing new passes")
    told = desk.await_verdict(kill["id"], "KILL_INCOMPLETE", 90)
    named = sorted({f"{each['account']} {each['what']}" for each in told["unproven"]})
    report.saw(any(order == each["subject"] for each in told["unproven"]), "KILL_INCOMPLETE names the order")
    report.saw({BINANCE, BTCTURK} <= {each["account"] for each in told["unproven"]}, "; ".join(named))
    report.took("told incomplete", _seconds(desk, kill["id"]))
    first = desk.first_cancel_ms(kill["id"])
    report.saw(first != "none" and int(first) < FIRST_CANCEL_MS, "the first cancel left while they hung")
    report.took_ms("first cancel on the wire", first)
    desk.wake_exchange()
    began = time.monotonic()
    desk.await_verdict(kill["id"], "VERIFIED", VERIFIED_S)
    report.took("verified after the outage", time.monotonic() - began)
    report.saw(desk.working() == 0, "VERIFIED: nothing works at either exchange")
    report.saw(desk.lift("global", kill["id"]) == 2, "lifted in two stages, by two persons each")


def _seconds(desk: Desk, kill_id: str) -> float:
    """From the kill to its verdict."""
    return float(
        desk.first("SELECT extract(epoch FROM verdict_at - killed_at) FROM risk_killepisode WHERE id = %s", kill_id)
    )


def without_database(desk: Desk, report: Report) -> None:
    """PostgreSQL is down: the kit alone cancels, and the engine starts halted when the database is back."""
    report.done = "kit exported; PostgreSQL stopped; kill_switch --kit; PostgreSQL back"
    kit = desk.folder / "kit"
    desk.must_manage("export_emergency_kit", str(kit), "--passphrase-env", PASSPHRASE)
    order = desk.resting()
    since = desk.first("SELECT now()")
    desk.postgres.stop("immediate")
    gone = time.monotonic()
    refused = desk.call("GET", "state")
    report.saw(refused.status == 503, f"the API says {refused.document['code']}")
    began = time.monotonic()
    ran = desk.manage("kill_switch", "--kit", str(kit), "--passphrase-env", PASSPHRASE)
    report.took("kit verified", time.monotonic() - began)
    verdicts = ", ".join(f"{row['account']} {'VERIFIED' if row['verified'] else 'open'}" for row in ran.documents)
    report.saw(ran.code == 0 and len(ran.documents) == 2, f"the kit: {verdicts or ran.said[-200:]}")
    report.saw(desk.working() == 0, "nothing works at either exchange")
    time.sleep(max(gone + AWAY_S - time.monotonic(), 0))
    report.took("database away", time.monotonic() - gone)
    desk.postgres.start()
    began = time.monotonic()
    halted = "SELECT count(DISTINCT subject_id) FROM common_event WHERE kind = 'trading.halted'"
    halted += " AND actor = 'engine:boot' AND at >= %s"
    desk.until(lambda: desk.database_answers() and desk.first(halted, since) >= 2, BACK_S, "the accounts are halted")
    report.took("halted after", time.monotonic() - began)
    report.saw(True, "the engine starts HALTED")
    scopes: list[Any] = [{"account": BINANCE}, {"account": BTCTURK}]

    def compared() -> bool:
        answers = [desk.call("GET", path) for path in ("state", f"order/{order}")]
        if any(answer.status != 200 for answer in answers):
            return False
        return all(desk.state(scope) == "ACTIVE" for scope in scopes)

    desk.until(compared, BACK_S, "the books are compared and trading goes on")
    report.took("reconciled after", time.monotonic() - began)
    report.saw(desk.status(order) in {"canceled", "settled"}, "the books know what the kit canceled, then ACTIVE")


def flatten(desk: Desk, report: Report) -> None:
    """A strategy is killed and what it holds is sold, in chunks, as confirmed."""
    report.done = f"strategy {STRATEGY} buys 2 × {BOUGHT} BTC; killed; flatten confirmed"
    bought = [desk.place("BUY", BOUGHT, desk.price("1.01"), strategy=STRATEGY).must(202, "a buy")["id"] for _ in "12"]
    desk.until(lambda: {desk.status(each) for each in bought} <= {"filled", "settled"}, 60, "the buys are filled")
    desk.resting(strategy=STRATEGY)
    kill, seconds = desk.kill({"strategy": STRATEGY}, "a drill: out of this strategy")
    report.took_ms("block effective", seconds * 1000)
    early = desk.call("GET", f"kills/{kill['id']}/flatten")
    report.saw(early.status == 409, f"no flatten before VERIFIED ({early.document.get('code')})")
    desk.await_verdict(kill["id"], "VERIFIED", VERIFIED_S)
    report.took_ms("first cancel on the wire", desk.first_cancel_ms(kill["id"]))
    report.took("verified", _seconds(desk, kill["id"]))
    desk.simulator.call("POST", "/sim/market/freeze", {})
    at = desk.price()
    _book(desk, at)
    seen = "SELECT d.bids -> 0 ->> 1 FROM exchanges_depth d JOIN exchanges_instrument i ON i.id = d.instrument_id"
    seen += " WHERE i.symbol = 'BTCUSDT' AND i.exchange = 'binance' AND i.mode = 'sandbox'"
    desk.until(lambda: Decimal(desk.first(seen)) <= Decimal(BOOK), 30, "the engine sees the thin book")
    plan = desk.call("GET", f"kills/{kill['id']}/flatten").must(200, "the plan")
    began = time.monotonic()
    body = {"confirm": plan["confirm"], "reason": "a drill"}
    desk.call("POST", f"kills/{kill['id']}/flatten", body).must(202, "the flatten begins")

    def ended() -> dict[str, Any] | None:
        _book(desk, at)
        (found,) = desk.kill_document(kill["id"])["flattens"]
        return found if found["status"] != "RUNNING" else None

    sold = desk.until(ended, 120, "the flatten has its verdict") or {}
    report.took("flat after", time.monotonic() - began)
    items = "; ".join(f"{row['asset']} {row['quantity']} in {row['chunks']} chunks" for row in sold["items"])
    report.saw(sold["status"] in {"FLAT", "FLAT_BUT_DUST"}, f"{sold['status']}: {items}")
    report.saw(any(row["chunks"] > 1 for row in sold["items"]), "sold in chunks")
    desk.simulator.call("POST", "/sim/market/unfreeze", {})
    report.saw(desk.lift({"strategy": STRATEGY}, kill["id"]) == 2, "lifted in two stages, by two persons each")


def _book(desk: Desk, price: Decimal) -> None:
    desk.simulator.book("BTCUSDT", str(price), str(price + Decimal("0.01")), quantity=BOOK)
