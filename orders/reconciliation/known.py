"""Which rows of ours reports are about, and the adoption of what has none."""

from __future__ import annotations

from collections.abc import Iterable

from django.db.models import Q

from exchanges.models import Account
from exchanges.reports import OrderReport, Report, TradeReport
from orders.adopting import CannotAdopt, adopt
from orders.breaks import Finding
from orders.ingest import ingest
from orders.models import BreakKind, ExchangeOrder, Severity
from orders.reconciliation.outcome import Run


def rows_of(account: Account, reports: Iterable[Report]) -> dict[tuple[str, str], ExchangeOrder]:
    """Our rows of these reports, by ("id", client order id) and by (symbol, exchange order id)."""
    reports = list(reports)
    client_ids = {report.client_order_id for report in reports if report.client_order_id}
    exchange_ids = {report.exchange_order_id for report in reports} - {""}
    found: dict[tuple[str, str], ExchangeOrder] = {}
    for row in ExchangeOrder.objects.filter(
        Q(client_order_id__in=client_ids) | Q(exchange_order_id__in=exchange_ids), order__account=account
    ).select_related("order__instrument"):
        found["id", row.client_order_id] = row
        if row.exchange_order_id:
            found[row.order.instrument.symbol, row.exchange_order_id] = row
    return found


def adopt_with(run: Run, part: str, report: OrderReport, trades: tuple[TradeReport, ...]) -> bool:
    """Adopt an order; whether it, or whoever was faster, has it in the books now."""
    subject = f"{report.symbol} {report.exchange_order_id}"
    try:
        adopted = adopt(run.account, report, trades, by=run.by)
    except CannotAdopt as error:
        run.found(
            part,
            Finding(
                BreakKind.MISSING_FILL,
                Severity.BLOCKING,
                subject,
                expected="none",
                observed=str(error),
                evidence={"client_order_id": report.client_order_id, "trades": len(trades)},
            ),
        )
        return False
    if adopted is None:
        run.result.new_fills += ingest(run.account, (report, *trades), by=run.by).new_fills
        return True
    order, done = adopted
    run.result.new_fills += done.new_fills
    run.note(part, f"{order.origin} order", subject, "none", f"{report.status} {report.client_order_id}", "adopted")
    return True
