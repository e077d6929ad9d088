"""Binance Spot over REST behind the interface of every exchange adapter. Facts: docs/binance.md."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from exchanges.adapters import CancelInstruction, Credentials, PlaceInstruction, PreparedRequest
from exchanges.binance import parsing
from exchanges.binance.client import Answer, BinanceClient, payload_hash, plain
from exchanges.binance.limits import kept_headers
from exchanges.binance.outcomes import Call, classify, retry_after_ms
from exchanges.binance.parsing import Mismatch, Unparsable
from exchanges.binance.transport import Timeouts
from exchanges.reports import (
    BalanceReport,
    Evidence,
    InstrumentReport,
    OrderReport,
    Outcome,
    OutcomeKind,
    QuoteReport,
    ReadFailed,
    ReportedStatus,
    ServerTime,
    TradeReport,
)

# Our own resting order is never traded against: the arriving one ends instead, visibly (docs/binance.md §3.1). Always
# sent, so that a change of the symbol's default changes nothing here.
SELF_TRADE_PREVENTION = "EXPIRE_TAKER"
READ_RECV_WINDOW_MS = 5000
MAX_RECV_WINDOW_MS = 60_000  # docs/binance.md §1.4
TRADES_PAGE = 1000  # docs/binance.md §2.6

_ORDER_PATH = "/api/v3/order"
_CALLS = {("POST", _ORDER_PATH): Call.PLACE, ("DELETE", _ORDER_PATH): Call.CANCEL}
_CLIENT_ORDER_ID = re.compile(r"[a-zA-Z0-9_-]{1,36}")  # docs/binance.md §1.2
_BODY_BYTES = 65_536
_MESSAGE_CHARACTERS = 500

T = TypeVar("T")
BeforeCall = Callable[[str], None]
AfterCall = Callable[[str, Evidence], None]


class BinanceAdapter:
    """Calls of one account. Belongs to the thread and process that made it (``WrongThread`` anywhere else)."""

    def __init__(
        self,
        credentials: Credentials,
        rest_url: str,
        *,
        timeouts: Timeouts | None = None,
        before_call: BeforeCall | None = None,
        after_call: AfterCall | None = None,
    ) -> None:
        """``rest_url`` is scheme, host and port. Raises ``ValueError`` on an unusable URL or key.

        A read may take several HTTP calls. ``before_call(name)`` runs before each of them, with a name of ``COSTS``;
        what it raises stops the read. ``after_call(name, evidence)`` runs after each. Writes have no hooks: nothing
        may come between a request on the wire and its outcome.
        """
        self._client = BinanceClient(credentials, rest_url, timeouts)
        self._before_call = before_call
        self._after_call = after_call

    def __repr__(self) -> str:
        return f"BinanceAdapter({self._client.API_URL})"

    # Writes

    def prepare_place(self, instruction: PlaceInstruction, stamp_ms: int, recv_window_ms: int) -> PreparedRequest:
        """Raises ``ValueError`` for what the wire or the order type cannot carry exactly (docs/binance.md §2.2)."""
        if not _CLIENT_ORDER_ID.fullmatch(instruction.client_order_id):
            raise ValueError("client order id is not one to 36 of [a-zA-Z0-9_-]")
        parameters = {
            "symbol": instruction.symbol,
            "side": instruction.side,
            "type": instruction.type,
            "newClientOrderId": instruction.client_order_id,
            "newOrderRespType": "FULL",
            "selfTradePreventionMode": SELF_TRADE_PREVENTION,
        }
        sizes = {
            name: plain(value)
            for name, value in {
                "quantity": instruction.quantity,
                "quoteOrderQty": instruction.quote_quantity,
                "price": instruction.price,
            }.items()
            if value is not None
        }
        if instruction.time_in_force is not None:
            sizes["timeInForce"] = instruction.time_in_force
        if frozenset(sizes) not in _ALLOWED.get(instruction.type, ()):
            raise ValueError(f"{instruction.type} does not go with {sorted(sizes)}")
        if "0" in sizes.values():
            raise ValueError("a size or price of zero")
        return _prepared("POST", {**parameters, **sizes}, stamp_ms, recv_window_ms)

    def prepare_cancel(self, instruction: CancelInstruction, stamp_ms: int, recv_window_ms: int) -> PreparedRequest:
        """By one id only: with both, an id that the exchange has renamed would be refused (docs/binance.md §2.3)."""
        parameters = {
            "symbol": instruction.symbol,
            **_order_id(instruction.client_order_id, instruction.exchange_order_id),
        }
        return _prepared("DELETE", parameters, stamp_ms, recv_window_ms)

    def send(self, prepared: PreparedRequest, send_by: float) -> Outcome:
        """Put exactly that request on the wire, once.

        Never raises because of the network or the answer. NOT_SENT ``too_late`` when ``time.monotonic()`` has passed
        ``send_by`` (seconds) right before the first byte; NOT_SENT ``altered`` when the request is not the one whose
        hash was stored. Raises ``ValueError`` for a request that this adapter did not prepare.
        """
        call = _CALLS.get((prepared.method, prepared.path))
        if call is None:
            raise ValueError(f"not a write of this adapter: {prepared.method} {prepared.path}")
        parameters = dict(prepared.parameters)
        stamps = (str(prepared.stamp_ms), str(prepared.recv_window_ms))
        if (
            tuple(sorted(parameters.items())) != prepared.parameters
            or payload_hash(prepared.parameters) != prepared.body_hash
            or (parameters.get("timestamp"), parameters.get("recvWindow")) != stamps
        ):
            evidence = Evidence(prepared.method, prepared.path, parameters, error="differs from its stored hash")
            return Outcome(OutcomeKind.NOT_SENT, evidence, reason="altered")
        method = self._client.create_order if call is Call.PLACE else self._client.cancel_order
        answer: Answer = method(**parameters, requests_params={"send_by": send_by})
        evidence = self._evidence(answer)
        return _failed(call, answer, evidence) or _accepted(call, answer, evidence)

    # Reads about orders

    def query_order(
        self, symbol: str, *, client_order_id: str, exchange_order_id: str | None, now_ms: int
    ) -> OrderReport | None:
        """None on -2013 only; evidence and no proof, as reads may lag (docs/binance.md §3.2). Raises ``ReadFailed``."""

        def parse(body: Any) -> OrderReport:
            report = parsing.queried(body)
            if report.symbol != symbol or exchange_order_id not in (None, report.exchange_order_id):
                raise Mismatch("orderId")
            if exchange_order_id is None and report.client_order_id != client_order_id:
                # Under which id a canceled order shows is not documented, and ours found it (docs/binance.md §2.4).
                if report.status is not ReportedStatus.CANCELED:
                    raise Mismatch("clientOrderId")
                return replace(report, client_order_id=client_order_id)
            return report

        parameters = {"symbol": symbol, **_order_id(client_order_id, exchange_order_id), **_stamp(now_ms)}
        try:
            return self._read("query_order", lambda: self._client.get_order(**parameters), parse, Call.QUERY)
        except ReadFailed as failed:
            if failed.outcome.kind is OutcomeKind.NOT_FOUND:
                return None
            raise

    def open_orders(self, symbol: str | None, *, now_ms: int) -> tuple[OrderReport, ...]:
        """Raises ``ReadFailed``. Without a symbol it takes the weight of ``open_orders_all``."""
        name = "open_orders" if symbol is not None else "open_orders_all"
        stamp = _stamp(now_ms)
        return self._read(name, lambda: self._client.get_open_orders(symbol=symbol, **stamp), parsing.open_orders)

    def order_trades(self, symbol: str, exchange_order_id: str, *, now_ms: int) -> tuple[TradeReport, ...]:
        """All trades that the exchange shows for the order, by trade id; a short sum means lag (docs/binance.md §2.6).

        Raises ``ReadFailed``.
        """
        return self._trades("order_trades", symbol, 0, now_ms, order_id=exchange_order_id)

    def trades_from(self, symbol: str, trade_id: str | None, *, now_ms: int) -> tuple[TradeReport, ...]:
        """Trades with id ≥ ``trade_id``, every page of them; None: only the newest page. Raises ``ReadFailed``."""
        return self._trades("trades_from", symbol, None if trade_id is None else int(trade_id), now_ms)

    def _trades(
        self, name: str, symbol: str, start: int | None, now_ms: int, order_id: str | None = None
    ) -> tuple[TradeReport, ...]:
        """Pages by ascending trade id.

        The next page starts at the last id again, not after it: a trade of the account with itself gives two rows
        under one id, and a page may end between them (docs/binance.md §2.6).
        """
        found: dict[tuple[int, str], TradeReport] = {}
        began = time.monotonic()

        def parse(body: Any) -> int:
            known = len(found)
            page = parsing.trades(body)
            for trade in page:
                number = int(trade.trade_id)
                if trade.symbol != symbol or order_id not in (None, trade.exchange_order_id) or number < (start or 0):
                    raise Mismatch("trade")
                found[number, trade.exchange_order_id] = trade
            if len(page) >= TRADES_PAGE and len(found) == known:
                raise Mismatch("page")  # asking on would never end
            return len(page)

        def fetch() -> Answer:
            # Later pages need a later stamp, or a long walk leaves the receive window.
            stamp = _stamp(now_ms + int((time.monotonic() - began) * 1000))
            answer: Answer = self._client.get_my_trades(
                symbol=symbol, orderId=order_id, fromId=start, limit=TRADES_PAGE, **stamp
            )
            return answer

        while True:
            size = self._read(name, fetch, parse)
            if size < TRADES_PAGE or start is None:
                return tuple(found[key] for key in sorted(found))
            start = max(number for number, _ in found)

    # Other reads

    def balances(self, *, now_ms: int) -> tuple[BalanceReport, ...]:
        """Raises ``ReadFailed``. ``as_of`` is the time of asking."""
        as_of = parsing.moment({"now": now_ms}, "now")
        stamp = _stamp(now_ms)
        return self._read(
            "balances",
            lambda: self._client.get_account(omitZeroBalances=True, **stamp),
            lambda body: parsing.balances(body, as_of),
        )

    def instruments(self, symbols: tuple[str, ...] | None = None) -> tuple[InstrumentReport, ...]:
        """Raises ``ReadFailed``; one symbol that does not exist fails the whole call (reason ``symbol``)."""
        if symbols is not None and not symbols:
            return ()
        wanted = {} if symbols is None else {"symbols": _json_list(symbols)}
        # The library's own method takes no parameters and downloads every symbol each time.
        return self._read("instruments", lambda: self._client._get("exchangeInfo", data=wanted), parsing.instruments)

    def quotes(self, symbols: tuple[str, ...]) -> tuple[QuoteReport, ...]:
        """Raises ``ReadFailed``; one symbol that does not exist fails the whole call (reason ``symbol``)."""
        if not symbols:
            return ()
        wanted = _json_list(symbols)
        return self._read("quotes", lambda: self._client.get_orderbook_ticker(symbols=wanted), parsing.quotes)

    def server_time(self) -> ServerTime:
        """The exchange's clock against ours, taken at the middle of the round trip. Raises ``ReadFailed``."""
        self.warm()  # connecting would count as travel in one direction
        wall = began = ended = 0.0

        def timed() -> Answer:
            nonlocal wall, began, ended
            wall, began = time.time(), time.monotonic()
            answer: Answer = self._client.get_server_time()
            ended = time.monotonic()
            return answer

        server_ms = self._read("server_time", timed, parsing.server_ms)
        round_trip = ended - began
        offset_ms = server_ms - (wall + round_trip / 2) * 1000
        return ServerTime(server_ms, round(offset_ms), round(round_trip * 1000))

    # The connection

    def warm(self) -> None:
        """Open the connection if there is none, so that a write does not spend its time to ``send_by`` on it.

        Best effort: what fails here fails again, and is classified, in the call that follows.
        """
        self._client.warm()

    def close(self) -> None:
        """Drop the sockets."""
        self._client.close()

    def _read(self, name: str, fetch: Callable[[], Answer], parse: Callable[[Any], T], call: Call = Call.READ) -> T:
        if self._before_call is not None:
            self._before_call(name)
        answer = fetch()
        evidence = self._evidence(answer)
        if self._after_call is not None:
            self._after_call(name, evidence)
        outcome = _failed(call, answer, evidence)
        if outcome is None:
            try:
                return parse(parsing.decode(answer.content))
            except Unparsable as error:
                outcome = _unbelievable(evidence, error)
        raise ReadFailed(outcome)

    def _evidence(self, answer: Answer) -> Evidence:
        # Redacted before it is cut to size: a cut through a secret would hide it from the redaction.
        body = self._client.redact(answer.content[: 2 * _BODY_BYTES].decode("utf-8", errors="replace"))
        return Evidence(
            method=answer.method,
            path=answer.path,
            parameters=answer.parameters,
            http_status=answer.status,
            headers=kept_headers(answer.headers),
            body=body.encode()[:_BODY_BYTES].decode(errors="ignore"),
            error=answer.error,
        )


# What must and may be there for each order type (docs/binance.md §2.2).
_ALLOWED: dict[str, tuple[frozenset[str], ...]] = {
    "MARKET": (frozenset({"quantity"}), frozenset({"quoteOrderQty"})),
    "LIMIT": (frozenset({"quantity", "price", "timeInForce"}),),
    "LIMIT_MAKER": (frozenset({"quantity", "price"}),),
}


def _prepared(method: str, parameters: dict[str, str], stamp_ms: int, recv_window_ms: int) -> PreparedRequest:
    if not 0 < recv_window_ms <= MAX_RECV_WINDOW_MS:
        raise ValueError("recvWindow out of range")
    stamped = {**parameters, "timestamp": str(stamp_ms), "recvWindow": str(recv_window_ms)}
    pairs = tuple(sorted(stamped.items()))
    return PreparedRequest(
        method=method,
        path=_ORDER_PATH,
        parameters=pairs,
        body_hash=payload_hash(pairs),
        stamp_ms=stamp_ms,
        recv_window_ms=recv_window_ms,
    )


def _order_id(client_order_id: str, exchange_order_id: str | None) -> dict[str, str]:
    if exchange_order_id is not None:
        return {"orderId": exchange_order_id}
    return {"origClientOrderId": client_order_id}


def _stamp(now_ms: int) -> dict[str, int]:
    return {"timestamp": now_ms, "recvWindow": READ_RECV_WINDOW_MS}


def _json_list(symbols: tuple[str, ...]) -> str:
    return json.dumps(symbols, separators=(",", ":"), ensure_ascii=False)


def _failed(call: Call, answer: Answer, evidence: Evidence) -> Outcome | None:
    """The outcome of an answer that is no success, or None."""
    if answer.failure is not None:
        return Outcome(answer.failure.kind, evidence, message=answer.error, reason=answer.failure.reason)
    status = answer.status or 0
    if 200 <= status < 300:
        return None
    code, message = parsing.error_of(answer.content)
    verdict = classify(call, status, code, message)
    throttled_for_ms = None
    if verdict.kind is OutcomeKind.THROTTLED:
        throttled_for_ms = retry_after_ms(evidence.headers.get("retry-after"))
        if throttled_for_ms is None:
            throttled_for_ms = verdict.wait_ms
    return Outcome(
        kind=verdict.kind,
        evidence=evidence,
        code="" if code is None else str(code),
        message="" if code is None else message[:_MESSAGE_CHARACTERS],
        reason=verdict.reason,
        throttled_for_ms=throttled_for_ms,
        banned=verdict.banned,
    )


def _accepted(call: Call, answer: Answer, evidence: Evidence) -> Outcome:
    """The outcome of a 2xx write: accepted when the answer is about the order that was asked for, else unknown."""
    trades: tuple[TradeReport, ...] = ()
    try:
        body = parsing.decode(answer.content)
        if call is Call.PLACE:
            order, trades = parsing.placed(body)
        else:
            order = parsing.canceled(body)
        shown = {
            "symbol": order.symbol,
            "newClientOrderId": order.client_order_id,
            "origClientOrderId": order.client_order_id,
            "orderId": order.exchange_order_id,
        }
        for name, value in shown.items():
            if answer.parameters.get(name, value) != value:
                raise Mismatch(name)
    except Unparsable as error:
        return _unbelievable(evidence, error)
    return Outcome(OutcomeKind.ACCEPTED, evidence, (order, *trades))


def _unbelievable(evidence: Evidence, error: Unparsable) -> Outcome:
    """A success by its status whose content proves nothing."""
    return Outcome(OutcomeKind.UNKNOWN, evidence, message=f"{error.reason}: {error}", reason=error.reason)
