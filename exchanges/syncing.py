"""Bringing the exchange's view of instruments, quotes and balances into the database."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from exchanges.connections import adapter_for
from exchanges.host_clock import exchange_now_ms
from exchanges.models import Account, Balance, Instrument, Mode
from exchanges.paper.feed import mirror_quotes
from exchanges.quotes import Price, store_quotes
from exchanges.reports import BalanceReport
from execution_project.common import clock, fault_hooks


def sync_instruments(account: Account, symbols: Sequence[str] | None = None) -> int:
    """Read pairs and filters of the account's exchange; returns how many. A pair no longer listed stops trading."""
    reports = adapter_for(account).instruments(None if symbols is None else tuple(symbols))
    now = clock.now()
    Instrument.objects.bulk_create(
        [
            Instrument(
                exchange=account.exchange,
                mode=account.mode,
                symbol=report.symbol,
                base_asset=report.base_asset,
                quote_asset=report.quote_asset,
                status=report.status,
                is_trading=report.is_trading,
                base_precision=report.base_precision,
                quote_precision=report.quote_precision,
                order_types=list(report.order_types),
                quote_quantity_allowed=report.quote_quantity_allowed,
                filters=report.filters,
                synced_at=now,
            )
            for report in reports
        ],
        update_conflicts=True,
        unique_fields=["exchange", "mode", "symbol"],
        update_fields=[
            "status",
            "is_trading",
            "base_precision",
            "quote_precision",
            "order_types",
            "quote_quantity_allowed",
            "filters",
            "synced_at",
        ],
    )
    if symbols is None:
        Instrument.objects.filter(exchange=account.exchange, mode=account.mode, synced_at__lt=now).update(
            status="DELISTED", is_trading=False
        )
    return len(reports)


def sync_quotes(account: Account) -> int:
    """Read best bid and ask of every trading instrument of the account's exchange; returns how many."""
    instruments = {
        i.symbol: i for i in Instrument.objects.filter(exchange=account.exchange, mode=account.mode, is_trading=True)
    }
    if not instruments:
        return 0
    if account.mode == Mode.PAPER:
        return mirror_quotes(account.exchange)
    asked_at = clock.now()
    reports = adapter_for(account).quotes(tuple(sorted(instruments)))
    store_quotes(Price(instruments[r.symbol].pk, r.bid, r.ask, asked_at) for r in reports if r.symbol in instruments)
    return len(reports)


def store_balances(account: Account, reports: Sequence[BalanceReport], asked_at: datetime | None = None) -> None:
    """Store a whole balance report: an asset that it does not name is zero."""
    as_of = asked_at or clock.now()
    named = {report.asset for report in reports}
    Balance.objects.bulk_create(
        [Balance(account=account, asset=r.asset, free=r.free, locked=r.locked, as_of=as_of) for r in reports],
        update_conflicts=True,
        unique_fields=["account", "asset"],
        update_fields=["free", "locked", "as_of"],
    )
    fault_hooks.reach("between_balances")
    Balance.objects.filter(account=account).exclude(asset__in=named).update(free=0, locked=0, as_of=as_of)
    fault_hooks.reach("after_balances")


def sync_balances(account: Account) -> int:
    """Read and store the account's balances; returns how many assets."""
    stamp = exchange_now_ms(account)
    asked_at = clock.now()
    reports = adapter_for(account).balances(now_ms=stamp)
    store_balances(account, reports, asked_at)
    return len(reports)
