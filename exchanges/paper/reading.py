"""What the paper exchange answers to questions: orders, trades, balances as reports, with the lag of its reads."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime, timedelta
from decimal import Decimal
from types import TracebackType
from typing import Any

from django.conf import settings
from django.db.models import QuerySet, Sum

from exchanges.http.reading import AfterCall, BeforeCall
from exchanges.models import Account, Instrument, PaperBalance, PaperOrder, PaperTrade, Quote
from exchanges.paper import terms
from exchanges.paper.engine import advance
from exchanges.paper.pit import OPEN
from exchanges.paper.rules import Verdict
from exchanges.reports import (
    BalanceReport,
    Evidence,
    Fee,
    InstrumentReport,
    OrderReport,
    Outcome,
    OutcomeKind,
    QuoteReport,
    ReadFailed,
    Report,
    ReportedStatus,
    TradeReport,
)
from execution_project.common import clock
from execution_project.common.money import plain

ZERO = Decimal(0)
PAGE = 1000
OLDEST_FILTERS = timedelta(hours=24)
"""Pairs that the feeding market has not confirmed for as long are not passed on as fresh."""


class View:
    """The account as its reads show it: as of ``until`` when they lag, else as it is."""

    def __init__(self, account: Account, until: datetime | None) -> None:
        self._account = account
        self._until = until
        self.answer: list[str] = []

    def find(self, symbol: str, client_order_id: str, number: str | None) -> PaperOrder | None:
        """By exchange id, else the newest under a client order id."""
        found = self._orders(symbol)
        if number is not None:
            return found.filter(number=int(number)).first() if number.isdigit() else None
        return found.filter(client_order_id=client_order_id).order_by("-number").first()

    def order(self, order: PaperOrder, source: str) -> OrderReport:
        """The order's report, without what happened since ``until``."""
        report = order_report(order, source)
        if self._until is not None and order.updated_at > self._until:
            seen = PaperTrade.objects.filter(order=order, traded_at__lte=self._until).aggregate(
                quantity=Sum("quantity"), quote=Sum("quote_quantity")
            )
            executed, quote = seen["quantity"] or ZERO, seen["quote"] or ZERO
            status = ReportedStatus.PARTIALLY_FILLED if executed else ReportedStatus.OPEN
            report = _report(order, source, status, executed, quote, self._until)
        self.answer.append(f"{report.exchange_order_id} {report.status} {plain(report.cumulative_quantity)}")
        return report

    def open_orders(self, symbol: str | None) -> tuple[OrderReport, ...]:
        """Orders that work, of one pair or all."""
        found = self._orders(symbol)
        if self._until is None:
            found = found.filter(status__in=OPEN)
        reports = [self.order(order, "paper.open_orders") for order in found.order_by("number")]
        return tuple(report for report in reports if not report.status.is_end)

    def history(self, symbol: str, start_ms: int, end_ms: int) -> tuple[OrderReport, ...]:
        """Orders of any status placed between two moments."""
        last = clock.from_ms(end_ms) + timedelta(microseconds=999)
        found = self._orders(symbol).filter(placed_at__gte=clock.from_ms(start_ms), placed_at__lte=last)
        return tuple(self.order(order, "paper.order_history") for order in found.order_by("number"))

    def trades(self, symbol: str, **filters: Any) -> tuple[TradeReport, ...]:
        """Trades by number."""
        return tuple(self._told(trade) for trade in self._trades(symbol).filter(**filters).order_by("number"))

    def newest(self, symbol: str) -> tuple[TradeReport, ...]:
        """The newest page of trades, by number."""
        page = list(self._trades(symbol).order_by("-number")[:PAGE])
        return tuple(self._told(trade) for trade in reversed(page))

    def balances(self, as_of: datetime) -> tuple[BalanceReport, ...]:
        """What is not zero."""
        rows = PaperBalance.objects.filter(account=self._account).order_by("asset")
        told = tuple(BalanceReport(row.asset, row.free, row.locked, as_of) for row in rows if row.free or row.locked)
        self.answer.extend(f"{row.asset} {plain(row.free)} {plain(row.locked)}" for row in told)
        return told

    def _orders(self, symbol: str | None) -> QuerySet[PaperOrder]:
        found = PaperOrder.objects.filter(account=self._account).select_related("instrument")
        found = found if symbol is None else found.filter(instrument__symbol=symbol)
        return found if self._until is None else found.filter(placed_at__lte=self._until)

    def _trades(self, symbol: str) -> QuerySet[PaperTrade]:
        found = PaperTrade.objects.filter(account=self._account, instrument__symbol=symbol)
        found = found.select_related("order", "instrument")
        return found if self._until is None else found.filter(traded_at__lte=self._until)

    def _told(self, trade: PaperTrade) -> TradeReport:
        self.answer.append(f"{trade.number} {plain(trade.quantity)} @ {plain(trade.price)}")
        return trade_report(trade)


class Asking:
    """One read: the hooks around it, the orders brought up to date before it, and its evidence after it."""

    def __init__(
        self,
        account: Account,
        call: str,
        asked: dict[str, str],
        before: BeforeCall | None,
        after: AfterCall | None,
        *,
        catch_up: bool,
    ) -> None:
        self._account, self._call, self._asked = account, call, asked
        self._before, self._after, self._catch_up = before, after, catch_up

    def __enter__(self) -> View:
        if self._before is not None:
            self._before(self._call)
        lag_ms = 0
        if self._catch_up:
            advance(self._account)
            row = terms.row_of(self._account)
            lag_ms = row.read_lag_ms
        until = None if not lag_ms else clock.now() - timedelta(milliseconds=lag_ms)
        self._view = View(self._account, until)
        return self._view

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._after is not None and error is None:
            body = json.dumps(self._view.answer)
            self._after(self._call, Evidence("PAPER", self._call, self._asked, http_status=200, body=body))


# -------------------------------------------------------------------------------------------------------------- reports


def order_report(order: PaperOrder, source: str) -> OrderReport:
    """The order as it is."""
    return _report(order, source, ReportedStatus(order.status), order.executed, order.executed_quote, order.updated_at)


def accepted(order: PaperOrder) -> OrderReport:
    """The order as an exchange tells of it that says no more than that it took it."""
    return _report(order, "paper.place", ReportedStatus.OPEN, ZERO, None, order.placed_at)


def _report(
    order: PaperOrder, source: str, status: ReportedStatus, executed: Decimal, quote: Decimal | None, as_of: datetime
) -> OrderReport:
    return OrderReport(
        symbol=order.instrument.symbol,
        exchange_order_id=str(order.number),
        client_order_id=order.client_order_id,
        side=order.side,
        type=order.type,
        status=status,
        price=order.price,
        quantity=order.quantity,
        cumulative_quantity=executed,
        cumulative_quote=quote,
        as_of=as_of,
        source=source,
        reason=order.reason,
    )


def trade_report(trade: PaperTrade) -> TradeReport:
    """The trade; its source is the model that made it."""
    return TradeReport(
        symbol=trade.instrument.symbol,
        trade_id=str(trade.number),
        exchange_order_id=str(trade.order.number),
        client_order_id=trade.order.client_order_id,
        side=trade.order.side,
        price=trade.price,
        quantity=trade.quantity,
        quote_quantity=trade.quote_quantity,
        fees=tuple(Fee(fee["asset"], Decimal(fee["amount"]), fee["kind"]) for fee in trade.fees),
        is_maker=trade.is_maker,
        traded_at=trade.traded_at,
        source=trade.model,
    )


def source_instruments(account: Account, symbols: tuple[str, ...] | None) -> tuple[InstrumentReport, ...]:
    """The pairs of the market that feeds paper accounts. Raises ``ReadFailed`` when nobody asked for them lately."""
    found = Instrument.objects.filter(exchange=account.exchange, mode=settings.EXEC_PAPER_MARKET)
    found = found.filter(synced_at__gte=clock.now() - OLDEST_FILTERS).order_by("symbol")
    if symbols is not None:
        found = found.filter(symbol__in=symbols)
    reports = tuple(
        InstrumentReport(
            symbol=row.symbol,
            base_asset=row.base_asset,
            quote_asset=row.quote_asset,
            status=row.status,
            is_trading=row.is_trading,
            base_precision=row.base_precision,
            quote_precision=row.quote_precision,
            order_types=tuple(row.order_types),
            quote_quantity_allowed=row.quote_quantity_allowed,
            filters=row.filters,
        )
        for row in found
    )
    if not reports:
        said = (
            f"no pair of {account.exchange} in mode {settings.EXEC_PAPER_MARKET} was read within a day:"
            f" run sync_instruments for an account of that mode, or let the engine read it"
        )
        evidence = Evidence("PAPER", "instruments", {}, error=said)
        raise ReadFailed(Outcome(OutcomeKind.UNKNOWN, evidence, message=said, reason="no_market_data"))
    return reports


def quotes(account: Account, symbols: tuple[str, ...]) -> tuple[QuoteReport, ...]:
    """Best bid and ask of the paper instruments."""
    found = Quote.objects.filter(
        instrument__exchange=account.exchange, instrument__mode=account.mode, instrument__symbol__in=symbols
    ).select_related("instrument")
    return tuple(QuoteReport(row.instrument.symbol, row.bid, row.ask) for row in found.order_by("instrument__symbol"))


# --------------------------------------------------------------------------------------------------------------- bodies


def as_body(verdict: Verdict, reports: tuple[Report, ...], model: str) -> str:
    """An answer as text, complete enough to be read again."""
    document = {
        "model": model,
        "outcome": verdict.kind.value,
        "code": verdict.code,
        "message": verdict.message,
        "reason": verdict.reason,
        "reports": [{"kind": type(report).__name__, **_plain_fields(report)} for report in reports],
    }
    return json.dumps(document, separators=(",", ":"))


def _plain_fields(report: Report) -> dict[str, Any]:
    def value(given: Any) -> Any:
        if isinstance(given, Decimal):
            return plain(given)
        if isinstance(given, datetime):
            return given.isoformat()
        if isinstance(given, tuple | list):
            return [value(each) for each in given]
        if isinstance(given, dict):
            return {name: value(each) for name, each in given.items()}
        return given

    return {name: value(given) for name, given in asdict(report).items()}


def from_body(evidence: Evidence) -> Outcome | None:
    """What ``as_body`` wrote, as an outcome with its trades; None for another body."""
    try:
        document = json.loads(evidence.body)
        trades = [each for each in document["reports"] if each["kind"] == "TradeReport"]
    except (ValueError, KeyError, TypeError):
        return None
    return Outcome(
        OutcomeKind(document["outcome"]),
        evidence,
        tuple(_trade_from(each) for each in trades),
        code=document["code"],
        message=document["message"],
        reason=document["reason"],
    )


def _trade_from(given: dict[str, Any]) -> TradeReport:
    return TradeReport(
        symbol=given["symbol"],
        trade_id=given["trade_id"],
        exchange_order_id=given["exchange_order_id"],
        client_order_id=given["client_order_id"],
        side=given["side"],
        price=Decimal(given["price"]),
        quantity=Decimal(given["quantity"]),
        quote_quantity=Decimal(given["quote_quantity"]),
        fees=tuple(Fee(fee["asset"], Decimal(fee["amount"]), fee["kind"]) for fee in given["fees"]),
        is_maker=given["is_maker"],
        traded_at=datetime.fromisoformat(given["traded_at"]),
        source=given["source"],
    )
