"""The paper exchange behind the interface of every exchange adapter. No key, no host, no connection: calls end in our
own tables. Outcomes that are not known, refusals and limits come as they would from the imitated exchange."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from django.db import connection, transaction

from exchanges.adapters import (
    AmendInstruction,
    CancelInstruction,
    PlaceInstruction,
    PreparedRequest,
    ReplaceInstruction,
)
from exchanges.http.reading import AfterCall, BeforeCall
from exchanges.models import Account, Exchange
from exchanges.paper import reading, requests, terms
from exchanges.paper.chance import Latency, armed_fault, latency_of, random_fault
from exchanges.paper.engine import MODEL, Floor, floor_of
from exchanges.paper.requests import METHOD
from exchanges.paper.rules import NoMarketData, Refused, Verdict, verdict_of
from exchanges.reports import (
    BalanceReport,
    Evidence,
    InstrumentReport,
    OrderReport,
    Outcome,
    OutcomeKind,
    QuoteReport,
    ReplaceOutcome,
    Report,
    ServerTime,
    TradeReport,
)
from execution_project.common import clock
from execution_project.common.money import plain

# What is answered nothing although it may have been done, and what each says of itself.
_UNANSWERED = {"lost_request": "no answer", "lost_answer": "no answer"}
_STAMP_AHEAD_MS = 1000


class InTransaction(RuntimeError):
    """A paper exchange is an exchange: it is not called while a transaction of the engine is open."""


@dataclass(frozen=True, slots=True)
class _Trip:
    latency: Latency
    fault: str
    clock_offset_ms: int


class PaperAdapter:
    """Calls of one paper account. ``before_call`` and ``after_call`` as for the other adapters' reads."""

    def __init__(
        self, account: Account, *, before_call: BeforeCall | None = None, after_call: AfterCall | None = None
    ) -> None:
        self._account = account
        self._before, self._after = before_call, after_call

    def __repr__(self) -> str:
        return f"PaperAdapter({self._account.name})"

    # -- writes --------------------------------------------------------------------------------------------------

    def prepare_place(self, instruction: PlaceInstruction, stamp_ms: int, recv_window_ms: int) -> PreparedRequest:
        """Raises ``ValueError`` for a size or price of zero, and for an order without a size."""
        return requests.prepared("place", requests.placement(instruction), stamp_ms, recv_window_ms)

    def prepare_cancel(self, instruction: CancelInstruction, stamp_ms: int, recv_window_ms: int) -> PreparedRequest:
        """By the exchange's id when it is known."""
        return requests.prepared("cancel", requests.target(instruction), stamp_ms, recv_window_ms)

    def prepare_amend(self, instruction: AmendInstruction, stamp_ms: int, recv_window_ms: int) -> PreparedRequest:
        """Lower the quantity in place."""
        target = CancelInstruction(instruction.symbol, instruction.client_order_id, instruction.exchange_order_id)
        parameters = {**requests.target(target), "new_quantity": plain(instruction.new_quantity)}
        return requests.prepared("amend", parameters, stamp_ms, recv_window_ms)

    def prepare_replace(self, instruction: ReplaceInstruction, stamp_ms: int, recv_window_ms: int) -> PreparedRequest:
        """Cancel one order of which nothing was filled, and place another only if that worked."""
        canceled = {f"cancel_{name}": value for name, value in requests.target(instruction.cancel).items()}
        return requests.prepared(
            "replace", {**requests.placement(instruction.place), **canceled}, stamp_ms, recv_window_ms
        )

    def send(self, prepared: PreparedRequest, send_by: float) -> Outcome:
        """Carry out a placement, cancel or amendment after the model's latency; see ``ExchangeAdapter``."""
        if prepared.method != METHOD or prepared.path == "replace":
            raise ValueError(f"not a single write of this adapter: {prepared.method} {prepared.path}")
        refused = self._not_sent(prepared, send_by)
        if refused is not None:
            return refused
        trip = self._set_out(prepared.path)
        acts: dict[str, Callable[[Floor, dict[str, str]], tuple[Report, ...]]] = {
            "place": self._place,
            "cancel": self._cancel,
            "amend": self._amend,
        }
        outcome = self._carried_out(prepared, trip, acts[prepared.path])
        _pass_ms(trip.latency.back_ms)
        return outcome

    def send_replace(self, prepared: PreparedRequest, send_by: float) -> ReplaceOutcome:
        """Like ``send``, for what ``prepare_replace`` made."""
        if (prepared.method, prepared.path) != (METHOD, "replace"):
            raise ValueError(f"not a replacement: {prepared.method} {prepared.path}")
        refused = self._not_sent(prepared, send_by)
        if refused is not None:
            return ReplaceOutcome(refused, refused)
        trip = self._set_out("replace")
        both = self._replaced(prepared, trip)
        _pass_ms(trip.latency.back_ms)
        return both

    def _not_sent(self, prepared: PreparedRequest, send_by: float) -> Outcome | None:
        if connection.in_atomic_block:
            raise InTransaction("Commit before calling an exchange.")
        evidence = Evidence(METHOD, prepared.path, dict(prepared.parameters))
        if requests.hash_of(prepared.path, dict(prepared.parameters)) != prepared.body_hash:
            return Outcome(OutcomeKind.NOT_SENT, evidence, reason="altered", message="not the request that was stored")
        if clock.monotonic() > send_by:
            return Outcome(OutcomeKind.NOT_SENT, evidence, reason="too_late", message="send_by has passed")
        return None

    def _set_out(self, call: str) -> _Trip:
        """Draw latency and fault of one call, and let the way there pass."""
        with transaction.atomic():
            row = terms.locked_row(self._account)
            row.draws += 1
            fault, row.faults = armed_fault(row.faults, call)
            fault = fault or random_fault(row.fault_rates, row.seed, row.draws)
            there = row.cancel_ms if call == "cancel" else row.submit_ms
            latency = latency_of(row.seed, row.draws, there, row.ack_ms, row.jitter_ms)
            row.save(update_fields=["draws", "faults"])
        _pass_ms(latency.there_ms)
        return _Trip(latency, fault, row.clock_offset_ms)

    def _carried_out(
        self, prepared: PreparedRequest, trip: _Trip, act: Callable[[Floor, dict[str, str]], tuple[Report, ...]]
    ) -> Outcome:
        parameters = dict(prepared.parameters)
        try:
            self._judge_arrival(prepared, trip)
            if trip.fault == "lost_request":
                return self._unanswered(prepared, trip)
            with floor_of(self._account) as floor:
                reports = act(floor, parameters)
        except Refused as refused:
            return self._refusal(prepared, verdict_of(self._account.exchange, prepared.path, refused))
        except NoMarketData as error:
            return self._refusal(
                prepared, Verdict(OutcomeKind.NOT_EXECUTED, "NO_MARKET_DATA", str(error), "no_market_data", 503)
            )
        if trip.fault in {"lost_answer", "busy"}:
            return self._unanswered(prepared, trip)
        return self._told(prepared, Verdict(OutcomeKind.ACCEPTED, "", "", "", 200), reports)

    def _judge_arrival(self, prepared: PreparedRequest, trip: _Trip) -> None:
        """What the exchange refuses before it looks at the order. Raises ``Refused``."""
        if trip.fault in {"reject", "throttled"}:
            raise Refused(trip.fault)
        if self._account.exchange == Exchange.BINANCE:
            now_ms = clock.now_ms() + trip.clock_offset_ms
            late = now_ms - prepared.stamp_ms > prepared.recv_window_ms
            if late or prepared.stamp_ms >= now_ms + _STAMP_AHEAD_MS:
                raise Refused("clock")

    def _unanswered(self, prepared: PreparedRequest, trip: _Trip) -> Outcome:
        if trip.fault == "busy":
            return self._refusal(prepared, verdict_of(self._account.exchange, prepared.path, Refused("busy")))
        said = _UNANSWERED[trip.fault]
        evidence = Evidence(METHOD, prepared.path, dict(prepared.parameters), error=said)
        return Outcome(OutcomeKind.UNKNOWN, evidence, message=said, reason="read_timeout")

    def _refusal(self, prepared: PreparedRequest, verdict: Verdict) -> Outcome:
        return self._told(prepared, verdict, ())

    def _told(self, prepared: PreparedRequest, verdict: Verdict, reports: tuple[Report, ...]) -> Outcome:
        body = reading.as_body(verdict, reports, MODEL)
        evidence = Evidence(
            METHOD, prepared.path, dict(prepared.parameters), http_status=verdict.http_status, body=body
        )
        return Outcome(
            verdict.kind,
            evidence,
            reports,
            code=verdict.code,
            message=verdict.message,
            reason=verdict.reason,
            throttled_for_ms=verdict.wait_ms,
        )

    def _place(self, floor: Floor, parameters: dict[str, str]) -> tuple[Report, ...]:
        order = floor.place(requests.asked(parameters))
        if not floor.binance:
            # The answer to an accepted order says nothing of its fills (docs/btcturk.md §2.5).
            return (reading.accepted(order),)
        trades = [trade for trade in floor.new_trades if trade.order is order]
        return (reading.order_report(order, "paper.place"), *(reading.trade_report(trade) for trade in trades))

    def _cancel(self, floor: Floor, parameters: dict[str, str]) -> tuple[Report, ...]:
        order = floor.cancel(parameters["symbol"], parameters["client_order_id"], parameters.get("exchange_order_id"))
        # On BTCTurk a cancel is a promise (docs/btcturk.md §2.6): the order is asked for afterwards.
        return (reading.order_report(order, "paper.cancel"),) if floor.binance else ()

    def _amend(self, floor: Floor, parameters: dict[str, str]) -> tuple[Report, ...]:
        order = floor.amend(
            parameters["symbol"],
            parameters["client_order_id"],
            parameters.get("exchange_order_id"),
            Decimal(parameters["new_quantity"]),
        )
        return (reading.order_report(order, "paper.amend"),)

    def _replaced(self, prepared: PreparedRequest, trip: _Trip) -> ReplaceOutcome:
        """STOP_ON_FAILURE, ONLY_NEW (docs/binance.md §2.3)."""
        parameters = dict(prepared.parameters)
        target = {
            name.removeprefix("cancel_"): value for name, value in parameters.items() if name.startswith("cancel_")
        }

        def outcome(verdict: Verdict, *reports: Report) -> Outcome:
            return self._told(prepared, verdict, reports)

        done, untried = (
            Verdict(OutcomeKind.ACCEPTED, "", "", "", 200),
            Verdict(OutcomeKind.NOT_EXECUTED, "", "", "", 400),
        )
        not_attempted = Verdict(OutcomeKind.NOT_EXECUTED, "", "", "not_attempted", 400)
        exchange = self._account.exchange
        try:
            self._judge_arrival(prepared, trip)
            if trip.fault == "lost_request":
                unknown = self._unanswered(prepared, trip)
                return ReplaceOutcome(unknown, unknown)
            with floor_of(self._account) as floor:
                floor.judge_replacement(requests.asked(parameters))
                try:
                    old = floor.cancel(
                        target["symbol"], target["client_order_id"], target.get("exchange_order_id"), untouched=True
                    )
                except Refused as refused:
                    verdict = verdict_of(exchange, "cancel", refused)
                    return ReplaceOutcome(outcome(verdict), outcome(not_attempted))
                canceled = outcome(done, reading.order_report(old, "paper.replace"))
                try:
                    reports = self._place(floor, parameters)
                except (Refused, NoMarketData) as error:
                    why = error if isinstance(error, Refused) else Refused("market_closed")
                    return ReplaceOutcome(canceled, outcome(verdict_of(exchange, "place", why)))
        except Refused as refused:
            return ReplaceOutcome(outcome(untried), outcome(verdict_of(exchange, "place", refused)))
        if trip.fault in {"lost_answer", "busy"}:
            unknown = self._unanswered(prepared, trip)
            return ReplaceOutcome(unknown, unknown)
        return ReplaceOutcome(canceled, outcome(done, *reports))

    # -- reads ---------------------------------------------------------------------------------------------------

    def query_order(
        self,
        symbol: str,
        *,
        client_order_id: str,
        exchange_order_id: str | None,
        now_ms: int,
        since_ms: int | None = None,
    ) -> OrderReport | None:
        """The order, or None; a lagging read may not show it yet."""
        with self._read("query_order", symbol=symbol, client_order_id=client_order_id) as view:
            order = view.find(symbol, client_order_id, exchange_order_id)
            return None if order is None else view.order(order, "paper.query")

    def open_orders(self, symbol: str | None, *, now_ms: int) -> tuple[OrderReport, ...]:
        """Every working order of the account."""
        with self._read("open_orders" if symbol else "open_orders_all", symbol=symbol or "") as view:
            return view.open_orders(symbol)

    def order_history(self, symbol: str, start_ms: int, end_ms: int) -> tuple[OrderReport, ...]:
        """Orders of any status placed between two moments (exchange time, ms), by exchange id."""
        with self._read("order_history", symbol=symbol) as view:
            return view.history(symbol, start_ms, end_ms)

    def order_trades(self, symbol: str, exchange_order_id: str, *, now_ms: int) -> tuple[TradeReport, ...]:
        """All trades of one order."""
        with self._read("order_trades", symbol=symbol, exchange_order_id=exchange_order_id) as view:
            return view.trades(symbol, order__number=exchange_order_id)

    def trades_from(self, symbol: str, trade_id: str | None, *, now_ms: int) -> tuple[TradeReport, ...]:
        """Trades with id ≥ ``trade_id``; None: the newest page."""
        with self._read("trades_from", symbol=symbol) as view:
            return view.newest(symbol) if trade_id is None else view.trades(symbol, number__gte=trade_id)

    def trades_between(self, symbol: str, start_ms: int, end_ms: int, *, now_ms: int) -> tuple[TradeReport, ...]:
        """Trades between two moments (exchange time, ms), both in it, by trade id."""
        with self._read("trades_between", symbol=symbol) as view:
            last = clock.from_ms(end_ms) + timedelta(microseconds=999)
            return view.trades(symbol, traded_at__gte=clock.from_ms(start_ms), traded_at__lte=last)

    def balances(self, *, now_ms: int) -> tuple[BalanceReport, ...]:
        """All balances that are not zero."""
        with self._read("balances") as view:
            return view.balances(clock.from_ms(now_ms))

    def instruments(self, symbols: tuple[str, ...] | None = None) -> tuple[InstrumentReport, ...]:
        """Pairs with their filters, as the market that feeds paper accounts shows them. Raises ``ReadFailed``."""
        with self._read("instruments", catch_up=False):
            return reading.source_instruments(self._account, symbols)

    def quotes(self, symbols: tuple[str, ...]) -> tuple[QuoteReport, ...]:
        """Best bid and ask as the feed last told them, however old: see ``exchanges.syncing.sync_quotes``."""
        with self._read("quotes", catch_up=False):
            return reading.quotes(self._account, symbols)

    def server_time(self) -> ServerTime:
        """The paper exchange's clock: ours, set off by the account's offset."""
        with self._read("server_time", catch_up=False):
            offset = terms.row_of(self._account).clock_offset_ms
            return ServerTime(clock.now_ms() + offset, offset, 0)

    def warm(self) -> None:
        """Nothing to open."""

    def close(self) -> None:
        """Nothing to drop."""

    def _read(self, call: str, *, catch_up: bool = True, **asked: str) -> reading.Asking:
        return reading.Asking(self._account, call, asked, self._before, self._after, catch_up=catch_up)


def reread(evidence: Evidence) -> Outcome | ReplaceOutcome | None:
    """A stored answer of the paper exchange, read again; None for one that is none."""
    return None if evidence.method != METHOD or evidence.path == "replace" else reading.from_body(evidence)


def _pass_ms(milliseconds: int) -> None:
    clock.sleep(timedelta(milliseconds=milliseconds))
