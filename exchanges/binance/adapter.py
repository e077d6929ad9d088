"""Binance Spot over REST behind the interface of every exchange adapter. Facts: docs/binance.md."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from exchanges.adapters import (
    AmendInstruction,
    CancelInstruction,
    Credentials,
    PlaceInstruction,
    PreparedRequest,
    ReplaceInstruction,
)
from exchanges.binance import parsing
from exchanges.binance.client import BinanceClient, payload_hash, plain
from exchanges.binance.limits import kept_headers
from exchanges.binance.outcomes import Call, classify
from exchanges.http.calls import Answer, answer_of, evidence_of, retry_after_ms
from exchanges.http.decoding import Mismatch, Unparsable, decode
from exchanges.http.reading import AfterCall, BeforeCall, Patience, Reads, Stopwatch, unbelievable
from exchanges.http.transport import Timeouts
from exchanges.reports import (
    BalanceReport,
    CommissionReport,
    DepthReport,
    Evidence,
    InstrumentReport,
    OrderCountReport,
    OrderReport,
    Outcome,
    OutcomeKind,
    QuoteReport,
    ReadFailed,
    ReplaceOutcome,
    ReportedStatus,
    ServerTime,
    TradeReport,
)

# Our own resting order is never traded against: the arriving one ends instead, visibly (docs/binance.md §3.1). Always
# sent, so that a change of the symbol's default changes nothing here.
SELF_TRADE_PREVENTION = "EXPIRE_TAKER"
# DECREMENT and TRANSFER change orders or balances without a trade that could be booked.
SELF_TRADE_MODES = frozenset({"NONE", "EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH"})
READ_RECV_WINDOW_MS = 5000
MAX_RECV_WINDOW_MS = 60_000  # docs/binance.md §1.4
TRADES_PAGE = ORDERS_PAGE = 1000  # docs/binance.md §2.4, §2.6
MAX_TIME_RANGE_MS = 86_400_000  # the same sections
# The weight of a depth answer goes by its size (docs/binance.md §2.1).
_DEPTH_CALLS = ((100, "depth"), (500, "depth_500"), (1000, "depth_1000"), (5000, "depth_5000"))

_ORDER_PATH = "/api/v3/order"
_AMEND_PATH = "/api/v3/order/amend/keepPriority"
_REPLACE_PATH = "/api/v3/order/cancelReplace"
_CALLS = {
    ("POST", _ORDER_PATH): Call.PLACE,
    ("DELETE", _ORDER_PATH): Call.CANCEL,
    ("PUT", _AMEND_PATH): Call.AMEND,
    ("POST", _REPLACE_PATH): Call.REPLACE,
}
_CLIENT_ORDER_ID = re.compile(r"[a-zA-Z0-9_-]{1,36}")  # docs/binance.md §1.2
_MESSAGE_CHARACTERS = 500

T = TypeVar("T")


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
        self_trade_prevention: str = SELF_TRADE_PREVENTION,
        patience: Patience | None = None,
    ) -> None:
        """``rest_url`` is scheme, host and port; a secret in PEM is a private key (RSA or Ed25519).

        Raises ``ValueError`` on an unusable URL or key, and on a mode that is none of ``SELF_TRADE_MODES``.

        A read may take several HTTP calls. ``before_call(name)`` runs before each of them, with a name of ``COSTS``;
        what it raises stops the read. ``after_call(name, evidence)`` runs after each. Writes have no hooks: nothing
        may come between a request on the wire and its outcome. ``patience``: how reads, only reads, are asked again.
        """
        if self_trade_prevention not in SELF_TRADE_MODES:
            raise ValueError(f"self-trade prevention is one of {', '.join(sorted(SELF_TRADE_MODES))}")
        self._self_trade_prevention = self_trade_prevention
        self._client = BinanceClient(credentials, rest_url, timeouts)
        self._reads: Reads[Call] = Reads(self._evidence, _failed, before_call, after_call, patience)

    def __repr__(self) -> str:
        return f"BinanceAdapter({self._client.API_URL})"

    # Writes

    def prepare_place(self, instruction: PlaceInstruction, stamp_ms: int, recv_window_ms: int) -> PreparedRequest:
        """Raises ``ValueError`` for what the wire or the order type cannot carry exactly (docs/binance.md §2.2)."""
        return _prepared("POST", _ORDER_PATH, self._placement(instruction), stamp_ms, recv_window_ms)

    def _placement(self, instruction: PlaceInstruction) -> dict[str, str]:
        _check_client_order_id(instruction.client_order_id)
        parameters = {
            "symbol": instruction.symbol,
            "side": instruction.side,
            "type": instruction.type,
            "newClientOrderId": instruction.client_order_id,
            "newOrderRespType": "FULL",
            "selfTradePreventionMode": self._self_trade_prevention,
        }
        sizes = {
            name: plain(value)
            for name, value in {
                "quantity": instruction.quantity,
                "quoteOrderQty": instruction.quote_quantity,
                "price": instruction.price,
                "stopPrice": instruction.stop_price,
            }.items()
            if value is not None
        }
        if instruction.time_in_force is not None:
            sizes["timeInForce"] = instruction.time_in_force
        if frozenset(sizes) not in _ALLOWED.get(instruction.type, ()):
            raise ValueError(f"{instruction.type} does not go with {sorted(sizes)}")
        if "0" in sizes.values():
            raise ValueError("a size or price of zero")
        return {**parameters, **sizes}

    def prepare_cancel(self, instruction: CancelInstruction, stamp_ms: int, recv_window_ms: int) -> PreparedRequest:
        """By one id only: with both, an id that the exchange has renamed would be refused (docs/binance.md §2.3)."""
        parameters = {
            "symbol": instruction.symbol,
            **_order_id(instruction.client_order_id, instruction.exchange_order_id),
        }
        return _prepared("DELETE", _ORDER_PATH, parameters, stamp_ms, recv_window_ms)

    def prepare_amend(self, instruction: AmendInstruction, stamp_ms: int, recv_window_ms: int) -> PreparedRequest:
        """Lower an order's quantity, keep its place and its client order id (docs/binance.md §2.3).

        The exchange gives the order a random client order id when none is sent, so ours is sent again. Raises
        ``ValueError`` for a quantity that the wire cannot carry, or an id.
        """
        _check_client_order_id(instruction.client_order_id)
        quantity = plain(instruction.new_quantity)
        if quantity == "0":
            raise ValueError("a quantity of zero")
        parameters = {
            "symbol": instruction.symbol,
            "newQty": quantity,
            "newClientOrderId": instruction.client_order_id,
            **_order_id(instruction.client_order_id, instruction.exchange_order_id),
        }
        return _prepared("PUT", _AMEND_PATH, parameters, stamp_ms, recv_window_ms)

    def prepare_replace(self, instruction: ReplaceInstruction, stamp_ms: int, recv_window_ms: int) -> PreparedRequest:
        """Cancel an order of which nothing was filled, and place another one only if that worked.

        STOP_ON_FAILURE and ONLY_NEW, so that there are never two orders and never more than was asked for; over the
        order limit nothing is done. Raises ``ValueError`` like ``prepare_place``, and for two different symbols.
        """
        cancel = instruction.cancel
        if cancel.symbol != instruction.place.symbol:
            raise ValueError("a replacement is of the same symbol")
        if cancel.exchange_order_id is not None:
            canceled = {"cancelOrderId": cancel.exchange_order_id}
        else:
            canceled = {"cancelOrigClientOrderId": cancel.client_order_id}
        parameters = {
            **self._placement(instruction.place),
            **canceled,
            "cancelReplaceMode": "STOP_ON_FAILURE",
            "cancelRestrictions": "ONLY_NEW",
            "orderRateLimitExceededMode": "DO_NOTHING",
        }
        return _prepared("POST", _REPLACE_PATH, parameters, stamp_ms, recv_window_ms)

    def send(self, prepared: PreparedRequest, send_by: float) -> Outcome:
        """Put exactly that request on the wire, once: a placement, a cancel or an amendment.

        Never raises because of the network or the answer. NOT_SENT ``too_late`` when ``time.monotonic()`` has passed
        ``send_by`` (seconds) right before the first byte; NOT_SENT ``altered`` when the request is not the one whose
        hash was stored. Raises ``ValueError`` for a request that this adapter did not prepare, and for a replacement.
        """
        call = _CALLS.get((prepared.method, prepared.path))
        if call is None or call is Call.REPLACE:
            raise ValueError(f"not a single write of this adapter: {prepared.method} {prepared.path}")
        altered = _altered(prepared)
        if altered is not None:
            return altered
        answer = self._write(call, prepared, send_by)
        evidence = self._evidence(answer)
        return _failed(call, answer, evidence) or _accepted(call, answer, evidence)

    def send_replace(self, prepared: PreparedRequest, send_by: float) -> ReplaceOutcome:
        """Like ``send``, for what ``prepare_replace`` made: the outcome of each half (docs/binance.md §2.3).

        Both are UNKNOWN when the answer does not say what became of them. Raises ``ValueError`` for any other request.
        """
        if _CALLS.get((prepared.method, prepared.path)) is not Call.REPLACE:
            raise ValueError(f"not a replacement: {prepared.method} {prepared.path}")
        altered = _altered(prepared)
        if altered is not None:
            return ReplaceOutcome(altered, altered)
        answer = self._write(Call.REPLACE, prepared, send_by)
        return _replaced(answer, self._evidence(answer))

    def _write(self, call: Call, prepared: PreparedRequest, send_by: float) -> Answer:
        parameters = {**dict(prepared.parameters), "requests_params": {"send_by": send_by}}
        client = self._client
        if call is Call.AMEND:  # a call that the library does not have
            answer: Answer = client._put("order/amend/keepPriority", True, data=parameters)
        elif call is Call.REPLACE:
            answer = client.cancel_replace_order(**parameters)
        elif call is Call.CANCEL:
            answer = client.cancel_order(**parameters)
        else:
            answer = client.create_order(**parameters)
        return answer

    # Reads about orders

    def query_order(
        self,
        symbol: str,
        *,
        client_order_id: str,
        exchange_order_id: str | None,
        now_ms: int,
        since_ms: int | None = None,
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

    def trades_between(self, symbol: str, start_ms: int, end_ms: int, *, now_ms: int) -> tuple[TradeReport, ...]:
        """Trades of a time range (epoch ms, both ends in it, at most 24 h), by trade id. Raises ``ReadFailed``.

        Which trades a full page leaves out is not documented, so a range that fills one is asked in halves. Raises
        ``ValueError`` for a longer range or one that ends before it starts.
        """

        def parse(body: Any) -> tuple[TradeReport, ...]:
            page = parsing.trades(body)
            if any(trade.symbol != symbol for trade in page):
                raise Mismatch("trade")
            return page

        def fetch(start: int, end: int, stamp: dict[str, int]) -> Answer:
            answer: Answer = self._client.get_my_trades(
                symbol=symbol, startTime=start, endTime=end, limit=TRADES_PAGE, **stamp
            )
            return answer

        rows = self._in_halves("trades_between", start_ms, end_ms, now_ms, fetch, parse, TRADES_PAGE)
        found = {(int(trade.trade_id), trade.exchange_order_id): trade for trade in rows}
        return tuple(found[key] for key in sorted(found))

    def order_history(
        self,
        symbol: str,
        *,
        now_ms: int,
        start_ms: int | None = None,
        end_ms: int | None = None,
        from_order_id: str | None = None,
    ) -> tuple[OrderReport, ...]:
        """Orders of any status by exchange id: those placed in a time range, or all with id ≥ ``from_order_id``.

        The range as for ``trades_between``. The list lags, and canceled orders may show another client order id than
        ours (docs/binance.md §2.4). Raises ``ReadFailed``; ``ValueError`` unless it is asked in exactly one way.
        """
        found: dict[int, OrderReport] = {}

        def parse(body: Any) -> tuple[OrderReport, ...]:
            page = parsing.history(body)
            if any(order.symbol != symbol for order in page):
                raise Mismatch("symbol")
            found.update((int(order.exchange_order_id), order) for order in page)
            return page

        def fetch_range(start: int, end: int, stamp: dict[str, int]) -> Answer:
            answer: Answer = self._client.get_all_orders(
                symbol=symbol, startTime=start, endTime=end, limit=ORDERS_PAGE, **stamp
            )
            return answer

        if from_order_id is None and start_ms is not None and end_ms is not None:
            self._in_halves("order_history", start_ms, end_ms, now_ms, fetch_range, parse, ORDERS_PAGE)
        elif from_order_id is not None and start_ms is None and end_ms is None:
            self._history_from(symbol, int(from_order_id), now_ms, parse)
        else:
            raise ValueError("order history goes by start_ms and end_ms, or by from_order_id")
        return tuple(found[key] for key in sorted(found))

    def _history_from(
        self, symbol: str, first: int, now_ms: int, parse: Callable[[Any], tuple[OrderReport, ...]]
    ) -> None:
        began = time.monotonic()

        def parse_page(body: Any) -> tuple[OrderReport, ...]:
            page = parse(body)
            if any(int(order.exchange_order_id) < first for order in page):
                raise Mismatch("orderId")
            return page

        def fetch() -> Answer:
            answer: Answer = self._client.get_all_orders(
                symbol=symbol, orderId=first, limit=ORDERS_PAGE, **_later(now_ms, began)
            )
            return answer

        while True:
            page = self._read("order_history", fetch, parse_page)
            if len(page) < ORDERS_PAGE:
                return
            first = max(int(order.exchange_order_id) for order in page) + 1

    def _in_halves(
        self,
        name: str,
        start_ms: int,
        end_ms: int,
        now_ms: int,
        fetch: Callable[[int, int, dict[str, int]], Answer],
        parse: Callable[[Any], tuple[T, ...]],
        page: int,
    ) -> list[T]:
        """The rows of a time range; a range whose answer fills a page is asked again in two parts."""
        if not 0 <= end_ms - start_ms <= MAX_TIME_RANGE_MS:
            raise ValueError("a time range is at most 24 hours and does not end before it starts")
        began = time.monotonic()
        rows: list[T] = []
        waiting = [(start_ms, end_ms)]
        while waiting:
            start, end = waiting.pop()

            def parse_page(body: Any, alone: bool = start == end) -> tuple[T, ...]:
                found = parse(body)
                if alone and len(found) >= page:
                    raise Mismatch("page")  # more in one millisecond than can be asked for
                return found

            found = self._read(name, partial(fetch, start, end, _later(now_ms, began)), parse_page)
            if len(found) < page:
                rows.extend(found)
                continue
            middle = (start + end) // 2
            waiting += [(middle + 1, end), (start, middle)]
        return rows

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
            answer: Answer = self._client.get_my_trades(
                symbol=symbol, orderId=order_id, fromId=start, limit=TRADES_PAGE, **_later(now_ms, began)
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

    def depth(self, symbol: str, limit: int = 100) -> DepthReport:
        """The best ``limit`` price levels of each side (1 to 5000); their weight grows with them.

        Raises ``ReadFailed``, and ``ValueError`` for another limit.
        """
        name = next((name for most, name in _DEPTH_CALLS if 1 <= limit <= most), None)
        if name is None:
            raise ValueError("depth has 1 to 5000 levels")
        return self._read(
            name,
            lambda: self._client.get_order_book(symbol=symbol, limit=limit),
            lambda body: parsing.depth(body, symbol),
        )

    def commission(self, symbol: str, *, now_ms: int) -> CommissionReport:
        """The account's fee rates on a symbol. Raises ``ReadFailed``."""

        def parse(body: Any) -> CommissionReport:
            report = parsing.commission(body)
            if report.symbol != symbol:
                raise Mismatch("symbol")
            return report

        stamp = _stamp(now_ms)
        return self._read(
            "commission",
            lambda: self._client._get("account/commission", True, data={"symbol": symbol, **stamp}),
            parse,
        )

    def order_counts(self, *, now_ms: int) -> tuple[OrderCountReport, ...]:
        """Unfilled orders of the account in each window, with the limits (docs/binance.md §6). Raises ``ReadFailed``.

        These come with every placement in its headers too; to ask costs more than most calls.
        """
        stamp = _stamp(now_ms)
        return self._read(
            "order_counts",
            lambda: self._client.get_current_order_count(**stamp),
            parsing.order_counts,
        )

    def server_time(self) -> ServerTime:
        """The exchange's clock against ours, taken at the middle of the round trip. Raises ``ReadFailed``."""
        self.warm()  # connecting would count as travel in one direction
        watch = Stopwatch()
        server_ms = self._read("server_time", lambda: watch.timed(self._client.get_server_time), parsing.server_ms)
        return watch.sample(server_ms)

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
        return self._reads.run(call, name, fetch, parse)

    def _evidence(self, answer: Answer) -> Evidence:
        return evidence_of(answer, self._client.redact, kept_headers(answer.headers))


# What must and may be there for each order type (docs/binance.md §2.2).
_ALLOWED: dict[str, tuple[frozenset[str], ...]] = {
    "MARKET": (frozenset({"quantity"}), frozenset({"quoteOrderQty"})),
    "LIMIT": (frozenset({"quantity", "price", "timeInForce"}),),
    "LIMIT_MAKER": (frozenset({"quantity", "price"}),),
    "STOP_LOSS_LIMIT": (frozenset({"quantity", "price", "timeInForce", "stopPrice"}),),
}


def _check_client_order_id(client_order_id: str) -> None:
    if not _CLIENT_ORDER_ID.fullmatch(client_order_id):
        raise ValueError("client order id is not one to 36 of [a-zA-Z0-9_-]")


def _prepared(
    method: str, path: str, parameters: dict[str, str], stamp_ms: int, recv_window_ms: int
) -> PreparedRequest:
    if not 0 < recv_window_ms <= MAX_RECV_WINDOW_MS:
        raise ValueError("recvWindow out of range")
    stamped = {**parameters, "timestamp": str(stamp_ms), "recvWindow": str(recv_window_ms)}
    pairs = tuple(sorted(stamped.items()))
    return PreparedRequest(
        method=method,
        path=path,
        parameters=pairs,
        body_hash=payload_hash(pairs),
        stamp_ms=stamp_ms,
        recv_window_ms=recv_window_ms,
    )


def _altered(prepared: PreparedRequest) -> Outcome | None:
    """NOT_SENT when the request is not the one whose hash and stamp it carries, else None."""
    parameters = dict(prepared.parameters)
    stamps = (str(prepared.stamp_ms), str(prepared.recv_window_ms))
    if (
        tuple(sorted(parameters.items())) == prepared.parameters
        and payload_hash(prepared.parameters) == prepared.body_hash
        and (parameters.get("timestamp"), parameters.get("recvWindow")) == stamps
    ):
        return None
    evidence = Evidence(prepared.method, prepared.path, parameters, error="differs from its stored hash")
    return Outcome(OutcomeKind.NOT_SENT, evidence, reason="altered")


def _order_id(client_order_id: str, exchange_order_id: str | None) -> dict[str, str]:
    if exchange_order_id is not None:
        return {"orderId": exchange_order_id}
    return {"origClientOrderId": client_order_id}


def _stamp(now_ms: int) -> dict[str, int]:
    return {"timestamp": now_ms, "recvWindow": READ_RECV_WINDOW_MS}


def _later(now_ms: int, began: float) -> dict[str, int]:
    """A stamp for a later page, or a long walk leaves the receive window; ``began`` is when it was ``now_ms``."""
    return _stamp(now_ms + int((time.monotonic() - began) * 1000))


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
    return _judged(call, status, code, message, evidence)


def _judged(call: Call, status: int, code: int | None, message: str, evidence: Evidence) -> Outcome:
    """What status, code and text prove about one call or one half of it."""
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
    try:
        return _done(call, decode(answer.content), answer.parameters, evidence)
    except Unparsable as error:
        return unbelievable(evidence, error)


def _done(call: Call, body: Any, parameters: dict[str, str], evidence: Evidence) -> Outcome:
    """ACCEPTED with the reports of a success; raises ``Unparsable``, also when it is about another order."""
    trades: tuple[TradeReport, ...] = ()
    shown: dict[str, str] = {}
    if call is Call.PLACE:
        order, trades = parsing.placed(body)
        shown["newClientOrderId"] = order.client_order_id
    elif call is Call.AMEND:
        order = parsing.amended(body)
        shown["newClientOrderId"] = order.client_order_id
        shown["orderId"] = order.exchange_order_id
        if order.quantity is None or plain(order.quantity) != parameters.get("newQty"):
            raise Mismatch("qty")
    else:
        order = parsing.canceled(body)
        shown["origClientOrderId"] = shown["cancelOrigClientOrderId"] = order.client_order_id
        shown["orderId"] = shown["cancelOrderId"] = order.exchange_order_id
    shown["symbol"] = order.symbol
    for name, value in shown.items():
        if parameters.get(name, value) != value:
            raise Mismatch(name)
    return Outcome(OutcomeKind.ACCEPTED, evidence, (order, *trades))


def _replaced(answer: Answer, evidence: Evidence) -> ReplaceOutcome:
    """The two outcomes of a replacement, whatever its status says (docs/binance.md §2.3)."""
    status = answer.status or 0
    if answer.failure is None and status < 500:
        try:
            split = parsing.replaced(status, answer.content)
        except Unparsable as error:
            return _both(unbelievable(evidence, error))
        if split is not None:
            parameters = answer.parameters
            return ReplaceOutcome(
                _half(Call.CANCEL, split.cancel_result, split.cancel_answer, parameters, evidence),
                _half(Call.PLACE, split.place_result, split.place_answer, parameters, evidence),
            )
    whole = _failed(Call.REPLACE, answer, evidence)
    if whole is None:
        return _both(Outcome(OutcomeKind.UNKNOWN, evidence, reason="unparsable"))
    if whole.kind is OutcomeKind.REFUSED:
        # Judged before the cancel: the old order is as it was.
        return ReplaceOutcome(_not_attempted(evidence), whole)
    return _both(whole)


def _half(call: Call, result: str, body: Any, parameters: dict[str, str], evidence: Evidence) -> Outcome:
    """The outcome of one half of a replacement; UNKNOWN when what stands behind its result cannot be read."""
    if result == parsing.NOT_ATTEMPTED:
        return _not_attempted(evidence)
    try:
        if result == parsing.SUCCESS:
            return _done(call, body, parameters, evidence)
        code, message = parsing.error_in(body)
    except Unparsable as error:
        return unbelievable(evidence, error)
    return _judged(call, 400, code, message, evidence)


def _not_attempted(evidence: Evidence) -> Outcome:
    return Outcome(OutcomeKind.NOT_EXECUTED, evidence, reason="not_attempted")


def _both(outcome: Outcome) -> ReplaceOutcome:
    return ReplaceOutcome(outcome, outcome)


def reread(evidence: Evidence) -> Outcome | ReplaceOutcome | None:
    """What this parser makes of a stored answer to a write; None for one that had no HTTP answer."""
    call = _CALLS.get((evidence.method, evidence.path))
    if call is None or evidence.http_status is None:
        return None
    answer = answer_of(evidence)
    if call is Call.REPLACE:
        return _replaced(answer, evidence)
    return _failed(call, answer, evidence) or _accepted(call, answer, evidence)
