"""What the streams' hints lead to: reports are booked at once, everything else rings the chore that asks over REST."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import timedelta

from django.conf import settings
from django.db.models import Q

from exchanges.models import Account, Mode
from exchanges.reports import Report
from exchanges.streams.fleet import Handlers
from exchanges.versions import announce
from execution_project.common import clock
from execution_project.common.actors import engine
from orders.ingest import ingest
from orders.lifecycle import OrderStatus
from orders.models import Order
from orders.queues import ring_reading
from orders.reconciling_schedule import resync
from positions.models import Position

RECENTLY = timedelta(hours=1)
NOT_AT_AN_END = [
    OrderStatus.PENDING,
    OrderStatus.SUBMITTING,
    OrderStatus.SUBMIT_UNKNOWN,
    OrderStatus.OPEN,
    OrderStatus.PARTIALLY_FILLED,
    OrderStatus.CLOSED_UNVERIFIED,
]
log = logging.getLogger(__name__)


def book(account: Account, reports: Sequence[Report]) -> None:
    """Book what a private stream reported."""
    done = ingest(account, reports, by=engine("streams", "event"))
    if done.new_fills:
        look_at_balances(account)
    if done.foreign:
        foreign = sorted({f"{report.symbol} {report.exchange_order_id}" for report in done.foreign})
        log.warning("the stream of %s tells of orders that are not ours: %s", account.name, ", ".join(foreign))
        resync(account)


def look_again(account: Account, reason: str) -> None:
    """Compare the account's working orders, trades and balances: a stream had a gap."""
    log.info("account %s is compared with the exchange: %s", account.name, reason)
    look_at_orders(account, reason)
    resync(account)


def look_at_orders(account: Account, reason: str) -> None:
    """Ask the exchange for the account's working orders: an event told too little of one."""
    log.debug("account %s has its orders looked at: %s", account.name, reason)
    ring_reading(account.exchange, f"follow:{account.pk}", "orders.tasks.follow", account.pk)
    look_at_balances(account)


def look_at_balances(account: Account) -> None:
    """Ask the exchange for the account's balances."""
    ring_reading(account.exchange, f"balances:{account.pk}", "orders.tasks.refresh_balances", account.pk)


def traded_symbols(exchange: str, mode: str) -> set[str]:
    """Instruments with an order that has not ended, or one of the last hour, or a position, on accounts with open
    books; of the market that feeds paper accounts also theirs."""
    announce("streams")
    modes = [mode, Mode.PAPER] if mode == settings.EXEC_PAPER_MARKET else [mode]
    market = {"account__exchange": exchange, "account__mode__in": modes, "account__books_opened_at__isnull": False}
    orders = Order.objects.filter(
        Q(status__in=[status.value for status in NOT_AT_AN_END]) | Q(created_at__gt=clock.now() - RECENTLY), **market
    )
    positions = Position.objects.filter(**market).exclude(net_quantity=0)
    return set(orders.values_list("instrument__symbol", flat=True)) | set(
        positions.values_list("instrument__symbol", flat=True)
    )


def handlers() -> Handlers:
    """All of the above as the streams take it."""
    return Handlers(
        ingest=book, resync=look_again, follow=look_at_orders, balances=look_at_balances, traded=traded_symbols
    )
