"""Scenes of orders that must not go out: fat finger, stale price, a runaway loop, a drawdown."""

from __future__ import annotations

import threading
import time
from collections import Counter
from decimal import Decimal
from typing import Any
from uuid import uuid4

import requests

from tests.drill.desk import BINANCE, Answer, Desk, DrillFailed, ask
from tests.drill.report import Report

RUNAWAY_ORDERS, RUNAWAY_A_SECOND, RUNAWAY_CLIENTS = 1000, 1000, 40
RATE, A_MINUTE = 20, 100
"""Orders a second and a minute that the limits of the looping strategy let through; the second one holds however slow
the machine is."""
IN_TIME_S = 10.0
"""Within which the engine answers, and a cancel reaches the exchange, whatever loops. A wide bound for slow machines:
the table tells the figures."""
BUSY = "503 RISK_BUSY"
"""Nothing was accepted: the gate's lock could not be had in time."""
BEYOND_THE_FINGER = {"MAX_ORDER_NOTIONAL", "PRICE_COLLAR", "INSUFFICIENT_FUNDS", "MAX_ASSET_EXPOSURE"}
PRICES = {
    "binance": ("GET /api/v3/ticker/bookTicker", "GET /api/v3/depth"),
    "btcturk": ("GET /api/v2/ticker", "GET /api/v2/orderbook"),
}
CHANNELS = ("depth", "bookTicker", "431")
DRAWDOWN = "0.01"
FALLS_TO = "0.95"
"""A twentieth of BTC's price is more than a hundredth of the account, and less than two."""


def fat_finger(desk: Desk, report: Report) -> None:
    """Quantity × 1000 and price × 10."""
    right = desk.price("0.99")
    report.done = f"BUY 0.01 BTC at {right} meant; 10 BTC at {right * 10} sent"
    before = desk.working(BINANCE)
    answer = desk.place("BUY", "10", right * 10)
    document = answer.must(422, "the order is denied")
    breaches = set(document["decision"]["breaches"])
    report.saw(breaches >= BEYOND_THE_FINGER, f"denied for {', '.join(sorted(breaches))}")
    report.saw(len(document["decision"]["controls"]) > len(breaches), "every control left its result")
    report.saw(desk.working(BINANCE) == before, "nothing reached the exchange")
    report.took_ms("denied after", answer.seconds * 1000)


def stale_price(desk: Desk, report: Report) -> None:
    """No price comes any more, neither by stream nor when asked."""
    report.done = "no market data from either exchange, neither by stream nor when asked"
    sale = desk.price("1.05")
    began = time.monotonic()
    for exchange, calls in PRICES.items():
        for call in calls:
            desk.simulator.fault("status", call, times=None, status=503, match={"exchange": exchange})
    for channel in CHANNELS:
        desk.simulator.fault("stream_silence", channel, times=None)
    buy = {"account": BINANCE, "symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "quantity": "0.01"}
    buy |= {"price": str(desk.price("0.99")), "time_in_force": "GTC", "validate_only": True}

    def denied() -> Answer | None:
        answer = desk.call("POST", "order", buy)
        return answer if answer.status == 422 else None

    answer = desk.until(denied, 30, "what increases is denied")
    report.took("increases denied after", time.monotonic() - began)
    breaches = set() if answer is None else set(answer.document["breaches"])
    report.saw("PRICE_UNAVAILABLE" in breaches, f"increases denied for {', '.join(sorted(breaches))}")
    market = desk.call("POST", "order", {**buy, "side": "BUY", "type": "MARKET", "price": None, "time_in_force": None})
    report.saw(market.status != 200, "a market order denied as well")
    order = desk.place("SELL", "0.01", sale)
    report.saw(order.status == 202, f"a limit order that sells what is held passes ({order.status})")
    if order.status == 202:
        desk.until(lambda: desk.status(order.document["id"]) == "open", 30, "the sale rests at the exchange")
        report.saw(True, "and rests at the exchange")
        desk.call("DELETE", f"order/{order.document['id']}")
    desk.calm()
    began = time.monotonic()
    desk.until(lambda: desk.call("POST", "order", buy).status == 200, 60, "what increases passes with fresh prices")
    report.took("passes again after", time.monotonic() - began)


class _Loop:
    """A program that places orders at a rate, whatever it is answered."""

    def __init__(self, desk: Desk, key: str, strategy: str) -> None:
        self._desk, self._key = desk, key
        self._body = {"account": BINANCE, "strategy": strategy, "symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT"}
        self._body |= {"quantity": "0.001", "price": str(desk.price("0.97")), "time_in_force": "GTC"}
        self._lock = threading.Lock()
        self._next = 0
        self.codes: Counter[str] = Counter()
        self.slowest_s = 0.0
        self.began = time.monotonic()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(RUNAWAY_CLIENTS)]

    def start(self) -> None:
        """Begin to loop."""
        for thread in self._threads:
            thread.start()

    def join(self) -> float:
        """Wait for its end; how many seconds it took."""
        for thread in self._threads:
            thread.join()
        return time.monotonic() - self.began

    def _run(self) -> None:
        with requests.Session() as session:
            while True:
                with self._lock:
                    number, self._next = self._next, self._next + 1
                if number >= RUNAWAY_ORDERS:
                    return
                time.sleep(max(self.began + number / RUNAWAY_A_SECOND - time.monotonic(), 0))
                self._place(session)

    def _place(self, session: requests.Session) -> None:
        once = {"Idempotency-Key": uuid4().hex}
        try:
            answer = ask(session, self._desk.port, self._key, "POST", "order", self._body, **once)
        except (requests.RequestException, ValueError) as error:
            answer = Answer(0, {"code": type(error).__name__}, 0.0)
        denied: list[str] = answer.document.get("decision", {}).get("breaches", [])
        with self._lock:
            self.slowest_s = max(self.slowest_s, answer.seconds)
            if answer.status in {200, 202}:
                self.codes["accepted"] += 1
            elif answer.status == 422:
                self.codes["denied"] += 1
                self.codes.update(denied)
            else:
                self.codes[f"{answer.status} {answer.document.get('code', '')}"] += 1


def runaway(desk: Desk, report: Report) -> None:
    """A strategy's own loop."""
    report.done = f"{RUNAWAY_ORDERS} orders at {RUNAWAY_A_SECOND} a second from {RUNAWAY_CLIENTS} connections;"
    report.done += f" its limits: {RATE} a second, {A_MINUTE} a minute"
    name = f"runaway-{uuid4().hex[:6]}"
    desk.must_manage("add_strategy", name)
    for control, value in (("max_order_rate_1s", RATE), ("max_order_rate_60s", A_MINUTE)):
        where = ("--scope", f"strategy:{name}", "--mode", "sandbox", "--reason", "a limit for a drill")
        desk.must_manage("set_limit", control, str(value), *where)
    key = desk.must_manage("create_api_key", name, "--scope", "trade", "--rate", "10000", "--strategy", name)
    mine = desk.resting()
    since = desk.first("SELECT now()")
    loop = _Loop(desk, key.documents[0]["api_key"], name)
    loop.start()
    desk.until(lambda: loop.codes["denied"] or loop.codes["accepted"], 30, "the loop is under way")
    began = time.monotonic()
    desk.call("DELETE", f"order/{mine}").must(202, "a cancel amid the loop")
    look = desk.call("GET", "state")
    ended = {"canceled", "settled"}
    desk.until(lambda: desk.status(mine) in ended, 60, "the cancel amid the loop ends its order")
    canceled_s = time.monotonic() - began
    took_s = loop.join()
    report.took("loop", took_s)
    report.took_ms("slowest answer to it", loop.slowest_s * 1000)
    report.took_ms("state answered after", look.seconds * 1000)
    report.took_ms("cancel asked for, on the wire after", desk.cancel_ms(mine))
    report.took("cancel ended its order", canceled_s)
    _judge_loop(desk, report, loop, took_s, since)
    report.saw(look.status == 200 and look.seconds < IN_TIME_S, f"the engine answers others ({look.status})")
    report.saw(canceled_s < IN_TIME_S, "a cancel amid it ended its order")
    desk.call("DELETE", f"orders?account={BINANCE}")
    desk.until(lambda: desk.working(BINANCE) == 0, 120, "all that the loop placed is canceled")
    report.saw(True, "what it placed is canceled")


def _judge_loop(desk: Desk, report: Report, loop: _Loop, took_s: float, since: Any) -> None:
    codes = ", ".join(f"{count} {code}" for code, count in sorted(loop.codes.items()))
    said = f"{RUNAWAY_ORDERS} sent: {codes}"
    told = sum(loop.codes[code] for code in ("accepted", "denied", BUSY))
    report.saw(told == RUNAWAY_ORDERS, said)
    report.saw(loop.codes["ORDER_RATE"] > 0, "the rate limit denies")
    most = A_MINUTE * (int(took_s / 60) + 1)
    report.saw(0 < loop.codes["accepted"] <= most, f"no more than {A_MINUTE} a minute accepted")
    refused = desk.first("SELECT count(*) FROM orders_attempt WHERE claimed_at >= %s AND outcome = 'throttled'", since)
    banned = desk.first("SELECT count(*) FROM common_event WHERE at >= %s AND kind = 'host.banned'", since)
    report.saw(refused == 0 and banned == 0, f"the exchange refused {refused} for its limits, {banned} bans")


def drawdown(desk: Desk, report: Report) -> None:
    """The market falls through the account's drawdown limit."""
    report.done = f"max_drawdown {DRAWDOWN} on {BINANCE}; BTC falls to {FALLS_TO} of its price"
    scope = {"account": BINANCE}
    desk.simulator.call("POST", "/sim/market/freeze", {})
    high = desk.price()
    desk.must_manage(
        *("set_limit", "max_drawdown", DRAWDOWN, "--scope", f"account:{BINANCE}", "--reason", "a limit for a drill")
    )
    resting = desk.place("BUY", "0.01", desk.price("0.93")).must(202, "an order that rests")["id"]
    desk.until(lambda: desk.status(resting) == "open", 30, "the order rests at the exchange")
    low = desk.price(FALLS_TO)
    began = time.monotonic()
    _quote(desk, low)
    desk.until(lambda: desk.state(scope) == "REDUCE_ONLY", 60, "the account is latched to REDUCE_ONLY")
    report.took("latched after", time.monotonic() - began)
    tripped = desk.first("SELECT count(*) FROM common_event WHERE kind = 'trading.tripped'")
    report.saw(tripped > 0, f"latched to REDUCE_ONLY, {tripped} trading.tripped")
    desk.until(lambda: desk.status(resting) in {"canceled", "settled"}, 60, "the working buy is canceled")
    report.took("buys canceled after", time.monotonic() - began)
    report.saw(True, "working buys canceled")
    buy = desk.place("BUY", "0.01", (low * Decimal("0.99")).quantize(Decimal("0.01")))
    report.saw(buy.status == 422 and buy.document["code"] == "TRADING_REDUCE_ONLY", "buys denied")
    sale = desk.place("SELL", "0.01", (low * Decimal("0.995")).quantize(Decimal("0.01")))
    report.saw(sale.status == 202, f"an exit passes ({sale.status})")
    held = desk.call("POST", "start", {"scope": scope, "reason": "Too early: the market is still down."})
    report.saw(held.status == 409 and held.document["code"] == "LATCH_HELD", "no lifting while it is below")
    _quote(desk, high)
    began = time.monotonic()
    approvals = desk.lift(scope)
    report.saw(approvals >= 1, "lifted by two persons once it is above")
    report.took("lifted after", time.monotonic() - began)


def _quote(desk: Desk, price: Decimal) -> None:
    try:
        desk.simulator.book("BTCUSDT", str(price), str(price + Decimal("0.01")), quantity="1")
    except OSError as error:
        raise DrillFailed(f"the simulator takes no price: {error}") from error
