"""BTCTurk spot over REST behind the interface of every exchange adapter. Facts: docs/btcturk.md."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from decimal import ROUND_DOWN, Decimal
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

from exchanges.adapters import CancelInstruction, Credentials, PlaceInstruction, PreparedRequest
from exchanges.btcturk import parsing
from exchanges.btcturk.client import BtcturkClient, request_hash, wire_decimal
from exchanges.btcturk.limits import kept_headers, wait_ms
from exchanges.btcturk.outcomes import Call, classify
from exchanges.btcturk.parsing import BY_MARKET, EXACT, STOPS, ListedOrder
from exchanges.http.calls import Answer, answer_of, evidence_of
from exchanges.http.decoding import Mismatch, Unparsable, decode
from exchanges.http.reading import AfterCall, BeforeCall, Patience, Reads, Stopwatch, unbelievable
from exchanges.http.transport import Timeouts
from exchanges.reports import (
    BalanceReport,
    Evidence,
    InstrumentReport,
    OrderReport,
    Outcome,
    OutcomeKind,
    QuoteReport,
    ReadFailed,
    ServerTime,
    TradeReport,
)
from execution_project.common import clock

HISTORY_PAGE = 1000  # docs/btcturk.md §2.7
HISTORY_SHORT = 50  # the smallest page that is documented: fewer rows mean that there are no more
TRADES_FULL = 200  # an answer holds about as many rows, the rest is cut off silently: docs/btcturk.md §2.8
TRADES_SHORT = 150  # fewer are all there are, whatever "about" means
WINDOW_MS = 30 * 86_400_000  # what an answer without dates covers: docs/btcturk.md §2.8
LOOK_BACK_MS = 29 * 86_400_000  # with its margins within one window
SEARCH_MARGIN_MS = 10_000  # docs/btcturk.md §3
FIRST_LOOK_BACK_MS = 3_600_000
MAX_CALLS = 50

_ORDER_PATH = "/api/v1/order"
_CALLS = {("POST", _ORDER_PATH): Call.PLACE, ("DELETE", _ORDER_PATH): Call.CANCEL}
_CLIENT_ORDER_ID = re.compile(r"[a-zA-Z0-9_-]{1,36}")  # docs/btcturk.md §3
_SYMBOL = re.compile(r"[A-Z0-9]{1,20}")  # docs/btcturk.md §2.5
_EXCHANGE_ORDER_ID = re.compile(r"[0-9]{1,20}")
_STAMP_WINDOW_MS = 4000  # a second less than the exchange's own, as its Date is in whole seconds: docs/btcturk.md §1
_LEAST_AMOUNT = Decimal("0.00000001")  # no pair has more decimals: docs/btcturk.md §2.2
_MESSAGE_CHARACTERS = 500
_AMBIGUOUS = "several orders carry the same client order id"

T = TypeVar("T")
log = logging.getLogger(__name__)


class NeedsExchangeOrderId(ValueError):
    """BTCTurk cancels by its own id only: look the order up first."""


class BtcturkAdapter:
    """Calls of one account. Belongs to the thread and process that made it (``WrongThread`` anywhere else)."""

    def __init__(
        self,
        credentials: Credentials,
        rest_url: str,
        *,
        timeouts: Timeouts | None = None,
        before_call: BeforeCall | None = None,
        after_call: AfterCall | None = None,
        stamp: Callable[[int], int] = int,
        patience: Patience | None = None,
    ) -> None:
        """``rest_url`` is scheme, host and port. Raises ``ValueError`` on an unusable URL, key or secret.

        A read may take several HTTP calls. ``before_call(name)`` runs before each of them, with a name of ``COSTS``;
        what it raises stops the read. ``after_call(name, evidence)`` runs after each. Writes have no hooks.
        ``patience``: how reads, and only reads, are asked again.
        ``stamp(now_ms)`` gives the stamp of a signed read, larger than any that the key has used before
        (``exchanges.stamps``); without it the given time is the stamp.
        """
        self._client = BtcturkClient(credentials, rest_url, timeouts)
        self._reads: Reads[Call] = Reads(self._evidence, _failed, before_call, after_call, patience)
        self._stamp = stamp

    def __repr__(self) -> str:
        return f"BtcturkAdapter({self._client.url})"

    # Writes

    def prepare_place(self, instruction: PlaceInstruction, stamp_ms: int, recv_window_ms: int) -> PreparedRequest:
        """Raises ``ValueError`` for what the exchange cannot do or the wire cannot carry exactly (docs/btcturk.md §4).

        ``stamp_ms`` must be larger than any that the key has used before. There is no receive window at BTCTurk:
        ``recv_window_ms`` is not used and the request's is 0.
        """
        if not _CLIENT_ORDER_ID.fullmatch(instruction.client_order_id):
            raise ValueError("client order id is not one to 36 of [a-zA-Z0-9_-]")
        if not _SYMBOL.fullmatch(instruction.symbol):
            raise ValueError("symbol is not one to 20 of [A-Z0-9]")
        sizes = {
            "quantity": instruction.quantity,
            "quote_quantity": instruction.quote_quantity,
            "price": instruction.price,
            "stop_price": instruction.stop_price,
            "time_in_force": instruction.time_in_force,
        }
        given = frozenset(name for name, value in sizes.items() if value is not None)
        if given not in _ALLOWED.get((instruction.type, instruction.side), ()):
            raise ValueError(f"{instruction.type} {instruction.side} does not go with {sorted(given)}")
        if instruction.time_in_force not in {None, "GTC"}:
            raise ValueError(f"no time in force {instruction.time_in_force}")
        # Of a market buy, the quantity on the wire is the quote amount to spend (docs/btcturk.md §4).
        size = instruction.quantity if instruction.quote_quantity is None else instruction.quote_quantity
        numbers = {"quantity": size, "price": instruction.price}
        wire = {name: wire_decimal(value) for name, value in numbers.items() if value is not None}
        if "0" in wire.values():
            raise ValueError("a size or price of zero")
        parameters = {
            "newOrderClientId": instruction.client_order_id,
            "orderMethod": instruction.type.lower(),
            "orderType": instruction.side.lower(),
            "pairSymbol": instruction.symbol,
            **wire,
        }
        return _prepared("POST", parameters, stamp_ms)

    def prepare_cancel(self, instruction: CancelInstruction, stamp_ms: int, recv_window_ms: int) -> PreparedRequest:
        """Raises ``NeedsExchangeOrderId`` without the exchange's own id. ``recv_window_ms`` is not used."""
        if instruction.exchange_order_id is None:
            raise NeedsExchangeOrderId("BTCTurk cancels by its own order id only")
        if not _EXCHANGE_ORDER_ID.fullmatch(instruction.exchange_order_id):
            raise ValueError("exchange order id is not a number")
        return _prepared("DELETE", {"id": instruction.exchange_order_id}, stamp_ms)

    def send(self, prepared: PreparedRequest, send_by: float) -> Outcome:
        """Put exactly that request on the wire, once.

        Never raises because of the network or the answer. NOT_SENT ``too_late`` when ``time.monotonic()`` has passed
        ``send_by`` (seconds) right before the first byte; NOT_SENT ``altered`` when the request is not the one whose
        hash was stored. An accepted cancel carries no report: it is only a promise, and the order may still trade
        (docs/btcturk.md §2.6). Raises ``ValueError`` for a request that this adapter did not prepare.
        """
        call = _CALLS.get((prepared.method, prepared.path))
        if call is None:
            raise ValueError(f"not a write of this adapter: {prepared.method} {prepared.path}")
        parameters = dict(prepared.parameters)
        if (
            tuple(sorted(parameters.items())) != prepared.parameters
            or _hash(prepared.method, prepared.parameters, prepared.stamp_ms) != prepared.body_hash
            or prepared.recv_window_ms != 0
        ):
            evidence = Evidence(prepared.method, prepared.path, parameters, error="differs from its stored hash")
            return Outcome(OutcomeKind.NOT_SENT, evidence, reason="altered")
        answer = self._client.private(
            prepared.method, prepared.path, prepared.parameters, prepared.stamp_ms, send_by=send_by
        )
        evidence = self._evidence(answer)
        return _failed(call, answer, evidence) or _accepted(call, answer, evidence)

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
        """The order, by the exchange's id when it is known, else searched for by ours.

        None only when open orders, order history and trades all answered and none of them has it; evidence and no
        proof, as all three lag (docs/btcturk.md §3). ``since_ms`` (exchange time) is when the order was sent at the
        earliest; without it the search goes 29 days back. Of an ended market order the executed quantity is the sum of
        its trades, once they agree with the order. Raises ``ReadFailed``, also when several orders carry the id
        (reason ``ambiguous``).
        """
        ask = _Clock(now_ms)
        if exchange_order_id is not None:
            listed = self._order(symbol, exchange_order_id, ask)
            if listed is not None:
                return self._with_trades(listed.report, ask)

        def is_wanted(found: OrderReport | TradeReport) -> bool:
            if exchange_order_id is not None:
                return found.exchange_order_id == exchange_order_id
            return found.client_order_id == client_order_id

        start_ms = (ask.now_ms() - LOOK_BACK_MS if since_ms is None else since_ms) - SEARCH_MARGIN_MS
        working = _only(filter(is_wanted, self.open_orders(symbol, now_ms=ask.now_ms())))
        if working is not None:
            return working
        past = self.order_history(symbol, since_ms=start_ms, now_ms=ask.now_ms())
        report = _only(filter(is_wanted, past))
        if report is not None:
            return self._with_trades(report, ask)
        lately = self.trades_between(symbol, start_ms, ask.now_ms() + SEARCH_MARGIN_MS, now_ms=ask.now_ms())
        trades = [trade for trade in lately if is_wanted(trade)]
        if not trades:
            return None
        if len({trade.exchange_order_id for trade in trades}) > 1:
            raise _gave_up("ambiguous", _AMBIGUOUS)
        listed = self._order(symbol, trades[-1].exchange_order_id, ask)
        return parsing.known_by_trades(symbol, trades) if listed is None else self._with_trades(listed.report, ask)

    def open_orders(self, symbol: str | None, *, now_ms: int) -> tuple[OrderReport, ...]:
        """Raises ``ReadFailed``. Without a symbol the exchange may refuse to answer (docs/btcturk.md §2.7)."""
        name = "open_orders" if symbol is not None else "open_orders_all"
        wanted = [] if symbol is None else [("pairSymbol", symbol)]

        def parse(body: Any) -> tuple[OrderReport, ...]:
            found = parsing.open_orders(body)
            if symbol is not None and any(report.symbol != symbol for report in found):
                raise Mismatch("pairSymbol")
            return found

        return self._get(name, "/api/v1/openOrders", wanted, _Clock(now_ms), parse)

    def order_history(self, symbol: str, *, since_ms: int, now_ms: int) -> tuple[OrderReport, ...]:
        """Orders in any state that were placed at ``since_ms`` (exchange time) or later, oldest first.

        Walks back by time: how pages are counted is not documented. Raises ``ReadFailed``.
        """
        ask = _Clock(now_ms)
        found: dict[str, ListedOrder] = {}
        parameters = [("pairSymbol", symbol), ("startTime", str(since_ms // 1000)), ("limit", str(HISTORY_PAGE))]

        def parse(body: Any) -> tuple[bool, int]:
            page = parsing.order_history(body)
            known = len(found)
            for listed in page:
                if listed.report.symbol != symbol:
                    raise Mismatch("pairSymbol")
                found[listed.report.exchange_order_id] = listed
            if len(page) >= HISTORY_PAGE and len(found) == known:
                raise Mismatch("page")  # asking on would never end
            complete = len(page) < HISTORY_SHORT or len(found) == known
            return complete, min((listed.placed_ms for listed in page), default=0)

        end: list[tuple[str, str]] = []
        for _ in range(MAX_CALLS):
            complete, oldest_ms = self._get("order_history", "/api/v1/allOrders", [*parameters, *end], ask, parse)
            if complete:
                ordered = sorted(
                    found.values(), key=lambda listed: (listed.placed_ms, int(listed.report.exchange_order_id))
                )
                return tuple(listed.report for listed in ordered if listed.placed_ms >= since_ms - since_ms % 1000)
            end = [("endTime", str(-(-oldest_ms // 1000)))]
        raise _gave_up("too_long", "more pages of order history than are read at once")

    def order_trades(self, symbol: str, exchange_order_id: str, *, now_ms: int) -> tuple[TradeReport, ...]:
        """All trades that the exchange shows for the order, oldest first; a short sum means lag (docs/btcturk.md §2.8).

        Raises ``ReadFailed``.
        """
        ask = _Clock(now_ms)

        def parse(body: Any) -> tuple[TradeReport, ...]:
            page = parsing.trades(body)
            for trade in page:
                if trade.symbol != symbol or trade.exchange_order_id != exchange_order_id:
                    raise Mismatch("trade")
            return page

        page = self._get("order_trades", _TRADES_PATH, [("orderId", exchange_order_id)], ask, parse)
        if len(page) >= TRADES_SHORT:
            listed = self._order(symbol, exchange_order_id, ask)
            if listed is None:
                raise _gave_up("cut_off", "not all trades of the order could be read")
            if _adds_up(page, listed.report):
                return _once_each(page)
            # An order id cannot be combined with a time: go through all trades of the order's life instead.
            lived = self.trades_between(
                symbol, listed.placed_ms - 1000, ask.now_ms() + SEARCH_MARGIN_MS, now_ms=ask.now_ms()
            )
            page = (*page, *(trade for trade in lived if trade.exchange_order_id == exchange_order_id))
        return _once_each(page)

    def trades_between(
        self, symbol: str, start_ms: int, end_ms: int, *, now_ms: int, max_calls: int = MAX_CALLS
    ) -> tuple[TradeReport, ...]:
        """Trades of the symbol in ``start_ms`` … ``end_ms`` (exchange time), oldest first. Raises ``ReadFailed``.

        An answer that may have been cut off is asked for again in two halves; after ``max_calls`` it is given up.
        """
        ask = _Clock(now_ms)
        found: list[TradeReport] = []
        waiting = [(max(start_ms, end_ms - WINDOW_MS), end_ms)]
        while waiting[0][0] > start_ms:
            waiting.insert(0, (max(start_ms, waiting[0][0] - WINDOW_MS), waiting[0][0]))

        def parse(body: Any) -> tuple[TradeReport, ...]:
            page = parsing.trades(body)
            if any(trade.symbol != symbol for trade in page):
                raise Mismatch("pairSymbol")
            return page

        for _ in range(max_calls):
            low, high = waiting.pop()
            window = [("pairSymbol", symbol), ("startDate", str(low)), ("endDate", str(high))]
            page = self._get("trades_between", _TRADES_PATH, window, ask, parse)
            narrowest = high - low <= 1
            if len(page) < (TRADES_FULL if narrowest else TRADES_SHORT):
                found += page
            elif narrowest:
                raise _gave_up("cut_off", "more trades in one millisecond than an answer holds")
            else:
                middle = (low + high) // 2
                waiting += [(low, middle), (middle, high)]
            if not waiting:
                return _once_each(trade for trade in found if start_ms <= clock.to_ms(trade.traded_at) <= end_ms)
        raise _gave_up("too_long", "more trades than are read at once")

    def trades_from(
        self, symbol: str, trade_id: str | None, *, now_ms: int, since_ms: int | None = None
    ) -> tuple[TradeReport, ...]:
        """Trades since the one with ``trade_id``, itself included, oldest first; None: only the newest answer.

        The exchange has no cursor but time: ``since_ms`` is the time of that trade (exchange time). Without it windows
        that grow are read backwards until one shows the trade. Raises ``ReadFailed``, also when 29 days do not show it.
        """
        ask = _Clock(now_ms)
        if since_ms is not None:
            return self.trades_between(symbol, since_ms, ask.now_ms() + SEARCH_MARGIN_MS, now_ms=ask.now_ms())
        if trade_id is None:
            newest = self._get("trades_from", _TRADES_PATH, [("pairSymbol", symbol)], ask, parsing.trades)
            if any(trade.symbol != symbol for trade in newest):
                raise _gave_up("mismatch", "trades of another pair")
            return _once_each(newest)
        found: tuple[TradeReport, ...] = ()
        end_ms, length = ask.now_ms() + SEARCH_MARGIN_MS, FIRST_LOOK_BACK_MS
        oldest_ms = end_ms - LOOK_BACK_MS
        while end_ms > oldest_ms:
            start_ms = max(oldest_ms, end_ms - length)
            found = (*self.trades_between(symbol, start_ms, end_ms, now_ms=ask.now_ms()), *found)
            for trade in found:
                if trade.trade_id == trade_id:
                    return _once_each(each for each in found if each.traded_at >= trade.traded_at)
            end_ms, length = start_ms, 2 * length
        raise _gave_up("cursor_not_found", "the trade to start from is not shown any more")

    def _order(self, symbol: str, exchange_order_id: str, ask: _Clock) -> ListedOrder | None:
        """None when the exchange answers that it has no such order."""
        if not _EXCHANGE_ORDER_ID.fullmatch(exchange_order_id):
            raise ValueError("exchange order id is not a number")

        def parse(body: Any) -> ListedOrder:
            listed = parsing.order(body)
            if listed.report.symbol != symbol or listed.report.exchange_order_id != exchange_order_id:
                raise Mismatch("id")
            return listed

        try:
            return self._get("query_order", f"{_ORDER_PATH}/{exchange_order_id}", [], ask, parse, Call.QUERY)
        except ReadFailed as failed:
            if failed.outcome.kind is OutcomeKind.NOT_FOUND:
                return None
            raise

    def _with_trades(self, report: OrderReport, ask: _Clock) -> OrderReport:
        """An ended market order with what its trades sum up to, as its own figures are not exact (docs/btcturk.md §3).

        Trades that fall short of the order's figure are late; the figure then stands, cut down to a whole amount.
        """
        if report.type not in BY_MARKET or not report.status.is_end or not report.cumulative_quantity:
            return report
        trades = self.order_trades(report.symbol, report.exchange_order_id, now_ms=ask.now_ms())
        if _adds_up(trades, report):
            return replace(report, cumulative_quantity=parsing.total(trade.quantity for trade in trades))
        return replace(
            report, cumulative_quantity=report.cumulative_quantity.quantize(_LEAST_AMOUNT, ROUND_DOWN, EXACT)
        )

    # Other reads

    def balances(self, *, now_ms: int) -> tuple[BalanceReport, ...]:
        """Raises ``ReadFailed``. ``as_of`` is the time of asking."""
        as_of = clock.from_ms(now_ms)
        return self._get(
            "balances", "/api/v1/users/balances", [], _Clock(now_ms), lambda body: parsing.balances(body, as_of)
        )

    def instruments(self, symbols: tuple[str, ...] | None = None) -> tuple[InstrumentReport, ...]:
        """Raises ``ReadFailed``; one symbol that does not exist fails the whole call (reason ``symbol``).

        A pair that cannot be read is left out when all are asked for, and fails the call when it was asked for.
        """
        if symbols is not None and not symbols:
            return ()

        def parse(body: Any) -> dict[str, InstrumentReport]:
            found, unreadable = parsing.instruments(body)
            if not found or not unreadable.isdisjoint(symbols or ()):
                raise Unparsable("symbols")
            if unreadable:
                log.warning("BTCTurk pairs that cannot be read: %s", ", ".join(sorted(unreadable)))
            return {report.symbol: report for report in found}

        found = self._public("instruments", "/api/v2/server/exchangeinfo", [], parse)
        return _wanted(found, symbols)

    def quotes(self, symbols: tuple[str, ...]) -> tuple[QuoteReport, ...]:
        """Raises ``ReadFailed``; one symbol that does not exist fails the whole call (reason ``symbol``)."""
        if not symbols:
            return ()
        wanted = [("pairSymbol", symbols[0])] if len(symbols) == 1 else []
        found = self._public("quotes", "/api/v2/ticker", wanted, parsing.quotes)
        return _wanted({report.symbol: report for report in found}, symbols)

    def server_time(self) -> ServerTime:
        """The exchange's clock against ours, taken at the middle of the round trip. Raises ``ReadFailed``."""
        self.warm()  # connecting would count as travel in one direction
        watch = Stopwatch()
        server_ms = self._reads.run(
            Call.READ,
            "server_time",
            lambda: watch.timed(lambda: self._client.public("/api/v2/server/time")),
            parsing.server_ms,
        )
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

    def _get(
        self,
        name: str,
        path: str,
        parameters: list[tuple[str, str]],
        ask: _Clock,
        parse: Callable[[Any], T],
        call: Call = Call.READ,
    ) -> T:
        """One signed read with a stamp of its own."""
        return self._reads.run(
            call, name, lambda: self._client.private("GET", path, parameters, self._stamp(ask.now_ms())), parse
        )

    def _public(self, name: str, path: str, parameters: list[tuple[str, str]], parse: Callable[[Any], T]) -> T:
        return self._reads.run(Call.READ, name, lambda: self._client.public(path, parameters), parse)

    def _evidence(self, answer: Answer) -> Evidence:
        stamp = answer.parameters.get("X-Stamp")
        return evidence_of(answer, lambda text: self._client.redact(text, stamp), kept_headers(answer.headers))


# What must and may be there for each order type and side (docs/btcturk.md §4).
_LIMIT = (frozenset({"quantity", "price"}), frozenset({"quantity", "price", "time_in_force"}))
_ALLOWED: dict[tuple[str, str], tuple[frozenset[str], ...]] = {
    ("MARKET", "BUY"): (frozenset({"quote_quantity"}),),
    ("MARKET", "SELL"): (frozenset({"quantity"}),),
    ("LIMIT", "BUY"): _LIMIT,
    ("LIMIT", "SELL"): _LIMIT,
}
_TRADES_PATH = "/api/v1/users/transactions/trade"


class _Clock:
    """Exchange time while a read goes on: the time that was handed in, and what has passed since."""

    def __init__(self, now_ms: int) -> None:
        self._start_ms = now_ms
        self._began = time.monotonic()

    def now_ms(self) -> int:
        return self._start_ms + int((time.monotonic() - self._began) * 1000)


def _hash(method: str, parameters: tuple[tuple[str, str], ...], stamp_ms: int) -> str:
    return request_hash(method, _ORDER_PATH, parameters, stamp_ms)


def _prepared(method: str, parameters: dict[str, str], stamp_ms: int) -> PreparedRequest:
    pairs = tuple(sorted(parameters.items()))
    return PreparedRequest(
        method=method,
        path=_ORDER_PATH,
        parameters=pairs,
        body_hash=_hash(method, pairs, stamp_ms),
        stamp_ms=stamp_ms,
        recv_window_ms=0,
    )


def _only(found: Iterable[OrderReport]) -> OrderReport | None:
    """The one order that matches. A stop that triggered shares its client id with its successor, which counts."""
    matches = list(found)
    if len(matches) > 1:
        matches = [report for report in matches if report.type not in STOPS]
        if len(matches) != 1:
            raise _gave_up("ambiguous", _AMBIGUOUS)
    return matches[0] if matches else None


def _adds_up(trades: tuple[TradeReport, ...], report: OrderReport) -> bool:
    """Whether these are all trades of the order, to less than the least amount that can be traded."""
    traded = parsing.total(trade.quantity for trade in trades)
    return abs(EXACT.subtract(traded, report.cumulative_quantity)) < _LEAST_AMOUNT


def _once_each(trades: Iterable[TradeReport]) -> tuple[TradeReport, ...]:
    """Without repetitions, oldest first."""
    found = {(trade.trade_id, trade.exchange_order_id): trade for trade in trades}
    return tuple(sorted(found.values(), key=lambda trade: (trade.traded_at, len(trade.trade_id), trade.trade_id)))


def _wanted(found: dict[str, T], symbols: tuple[str, ...] | None) -> tuple[T, ...]:
    if symbols is None:
        return tuple(found.values())
    missing = [symbol for symbol in symbols if symbol not in found]
    if missing:
        raise _gave_up("symbol", f"no such pair: {', '.join(missing)}", OutcomeKind.REFUSED)
    return tuple(found[symbol] for symbol in symbols)


def _gave_up(reason: str, message: str, kind: OutcomeKind = OutcomeKind.UNKNOWN) -> ReadFailed:
    """A read that was answered, but not with what was asked for."""
    return ReadFailed(Outcome(kind, Evidence("GET", "", {}, error=message), message=message, reason=reason))


def _failed(call: Call, answer: Answer, evidence: Evidence) -> Outcome | None:
    """The outcome of an answer that is no success, or None."""
    if answer.failure is not None:
        return Outcome(answer.failure.kind, evidence, message=answer.error, reason=answer.failure.reason)
    status = answer.status or 0
    if status == 200 and not parsing.refused(answer.content):
        return None
    said = parsing.said(answer.content)
    verdict = classify(call, status, said, drifted=_drifted(answer))
    throttled_for_ms = None
    if verdict.kind is OutcomeKind.THROTTLED:
        throttled_for_ms = wait_ms(answer.headers)
        if throttled_for_ms is None:
            throttled_for_ms = verdict.wait_ms
    return Outcome(
        kind=verdict.kind,
        evidence=evidence,
        code=said.code[:_MESSAGE_CHARACTERS],
        message=said.message[:_MESSAGE_CHARACTERS] if said.names else "",
        reason=verdict.reason,
        throttled_for_ms=throttled_for_ms,
    )


def _drifted(answer: Answer) -> bool:
    """Whether the stamp was outside the exchange's window by the answer's own Date; an answer to 401 has no words."""
    stamp = answer.parameters.get("X-Stamp")
    try:
        date = parsedate_to_datetime(answer.headers.get("date", ""))
        return stamp is not None and abs(date.timestamp() * 1000 - int(stamp)) > _STAMP_WINDOW_MS
    except (ValueError, OverflowError):
        return False


def _accepted(call: Call, answer: Answer, evidence: Evidence) -> Outcome:
    """The outcome of a 200 write: accepted when the answer is about the order that was asked for, else unknown."""
    try:
        body = decode(answer.content)
        if call is Call.CANCEL:
            parsing.data_of(body)
            return Outcome(OutcomeKind.ACCEPTED, evidence)
        order = parsing.placed(body)
        shown = {
            "newOrderClientId": order.client_order_id,
            "pairSymbol": order.symbol,
            "orderType": order.side.lower(),
            "orderMethod": order.type.lower(),
        }
        for name, value in shown.items():
            if answer.parameters[name] != value:
                raise Mismatch(name)
    except Unparsable as error:
        return unbelievable(evidence, error)
    return Outcome(OutcomeKind.ACCEPTED, evidence, (order,))


def reread(evidence: Evidence) -> Outcome | None:
    """What this parser makes of a stored answer to a write; None for one that had no HTTP answer."""
    call = _CALLS.get((evidence.method, evidence.path))
    if call is None or evidence.http_status is None:
        return None
    answer = answer_of(evidence)
    return _failed(call, answer, evidence) or _accepted(call, answer, evidence)
