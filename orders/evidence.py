"""Reading history again: what today's parsers make of every stored answer, against what was recorded and booked then.

A parser that is mended shows here which of the past orders it would have judged differently, before it is trusted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from django.db.models import QuerySet

from exchanges.binance import adapter as binance
from exchanges.btcturk import adapter as btcturk
from exchanges.models import Exchange, Mode
from exchanges.paper import adapter as paper
from exchanges.reports import Evidence, Fee, Outcome, ReplaceOutcome, TradeReport
from execution_project.common.money import plain
from orders.models import Attempt
from positions.booking import fees_of
from positions.models import Fill

READERS = {Exchange.BINANCE.value: binance.reread, Exchange.BTCTURK.value: btcturk.reread}


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that a parser of today reads differently in one attempt's answer."""

    attempt: Attempt
    what: str
    recorded: str
    read_now: str


def attempts_with_answers(account: str | None = None) -> QuerySet[Attempt]:
    """Attempts that got an HTTP answer, oldest first."""
    queryset = (
        Attempt.objects.exclude(outcome="")
        .filter(response__http_status__isnull=False)
        .select_related("command__order__account", "command__order__instrument")
    )
    if account is not None:
        queryset = queryset.filter(command__order__account__name=account)
    return queryset.order_by("id")


def differences(attempt: Attempt) -> Iterator[Difference]:
    """What today's parser reads differently in the attempt's stored answer; nothing when it agrees."""
    order = attempt.command.order
    request, response = attempt.request, attempt.response
    evidence = Evidence(
        method=request["method"],
        path=request["path"],
        parameters=request["parameters"],
        http_status=response["http_status"],
        headers=response["headers"],
        body=response["body"],
    )
    account = order.account
    read = (paper.reread if account.mode == Mode.PAPER else READERS[account.exchange])(evidence)
    if read is None:
        return
    outcomes = (read.cancel, read.place) if isinstance(read, ReplaceOutcome) else (read,)
    judged: Outcome = outcomes[-1]
    if judged.kind.value != attempt.outcome:
        yield Difference(attempt, "outcome", attempt.outcome, judged.kind.value)
    code = (judged.code or judged.reason)[:64]
    if code != attempt.code:
        yield Difference(attempt, "code", attempt.code, code)
    for outcome in outcomes:
        for report in outcome.reports:
            if isinstance(report, TradeReport):
                yield from _trade_differences(attempt, report)


def _trade_differences(attempt: Attempt, trade: TradeReport) -> Iterator[Difference]:
    order = attempt.command.order
    fill = Fill.objects.filter(
        account=order.account,
        instrument=order.instrument,
        trade_id=trade.trade_id,
        exchange_order_id=trade.exchange_order_id,
    ).first()
    name = f"trade {trade.trade_id}"
    if fill is None:
        yield Difference(attempt, name, "not booked", f"{plain(trade.quantity)} at {plain(trade.price)}")
        return
    for what, booked, now in (
        ("quantity", plain(fill.quantity), plain(trade.quantity)),
        ("price", plain(fill.price), plain(trade.price)),
        ("fees", _fees(fees_of(fill)), _fees(trade.fees)),
    ):
        if booked != now:
            yield Difference(attempt, f"{name} {what}", booked, now)


def _fees(fees: tuple[Fee, ...]) -> str:
    return ", ".join(sorted(f"{plain(f.amount)} {f.asset} {f.kind}" for f in fees))
