"""Following orders at the exchange by asking: working orders, unknown ones, and the trades that settle an end.

A failed query is never an empty answer; "not found" is evidence, never an end.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from django.db.models import F, Max, Min, Q

from exchanges import rate_budget
from exchanges.absence_bounds import LowerBounds
from exchanges.connections import adapter_for, host_of, urgent
from exchanges.host_clock import exchange_now_ms
from exchanges.models import Account
from exchanges.reports import OrderReport, OutcomeKind, ReadFailed, Report, TradeReport
from exchanges.searching import trades_since
from execution_project.common import clock, fault_hooks
from execution_project.common.actors import Actor, engine
from execution_project.common.events import record
from execution_project.common.locking import ordered
from orders.absence import (
    Search,
    ask_round,
    conclude_absent,
    conclude_gone,
    note_seen,
    placement_of,
    search_for,
    unknown_placement,
)
from orders.ingest import ingest, lock_orders
from orders.lifecycle import AT_EXCHANGE, WORKING, CommandStatus, OrderStatus
from orders.looking import look_up
from orders.models import AbsenceVerdict, Command, ExchangeOrder, Order, Origin
from orders.notifications import notify_after_commit
from orders.overstated import take_back
from orders.reserving import set_reservation

log = logging.getLogger(__name__)

TRADES_GRACE = timedelta(seconds=1)
SETTLE_AGAIN = timedelta(seconds=2)
"""After the first try that did not settle; twice as long after each further one, up to ``SETTLE_SLOWEST``."""
SETTLE_SLOWEST = timedelta(seconds=60)
SETTLE_SLOWEST_FROM = 6
# From so many tries on an order is read by itself: what keeps it from settling must not keep the others.
ALONE_FROM = 2
SETTLE_BATCH = 50
# From so many young orders of one symbol on, their trades are read together, with a margin around them.
TOGETHER_FROM = 3
TOGETHER_WITHIN = timedelta(hours=1)
MARGIN_MS = 10_000
PROBE_EVERY = timedelta(seconds=2)
PROBE_SLOWEST = timedelta(seconds=30)
PACE_IN_VAIN = timedelta(seconds=3)
# Answers that concern one order alone: the others go on being followed. Anything else ends the round.
ONE_ORDER = {"ambiguous", "archived", "cut_off", "cursor_not_found", "mismatch", "too_long", "unparsable"}


def follow_account(account: Account) -> int:
    """Ask for the account's open orders and bring every working order of ours up to date; returns new fills booked.

    Asked symbol by symbol, which costs the rate budget a fraction of the whole list. An order that moved, or that the
    list no longer shows, is asked for by itself, with its trades; one that the exchange does not know at all is looked
    for in rounds, until it is shown again or ``closed_unverified``.
    """
    rows = list(
        ExchangeOrder.objects.filter(
            Q(order__status__in=[s.value for s in (*WORKING, OrderStatus.CLOSED_UNVERIFIED)])
            | (~Q(exchange_order_id="") & Q(order__status__in=["submitting", "submit_unknown"])),
            order__account=account,
            end_proof="",
            planned=False,
        )
        .select_related("order__instrument")
        .order_by(F("last_looked_at").asc(nulls_first=True), "id")
    )
    if not rows:
        return 0
    adapter = adapter_for(account)
    by = engine("follower", "poll")
    shown: dict[tuple[str, str], OrderReport] = {}
    for symbol in sorted({row.order.instrument.symbol for row in rows}):
        for told in adapter.open_orders(symbol, now_ms=exchange_now_ms(account)):
            shown["id", told.client_order_id] = told
            # An order of another program has a client order id of our making here.
            shown[told.symbol, told.exchange_order_id] = told
    booked = 0
    for row in rows:
        report = shown.get(("id", row.client_order_id))
        report = report or shown.get((row.order.instrument.symbol, row.exchange_order_id))
        closed = row.order.status == OrderStatus.CLOSED_UNVERIFIED
        if report is not None and row.look_next_at is not None and (closed or row.reported is not None):
            note_seen(row)
        as_known = report is not None and (report.cumulative_quantity, report.quantity) == (
            row.booked_quantity,
            row.quantity,
        )
        if (as_known and not closed) or (report is None and closed and not _is_due(row)):
            continue
        ExchangeOrder.objects.filter(id=row.id).update(last_looked_at=clock.now())
        try:
            reports = look_up(adapter, account, row.order.instrument.symbol, row)
            booked += ingest(account, reports, by=by).new_fills
            if report is None:
                _note_miss(row, reports, by)
        except ReadFailed as error:
            if error.outcome.kind is not OutcomeKind.REFUSED and error.outcome.reason not in ONE_ORDER:
                raise
            # One order that cannot be read must not keep the others from being followed.
            log.warning("order %s cannot be read: %s", row.client_order_id, error)
    return booked


def _is_due(row: ExchangeOrder) -> bool:
    """Whether an order that the exchange no longer knows is to be asked for again."""
    return row.look_next_at is None or row.look_next_at <= clock.now()


def _note_miss(row: ExchangeOrder, reports: Sequence[Report], by: Actor) -> None:
    """The list of open orders lacks an order that works or did. When nothing else tells of it either: a round, and when
    enough of them say so, ``closed_unverified``. ``look_next_at`` marks an order that was missed in a round."""
    if reports:
        if row.look_next_at is not None:
            note_seen(row)
        return
    if row.order.status in WORKING:
        search = _search_for(row.order, row)
        if search is None or not search.was_seen or search.next_round_at() > clock.now():
            return
        ask_round(search, by)
        if search.is_proven:
            conclude_gone(search, by)
    elif row.order.status != OrderStatus.CLOSED_UNVERIFIED:
        return
    ExchangeOrder.objects.filter(id=row.id).update(look_next_at=clock.now() + PROBE_SLOWEST)


def _search_for(order: Order, row: ExchangeOrder) -> Search | None:
    try:
        return search_for(order, row)
    except LowerBounds as error:
        log.error("nothing is proven absent: %s", error)
        return None


def probe(order_id: UUID) -> bool:
    """Look for what a submit or replace without a known outcome may have placed; adopt what is found.

    Returns whether it was found. One look that finds nothing changes nothing: it stays unknown and reserved. Once the
    request can no longer be executed, looks become rounds of a proof of absence, and enough of them end it.
    """
    order = Order.objects.select_related("account", "instrument").filter(id=order_id).first()
    command = None if order is None else unknown_placement(order)
    if order is None or command is None:
        return False
    row = placement_of(command)
    silent_until = rate_budget.silent_until(host_of(order.account))
    if silent_until is not None:
        # Nobody may ask: no look, and the next one is the first that may.
        ExchangeOrder.objects.filter(id=row.id).update(look_next_at=silent_until)
        return False
    ExchangeOrder.objects.filter(id=row.id).update(
        last_looked_at=clock.now(), looked=F("looked") + 1, look_next_at=clock.now() + _pause(row)
    )
    by = engine("prober", "outcome unknown")
    search, asked = _search_for(order, row), None
    if search is not None and not search.was_seen and search.next_round_at() <= clock.now():
        asked = ask_round(search, by, beside=None if command.planned is None else command.exchange_order)
        if search.is_proven:
            conclude_absent(search, by)
    else:
        _look_once(order, command, row, by)
    row = ExchangeOrder.objects.get(id=row.id)
    found = row.reported is not None or row.booked_quantity > 0 or bool(row.exchange_order_id)
    if found:
        ExchangeOrder.objects.filter(id=row.id).update(looked=0, look_next_at=None)
    elif search is not None and not row.end_proof:
        next_at = min(max(search.next_round_at(), clock.now()), clock.now() + _pause(row))
        if asked is not None and asked.verdict in {AbsenceVerdict.FAILED, AbsenceVerdict.DOUBTFUL}:
            next_at = clock.now() + _pause_in_vain(order.account)
        ExchangeOrder.objects.filter(id=row.id).update(look_next_at=next_at)
    return found


def _pause_in_vain(account: Account) -> timedelta:
    """How long to wait after a round that proved nothing. Asking again at once helps nothing, and takes the readings
    from the reconciliation that would explain what is in doubt; so all unknown orders of an account share a pace."""
    unknown = Command.objects.filter(order__account=account, status=CommandStatus.UNKNOWN).count()
    return max(PROBE_EVERY, unknown * PACE_IN_VAIN)


def _pause(row: ExchangeOrder) -> timedelta:
    doublings = min(int(row.looked), 4)
    return min(PROBE_EVERY * float(2**doublings), PROBE_SLOWEST)


def _look_once(order: Order, command: Command, row: ExchangeOrder, by: Actor) -> None:
    """One look, which may find and proves nothing. Raises ``ReadFailed``."""
    adapter = adapter_for(order.account)
    with urgent():
        reports = look_up(adapter, order.account, order.instrument.symbol, row)
        if not reports and command.planned is not None:
            # Trades of the old order prove that the replace was not executed; that it still shows as open does not:
            # reads may lag (docs/binance.md §3.2), and one look is no proof of absence.
            old = look_up(adapter, order.account, order.instrument.symbol, command.exchange_order)
            ingest(order.account, old, by=by)
    if reports:
        ingest(order.account, reports, by=by)
        return
    record(
        "order.not_found",
        "order",
        order.id,
        by,
        evidence={"client_order_id": row.client_order_id, "asked": "query by client order id"},
    )


def settle_account(account: Account) -> int:
    """Settle what ended and whose fills equal the exchange's trades; returns how many settled."""
    now = clock.now()
    waiting = list(
        Order.objects.filter(
            account=account, status__in=["filled", "canceled", "expired"], updated_at__lte=now - TRADES_GRACE
        )
        # What a person ended has nothing to be compared with, until the exchange speaks of it.
        .exclude(exchange_orders__end_proof__startswith="resolved:canceled")
        .annotate(looked_at=Max("exchange_orders__last_looked_at"), tries=Min("exchange_orders__looked"))
        .filter(_due_to_settle(now))
        .select_related("instrument")
        .order_by(F("looked_at").asc(nulls_first=True), "id")[:SETTLE_BATCH]
    )
    settled = 0
    trades = _TradesOfRound(account, [order for order in waiting if order.tries < ALONE_FROM])
    for order in waiting:
        # Lagging reads, or a break: not the next in line before the others had their turn.
        order.exchange_orders.update(last_looked_at=clock.now())
        try:
            if settle(account, order, trades):
                settled += 1
                continue
        except ReadFailed as error:
            if error.outcome.kind is not OutcomeKind.REFUSED and error.outcome.reason not in ONE_ORDER:
                raise
            log.warning("order %s cannot be settled: %s", order.id, error)
        order.exchange_orders.update(looked=F("looked") + 1)
    return settled


def _due_to_settle(now: datetime) -> Q:
    """Orders whose pause since the last try is over; ``tries`` counts those that did not settle."""
    slowest = Q(tries__gte=SETTLE_SLOWEST_FROM, looked_at__lte=now - SETTLE_SLOWEST)
    due = Q(looked_at__isnull=True) | Q(tries=0, looked_at__lte=now - SETTLE_AGAIN) | slowest
    for tries in range(1, SETTLE_SLOWEST_FROM):
        due |= Q(tries=tries, looked_at__lte=now - SETTLE_AGAIN * 2 ** (tries - 1))
    return due


class _TradesOfRound:
    """The trades of the orders that one round settles: of many orders of a symbol by one question, else one by one.
    A question that failed is not asked again in the same round.

    Exchanges grant few reads of trades a minute (docs/btcturk.md §2.1).
    """

    def __init__(self, account: Account, waiting: Sequence[Order]) -> None:
        self._account = account
        self._read: dict[str, dict[str, list[TradeReport]]] = {}
        self._failed: dict[str, ReadFailed] = {}
        young = clock.now() - TOGETHER_WITHIN
        # An adopted order was made after its trades.
        self._begun: dict[str, list[datetime]] = defaultdict(list)
        for order in waiting:
            if order.origin == Origin.ENGINE and order.created_at > young and order.filled_quantity > 0:
                self._begun[order.instrument.symbol].append(order.created_at)

    def of(self, order: Order, row: ExchangeOrder) -> tuple[TradeReport, ...]:
        """All trades of an exchange order. Raises ``ReadFailed``."""
        adapter, symbol = adapter_for(self._account), order.instrument.symbol
        begun = self._begun.get(symbol, [])
        if len(begun) < TOGETHER_FROM or order.created_at not in begun:
            return adapter.order_trades(symbol, row.exchange_order_id, now_ms=exchange_now_ms(self._account))
        if symbol in self._failed:
            raise self._failed[symbol]
        if symbol not in self._read:
            now_ms = exchange_now_ms(self._account)
            since_ms = now_ms - clock.to_ms(clock.now()) + clock.to_ms(min(begun)) - MARGIN_MS
            by_order: dict[str, list[TradeReport]] = defaultdict(list)
            try:
                told = trades_since(adapter, symbol, since_ms, now_ms + MARGIN_MS, now_ms=now_ms)
            except ReadFailed as error:
                self._failed[symbol] = error
                raise
            for trade in told:
                by_order[trade.exchange_order_id].append(trade)
            self._read[symbol] = by_order
        return tuple(self._read[symbol].get(row.exchange_order_id, ()))


def settle(account: Account, order: Order, trades_of_round: _TradesOfRound | None = None) -> bool:
    """Ask for the order and its trades, ingest them, and settle when they agree with the books to the last digit."""
    told = trades_of_round or _TradesOfRound(account, [])
    by = engine("settler", "fills equal the exchange's trades")
    rows = list(order.exchange_orders.order_by("generation"))
    sent = [row for row in rows if row.exchange_order_id]
    adapter = adapter_for(account)
    symbol = order.instrument.symbol
    seen: dict[UUID, tuple[Decimal, Decimal, int]] = {}
    overstated: list[tuple[UUID, OrderReport, tuple[TradeReport, ...]]] = []
    batch: list[Report] = []
    for row in sent:
        first = row.attempts.order_by("stamp_ms").values_list("stamp_ms", flat=True).first()
        report = adapter.query_order(
            symbol,
            client_order_id=row.client_order_id,
            exchange_order_id=row.exchange_order_id,
            now_ms=exchange_now_ms(account),
            since_ms=first,
        )
        if report is None or not report.status.is_end:
            return False
        trades = told.of(order, row) if max(report.cumulative_quantity, row.cumulative_quantity) > 0 else ()
        quantity = sum((trade.quantity for trade in trades), Decimal(0))
        quote = sum((trade.quote_quantity for trade in trades), Decimal(0))
        if quantity != report.cumulative_quantity or (
            report.cumulative_quote is not None and quote != report.cumulative_quote
        ):
            return False
        seen[row.id] = (quantity, quote, len(trades))
        batch += [report, *trades]
        if row.cumulative_quantity > quantity:
            overstated.append((row.id, report, trades))
    ingest(account, batch, by=by)
    for row_id, report, trades in overstated:
        take_back(order.id, row_id, report, trades, by=by)
    with ordered() as locks:
        locked = lock_orders(locks, [order.id])[order.id]
        if locked.status not in {"filled", "canceled", "expired"}:
            return False
        current = {row.id: row for row in locked.exchange_orders.all()}
        if any(
            (current[row_id].booked_quantity, current[row_id].booked_quote) != (quantity, quote)
            for row_id, (quantity, quote, _) in seen.items()
        ):
            return False
        locked.move(
            OrderStatus.SETTLED,
            by,
            evidence={current[row_id].client_order_id: f"{count} trades" for row_id, (_, _, count) in seen.items()},
        )
        locked.version += 1
        locked.updated_at = clock.now()
        locked.save()
        for row in current.values():
            set_reservation(locked, row)
        notify_after_commit(locked.id)
        fault_hooks.reach("before_settling_commit")
    fault_hooks.reach("after_settling")
    return True


def accounts_to_follow() -> Iterable[Account]:
    """Accounts with an order that is, or may be, at the exchange or not settled yet."""
    statuses = [status.value for status in AT_EXCHANGE] + ["filled", "canceled", "expired"]
    return Account.objects.filter(id__in=Order.objects.filter(status__in=statuses).values("account"))
