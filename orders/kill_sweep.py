"""The sweep of a kill: end everything in scope on an account, and believe nothing but the exchange's own evidence.

A resumable job keyed by episode and account: each step asks for what is left and judges what it saw, so it survives any
crash and may run beside itself. What counts as proof: docs/risk-controls.md §2.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F, Q, QuerySet

from exchanges import rate_budget
from exchanges.absence_bounds import LowerBounds, bounds_of
from exchanges.adapters import CancelInstruction, ExchangeAdapter
from exchanges.connections import WrongHost, adapter_for, cost_of, host_of, urgent, write_stamp_ms
from exchanges.credentials import CredentialsUnreadable
from exchanges.host_clock import exchange_now_ms
from exchanges.models import Account, Balance, Instrument
from exchanges.reports import OrderReport, OutcomeKind, ReadFailed, TradeReport
from exchanges.stamps import StampAhead
from exchanges.syncing import sync_balances
from execution_project.common import clock, fault_hooks
from execution_project.common.actors import Actor, engine
from execution_project.common.events import record
from execution_project.common.money import plain
from orders.absence import last_moment_ms
from orders.adopting import CannotAdopt, adopt, known_row
from orders.canceling import ask_where_none_is_under_way, working_orders
from orders.claiming import RECV_WINDOW_MS, SEND_WITHIN
from orders.ingest import ingest
from orders.lifecycle import ENDED, CommandStatus
from orders.looking import look_up
from orders.models import Attempt, AttemptKind, Command, CommandKind, ExchangeOrder, Order
from orders.reconciliation import reconcile, wanted_cursors
from positions.models import TradeCursor
from risk.flattens import flatten_seq_of
from risk.models import KillEpisode, KillSweep, ScopeKind

SNAPSHOT_GAP = timedelta(seconds=2)
"""Between two empty lists that count; less where the exchange announces that its rounds may follow sooner."""
SNAPSHOTS_KEPT = 6
TRADES_WITHIN = timedelta(seconds=5)
LIVE = [CommandStatus.QUEUED, CommandStatus.CLAIMED, CommandStatus.UNKNOWN]
PLACING = [CommandKind.SUBMIT, CommandKind.REPLACE]
NAMED = 50
"""Orders that are named one by one among what is not proven; the rest are counted."""


def accounts_in_scope(kind: str, key: str) -> QuerySet[Account]:
    """The accounts at an exchange that a kill has to sweep."""
    accounts = Account.objects.order_by("id")
    if kind == ScopeKind.EXCHANGE:
        return accounts.filter(exchange=key)
    if kind == ScopeKind.ACCOUNT:
        return accounts.filter(name=key)
    if kind == ScopeKind.SYMBOL:
        markets = Instrument.objects.filter(symbol=key).values_list("exchange", "mode")
        lists = Q(pk__in=[])
        for exchange, mode in markets:
            lists |= Q(exchange=exchange, mode=mode)
        return accounts.filter(lists)
    if kind == ScopeKind.STRATEGY:
        # As the index ``order_live`` has them: whatever may still be at the exchange, or has not settled since.
        live = Order.objects.exclude(status__in=["denied", "rejected", "settled"])
        return accounts.filter(id__in=live.filter(strategy__name=key).values("account"))
    return accounts


def orders_of(episode: KillEpisode) -> QuerySet[Order]:
    """The orders that a kill has to end: all in its scope that have not ended, but for its flatten's while it runs."""
    orders = working_orders(episode.scope_kind, episode.scope_key)
    if flatten_seq_of(episode.id) is None:
        return orders
    return orders.exclude(kill_id=episode.id, kill_id__isnull=False)


@dataclass(slots=True)
class _Look:
    """One step: what was seen, and what is not proven."""

    sweep: KillSweep
    adapter: ExchangeAdapter
    by: Actor
    unproven: list[dict[str, Any]] = field(default_factory=list)

    @property
    def account(self) -> Account:
        account: Account = self.sweep.account
        return account

    @property
    def episode(self) -> KillEpisode:
        episode: KillEpisode = self.sweep.episode
        return episode

    def lacks(self, what: str, subject: str = "", detail: str = "") -> None:
        self.unproven.append({"account": self.account.name, "what": what, "subject": subject, "detail": detail[:256]})


def sweep_account(sweep_id: UUID) -> bool:
    """One step of one account's sweep; whether the account is verified now. Calls the exchange.

    Whatever cannot be asked or believed is among what is not proven, and the next step asks again.
    """
    sweep = KillSweep.objects.select_related("episode", "account").get(id=sweep_id)
    if sweep.verified_at is not None or sweep.episode.ended_at is not None:
        return sweep.verified_at is not None
    by = engine("killer", f"kill {sweep.episode_id}")
    ask_for_ends(sweep.episode, sweep.account, by=by)
    fault_hooks.reach("kill_ends_asked")
    account: Account = sweep.account
    failed: list[dict[str, Any]] = []
    try:
        with urgent():
            look = _Look(sweep, adapter_for(account), by)
            proven = _step(look)
        failed = look.unproven
    except (ReadFailed, WrongHost, LowerBounds, StampAhead, CredentialsUnreadable) as error:
        proven = False
        failed = [{"account": account.name, "what": "not asked", "subject": "", "detail": str(error)[:256]}]
        sweep.empty_since = None
    seen_before, sweep.looked_at = sweep.looked_at, clock.now()
    sweep.unproven = failed
    sweep.verified_at = sweep.looked_at if proven else None
    with transaction.atomic():
        stored = KillSweep.objects.select_for_update(no_key=True).get(id=sweep.id)
        if stored.looked_at != seen_before:
            return stored.verified_at is not None  # somebody looked beside us: one of the two counts, whole
        sweep.save()
        if proven:
            evidence = {"account": account.name, "snapshots": sweep.snapshots, "counts_from_ms": sweep.counts_from_ms}
            record("kill.account_verified", "kill", sweep.episode_id, by, evidence=evidence)
    return proven


def ask_for_ends(episode: KillEpisode, account: Account | None = None, *, by: Actor) -> int:
    """Ask for the end of every order of the kill that has no cancel under way; returns how many were asked for."""
    orders = orders_of(episode)
    if account is not None:
        orders = orders.filter(account=account)
    return ask_where_none_is_under_way(orders, by=by, reason=episode.reason)


def _step(look: _Look) -> bool:
    """The whole step after the cancels; whether everything is proven."""
    sweep, account = look.sweep, look.account
    asked_at, asked_ms = clock.now(), exchange_now_ms(account)
    shown = _shown(look, asked_ms)
    inside = [report for report in shown if _is_inside(look, report)]
    snapshot = {"asked_at": asked_at.isoformat(), "exchange_ms": asked_ms, "working": len(inside)}
    sweep.snapshots = [*sweep.snapshots, snapshot][-SNAPSHOTS_KEPT:]
    for report in inside:
        _end_listed(look, report)
    if inside:
        ask_for_ends(look.episode, account, by=look.by)
    bounds = bounds_of(account)  # wrong ones keep no cancel from going out, but the proof from being believed
    gap = min(SNAPSHOT_GAP, bounds.gap)
    counts_from_ms = _counts_from_ms(look, bounds.quiet_ms)
    sweep.counts_from_ms = counts_from_ms
    if inside:
        sweep.empty_since = None
        _name(look, "works at the exchange", [f"{r.symbol} {r.exchange_order_id}" for r in inside])
    elif asked_ms < counts_from_ms:
        sweep.empty_since = None
        look.lacks("in flight", detail=f"a request may still be executed for {counts_from_ms - asked_ms} ms")
    elif sweep.empty_since is None or clock.to_ms(sweep.empty_since) + _offset_ms(asked_at, asked_ms) < counts_from_ms:
        sweep.empty_since = asked_at
    _orders_ended(look)
    if sweep.empty_since is None:
        return False
    if asked_at - sweep.empty_since < gap:
        look.lacks("empty once", detail=f"a second empty list {gap.total_seconds():g} s later is to come")
    if look.unproven:
        return False
    _trades_read(look, sweep.empty_since)
    _nothing_locked(look, [report for report in shown if report not in inside])
    _orders_ended(look)
    return not look.unproven


def _offset_ms(asked_at: datetime, asked_ms: int) -> int:
    return asked_ms - clock.to_ms(asked_at)


def _shown(look: _Look, now_ms: int) -> tuple[OrderReport, ...]:
    """Every working order that the exchange lists for the account, also those outside the scope."""
    try:
        return look.adapter.open_orders(None, now_ms=now_ms)
    except ReadFailed as error:
        if error.outcome.kind is not OutcomeKind.REFUSED or look.account.books_opened_at is None:
            raise
    symbols = [cursor.instrument.symbol for cursor in wanted_cursors(look.account)]
    return tuple(r for s in symbols for r in look.adapter.open_orders(s, now_ms=exchange_now_ms(look.account)))


def _is_inside(look: _Look, report: OrderReport) -> bool:
    """Whether a listed order is one that the kill has to end; foreign ones belong to every scope but a strategy."""
    row = known_row(look.account, report)
    if row is not None and row.order.kill_id == look.episode.id and flatten_seq_of(look.episode.id) is not None:
        return False
    if look.episode.scope_kind == ScopeKind.SYMBOL:
        return report.symbol == look.episode.scope_key
    if look.episode.scope_kind != ScopeKind.STRATEGY:
        return True
    return row is not None and Order.objects.filter(id=row.order_id, strategy__name=look.episode.scope_key).exists()


def _counts_from_ms(look: _Look, quiet_ms: int) -> int:
    """Exchange time from which on nothing that was in flight can be executed any more: since when lists count."""
    since = exchange_now_ms(look.account) - clock.now_ms() + clock.to_ms(look.episode.killed_at)
    doubtful = Attempt.objects.filter(
        kind__in=[AttemptKind.SUBMIT, AttemptKind.REPLACE],
        outcome__in=["", OutcomeKind.UNKNOWN.value],
        exchange_order__order__account=look.account,
        exchange_order__reported_status="",
        claimed_at__gte=look.episode.killed_at - timedelta(days=1),
    )
    return max([since, *(last_moment_ms(look.account, attempt) + quiet_ms for attempt in doubtful)])


def _end_listed(look: _Look, report: OrderReport) -> None:
    """Have a listed order ended: by its own cancel, after adoption where nobody here knows it, else straight away."""
    account = look.account
    row = known_row(account, report)
    if row is not None and row.order.status not in ENDED:
        return
    if row is not None:
        ingest(account, look_up(look.adapter, account, report.symbol, row) or (report,), by=look.by)
        if Order.objects.filter(id=row.order_id).exclude(status__in=[*ENDED]).exists():
            return
    elif account.books_opened_at is not None:
        trades: tuple[TradeReport, ...] = ()
        if report.cumulative_quantity > 0:
            now_ms = exchange_now_ms(account)
            trades = look.adapter.order_trades(report.symbol, report.exchange_order_id, now_ms=now_ms)
        try:
            adopt(account, report, trades, by=look.by)
        except CannotAdopt as error:
            look.lacks("not in the books", f"{report.symbol} {report.exchange_order_id}", str(error))
        else:
            return
    _cancel_at_once(look, report)


def _cancel_at_once(look: _Look, report: OrderReport) -> None:
    """Cancel what has no order here that could carry a command; the outcome stands among the kill's events."""
    account = look.account
    refused = rate_budget.take(host_of(account), account.name, cost_of(account, "cancel"), urgent=True)
    if refused is not None:
        look.lacks("not canceled", f"{report.symbol} {report.exchange_order_id}", refused.reason)
        return
    stamp_ms = write_stamp_ms(account, exchange_now_ms(account))
    instruction = CancelInstruction(report.symbol, report.client_order_id, report.exchange_order_id)
    prepared = look.adapter.prepare_cancel(instruction, stamp_ms, RECV_WINDOW_MS)
    outcome = look.adapter.send(prepared, clock.monotonic() + SEND_WITHIN.total_seconds())
    evidence = {
        "account": account.name,
        "order": f"{report.symbol} {report.exchange_order_id}",
        "stamp_ms": stamp_ms,
        "outcome": outcome.kind.value,
        "message": f"{outcome.code} {outcome.message}".strip()[:256],
    }
    record("kill.canceled_at_once", "kill", look.episode.id, look.by, evidence=evidence)


def _name(look: _Look, what: str, subjects: Iterable[str], detail: str = "") -> None:
    named = list(subjects)
    for subject in named[:NAMED]:
        look.lacks(what, subject, detail)
    if len(named) > NAMED:
        look.lacks(what, detail=f"and {len(named) - NAMED} more")


def _orders_ended(look: _Look) -> None:
    """Every order in scope has ended by the exchange's word, and no instruction to place anything is left."""
    own = orders_of(look.episode).filter(account=look.account)
    said = {each["subject"] for each in look.unproven}
    for order_id, status in own.order_by("id").values_list("id", "status")[: NAMED + 1]:
        if str(order_id) not in said:
            look.lacks("not ended", str(order_id), f"it is {status}")
    scope = _in_scope(look, "order__")
    for command in Command.objects.filter(scope, kind__in=PLACING, status__in=LIVE).exclude(order__in=own)[:NAMED]:
        if f"command {command.id}" not in said:
            look.lacks("not ended", f"command {command.id}", f"a {command.kind} is {command.status}")
    unbooked = ExchangeOrder.objects.filter(_in_scope(look, "order__"), cumulative_quantity__gt=F("booked_quantity"))
    for row in unbooked.order_by("id")[:NAMED]:
        if row.client_order_id not in said:
            look.lacks("not booked", row.client_order_id, f"trades of {plain(row.unbooked_quantity)} are missing")


def _in_scope(look: _Look, prefix: str) -> Q:
    scope = Q(**{f"{prefix}account": look.account})
    field = {ScopeKind.STRATEGY.value: "strategy__name", ScopeKind.SYMBOL.value: "instrument__symbol"}
    name = field.get(look.episode.scope_kind)
    return scope if name is None else scope & Q(**{f"{prefix}{name}": look.episode.scope_key})


def _trades_read(look: _Look, since: datetime) -> None:
    """The trades of every symbol that had an order in scope since the kill were read after everything had ended."""
    account = look.account
    if account.books_opened_at is None:
        return
    touched = Order.objects.filter(_in_scope(look, ""), updated_at__gte=look.episode.killed_at)
    symbols = set(touched.values_list("instrument__symbol", flat=True))
    if look.episode.scope_kind == ScopeKind.SYMBOL:
        symbols.add(look.episode.scope_key)
    fresh = TradeCursor.objects.filter(account=account, updated_at__gt=since, instrument__symbol__in=symbols)
    left = symbols - set(fresh.values_list("instrument__symbol", flat=True))
    if not left:
        return
    done = reconcile(
        account, parts=("trades",), by=look.by, unless_read_since=since, within=TRADES_WITHIN, symbols=left
    )
    if not done.succeeded:
        why = "; ".join(done.failed.values()) or "not all of them could be read yet"
        look.lacks("trades", ", ".join(sorted(left))[:128], why)


def _nothing_locked(look: _Look, others: list[OrderReport]) -> None:
    """The exchange holds no funds back, but for orders outside the scope of the kill."""
    account = look.account
    sync_balances(account)
    listed = Instrument.objects.filter(exchange=account.exchange, mode=account.mode)
    held = Balance.objects.filter(account=account, locked__gt=0)
    if look.episode.scope_kind == ScopeKind.SYMBOL:
        own = listed.filter(symbol=look.episode.scope_key)
        held = held.filter(asset__in={asset for pair in own for asset in (pair.base_asset, pair.quote_asset)})
    outside = listed.filter(symbol__in={report.symbol for report in others})
    excused = {asset for pair in outside for asset in (pair.base_asset, pair.quote_asset)}
    for row in held.exclude(asset__in=excused).order_by("asset"):
        look.lacks("locked funds", row.asset, f"{plain(row.locked)} are held back at the exchange")
