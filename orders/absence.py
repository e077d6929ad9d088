"""Proof of absence: rounds of asking until it is certain that the exchange never took an order, or no longer has it.

A round asks for open orders, order history and trades, after the request can no longer be executed. Nothing anywhere is
one "no"; an error is not. As many rounds as the exchange's bounds demand, each a gap after the one before, are proof.
Where requests have no receive window the balances must agree as well. Every round is stored with its answers.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal, localcontext
from typing import Any
from uuid import UUID

from django.db.models import Sum

from exchanges.absence_bounds import LEAST, AbsenceBounds, bounds_of
from exchanges.adapters import ExchangeAdapter
from exchanges.capabilities import CAPABILITIES
from exchanges.connections import adapter_for, keeping_answers, urgent
from exchanges.host_clock import MAX_SKEW_MS, exchange_now_ms, sample
from exchanges.models import Account
from exchanges.reports import BalanceReport, Evidence, OrderReport, ReadFailed, Report, ReportedStatus, TradeReport
from exchanges.searching import orders_placed, trades_since
from execution_project.common import clock, fault_hooks
from execution_project.common.actors import Actor
from execution_project.common.locking import ordered
from execution_project.common.money import CONTEXT, plain
from orders import replacement
from orders.ingest import finish_commands, ingest, lock_orders, refresh
from orders.lifecycle import AT_EXCHANGE, WORKING, CommandStatus, OrderStatus
from orders.looking import look_up
from orders.models import (
    AbsenceEvidence,
    AbsenceVerdict,
    Attempt,
    AttemptKind,
    Command,
    CommandKind,
    ExchangeOrder,
    Order,
)
from orders.notifications import notify_after_commit
from orders.reserving import set_reservation
from positions.models import Book, Holding, LedgerEntry

log = logging.getLogger(__name__)

PROVEN_ABSENT = "PROVEN_ABSENT"
# A round older than this many gaps says nothing about now.
FRESH_GAPS = 20
SEARCH_MARGIN_MS = 10_000
# Orders of other programs whose trades are in the list are asked for one by one, up to as many.
MAX_STRANGERS = 10
KEPT_CHARACTERS = 16_384
# Trades this close to the moment of a balance may or may not be in it: the clock's skew, and the time to an answer.
BEFORE_BALANCE = timedelta(seconds=2)
AFTER_BALANCE = timedelta(seconds=13)


def unknown_placement(order: Order) -> Command | None:
    """The command of this order that may have placed something nobody has seen yet, or None."""
    return (
        Command.objects.filter(
            order=order, status=CommandStatus.UNKNOWN, kind__in=[CommandKind.SUBMIT, CommandKind.REPLACE]
        )
        .select_related("exchange_order", "planned")
        .order_by("created_at")
        .first()
    )


def placement_of(command: Command) -> ExchangeOrder:
    """The exchange order that a submit or replace may have placed."""
    planned: ExchangeOrder | None = command.planned
    placed: ExchangeOrder = command.exchange_order
    return placed if planned is None else planned


def posting_attempt(row: ExchangeOrder) -> Attempt | None:
    """The one call that may have brought this exchange order to the exchange, or None when no byte of it ever left."""
    posts = row.attempts.filter(kind__in=[AttemptKind.SUBMIT, AttemptKind.REPLACE])
    return posts.exclude(outcome="not_sent").order_by("stamp_ms").last()


@dataclass(frozen=True, slots=True)
class Search:
    """What is looked for, and when its absence counts: ``counts_from_ms`` in exchange time (ms)."""

    account: Account
    order: Order
    row: ExchangeOrder
    attempt: Attempt
    bounds: AbsenceBounds
    counts_from_ms: int
    was_seen: bool

    def rounds(self) -> list[AbsenceEvidence]:
        """The rounds that count so far, oldest first."""
        past = AbsenceEvidence.objects.filter(exchange_order=self.row).order_by("id")
        return counted(past, self.counts_from_ms, self.bounds, clock.now())

    @property
    def is_proven(self) -> bool:
        """Whether enough rounds count."""
        return len(self.rounds()) >= self.bounds.rounds

    def next_round_at(self) -> datetime:
        """From when on (our time) another round may count. Raises ``ReadFailed`` without a clock sample."""
        early_ms = self.counts_from_ms - exchange_now_ms(self.account)
        at = clock.now() + timedelta(milliseconds=max(early_ms, 0))
        rounds = self.rounds()
        return max(at, rounds[-1].answered_at + self.bounds.gap) if rounds else at


def search_for(order: Order, row: ExchangeOrder) -> Search | None:
    """How to prove that ``row`` is not, or no longer, at the exchange; None when no call of ours placed it.

    Asks the simulator for its bounds, so it is called outside a transaction. Raises ``LowerBounds``.
    """
    attempt = posting_attempt(row)
    if attempt is None:
        return None
    bounds = bounds_for(order.account, attempt)
    was_seen = row.reported is not None or row.booked_quantity > 0 or bool(row.exchange_order_id)
    if was_seen:
        seen_ms = attempt.stamp_ms if row.last_report_at is None else clock.to_ms(row.last_report_at)
        counts_from_ms = max(seen_ms, attempt.stamp_ms) + attempt.recv_window_ms + bounds.quiet_ms
    else:
        counts_from_ms = last_moment_ms(order.account, attempt) + bounds.quiet_ms
    return Search(order.account, order, row, attempt, bounds, counts_from_ms, was_seen)


def last_moment_ms(account: Account, attempt: Attempt) -> int:
    """The last moment (exchange time, ms) at which the exchange may have taken the request in."""
    if CAPABILITIES[account.exchange].refuses_late_requests:
        return attempt.stamp_ms + attempt.recv_window_ms
    return max(attempt.stamp_ms, clock.to_ms(attempt.send_by)) + MAX_SKEW_MS


def bounds_for(account: Account, attempt: Attempt) -> AbsenceBounds:
    """The account's bounds. A 401 to a placement where that proves nothing needs one round only, a gap later."""
    bounds = bounds_of(account)
    if not CAPABILITIES[account.exchange].refuses_late_requests and attempt.response.get("http_status") == 401:
        return replace(bounds, quiet_ms=bounds.round_gap_ms, rounds=1)
    return bounds


@dataclass(frozen=True, slots=True)
class Judged:
    """A round, and why it does not count towards a proof; empty: it counts."""

    round: AbsenceEvidence
    why_not: str = ""

    @property
    def counts(self) -> bool:
        """Whether it is one of the rounds that a proof is made of."""
        return not self.why_not


def counted(
    past: Iterable[AbsenceEvidence], counts_from_ms: int, bounds: AbsenceBounds, now: datetime
) -> list[AbsenceEvidence]:
    """The rounds that count towards a proof: negative, late enough, a gap apart, recent. Pure."""
    return [each.round for each in judged(past, counts_from_ms, bounds, now) if each.counts]


def judged(past: Iterable[AbsenceEvidence], counts_from_ms: int, bounds: AbsenceBounds, now: datetime) -> list[Judged]:
    """Every round of one exchange order, oldest first, with whether it counts. Pure.

    What was found, or may have been, makes every "no" before it worthless; a failed round counts for nothing.
    """
    found: list[Judged] = []
    last: AbsenceEvidence | None = None
    for past_round in past:
        if past_round.verdict in {AbsenceVerdict.FOUND, AbsenceVerdict.DOUBTFUL}:
            found = [
                replace(each, why_not="worthless by what was seen later") if each.counts else each for each in found
            ]
            last, why_not = None, AbsenceVerdict(past_round.verdict).label
        elif past_round.verdict == AbsenceVerdict.NEGATIVE:
            why_not = _why_not(past_round, last, counts_from_ms, bounds, now)
        else:
            why_not = "not every question was answered"
        if not why_not:
            last = past_round
        found.append(Judged(past_round, why_not))
    return found


def _why_not(
    past_round: AbsenceEvidence,
    last: AbsenceEvidence | None,
    counts_from_ms: int,
    bounds: AbsenceBounds,
    now: datetime,
) -> str:
    """What keeps a negative round from counting after the one that counted ``last``, or ""."""
    if past_round.exchange_ms is None or past_round.exchange_ms < counts_from_ms:
        return "too early: the request could still be executed"
    if last is not None and past_round.asked_at < last.answered_at + bounds.gap:
        return f"less than {bounds.gap.total_seconds():g} s after the one before"
    if past_round.asked_at < now - FRESH_GAPS * bounds.gap:
        return "too long ago to say anything about now"
    return ""


def judged_by_the_last(rounds: Iterable[AbsenceEvidence]) -> list[Judged]:
    """The rounds of one order, oldest first, as they counted when the last one of each exchange order was answered."""
    rounds = list(rounds)
    by_id: dict[UUID, Judged] = {}
    for exchange_order_id in {past.exchange_order_id for past in rounds}:
        own = [past for past in rounds if past.exchange_order_id == exchange_order_id]
        # What only notes that the order shows again has no bounds.
        ruling = next((past for past in reversed(own) if past.bounds), None)
        bounds = AbsenceBounds(0, 0, 0) if ruling is None else AbsenceBounds(**ruling.bounds)
        counts_from_ms = 0 if ruling is None else ruling.counts_from_ms
        by_id |= {each.round.id: each for each in judged(own, counts_from_ms, bounds, own[-1].answered_at)}
    return [by_id[past.id] for past in rounds]


# ---------------------------------------------------------------------------------------------------------- one round


@dataclass(frozen=True, slots=True)
class Seen:
    """What the lists of one round came to, with the reports to ingest."""

    verdict: AbsenceVerdict
    detail: str = ""
    reports: tuple[Report, ...] = ()


def ask_round(search: Search, by: Actor, *, beside: ExchangeOrder | None = None) -> AbsenceEvidence | None:
    """Ask one round, store it and ingest what it showed; None when it is too early for it by the exchange's clock.

    ``beside``: another exchange order of the same order whose state is asked for as well (the old one of a replace).
    """
    account, row = search.account, search.row
    adapter = adapter_for(account)
    asked_at, exchange_ms = clock.now(), None
    told: tuple[Report, ...] = ()
    with urgent(), keeping_answers() as kept:
        try:
            exchange_ms = clock.now_ms() + sample(account, adapter).offset_ms
            if exchange_ms < search.counts_from_ms:
                return None
            if beside is not None:
                told = look_up(adapter, account, search.order.instrument.symbol, beside)
            seen = _look(search, adapter)
        except ReadFailed as error:
            seen = Seen(AbsenceVerdict.FAILED, str(error))
    evidence = AbsenceEvidence.objects.create(
        order=search.order,
        exchange_order=row,
        verdict=seen.verdict,
        detail=seen.detail[:512],
        asked_at=asked_at,
        answered_at=clock.now(),
        exchange_ms=exchange_ms,
        counts_from_ms=search.counts_from_ms,
        bounds=search.bounds.as_json(),
        answers=[_stored(call, answer) for call, answer in kept],
    )
    fault_hooks.reach("after_absence_round")
    ingest(account, (*told, *seen.reports), by=by)
    return evidence


def _stored(call: str, answer: Evidence) -> dict[str, Any]:
    return {
        "call": call,
        "path": answer.path,
        "parameters": answer.parameters,
        "http_status": answer.http_status,
        "error": answer.error,
        "characters": len(answer.body),
        "body": answer.body[:KEPT_CHARACTERS],
    }


def _look(search: Search, adapter: ExchangeAdapter) -> Seen:
    """The three lists, in the order in which an order moves through them. Raises ``ReadFailed``."""
    account, row, symbol = search.account, search.row, search.order.instrument.symbol
    since_ms = search.attempt.stamp_ms - SEARCH_MARGIN_MS
    placed_until_ms = last_moment_ms(account, search.attempt) + LEAST[account.exchange].quiet_ms + SEARCH_MARGIN_MS
    working = adapter.open_orders(symbol, now_ms=exchange_now_ms(account))
    placed = orders_placed(adapter, symbol, since_ms, placed_until_ms, now_ms=exchange_now_ms(account))
    listed = (*working, *placed)
    for report in listed:
        if _is_it(row, report):
            return _found(search, adapter, report.exchange_order_id)
    if search.was_seen or CAPABILITIES[account.exchange].refuses_late_requests:
        direct = look_up(adapter, account, symbol, row)
        if direct:
            return Seen(AbsenceVerdict.FOUND, direct[0].exchange_order_id, direct)
    if search.was_seen:
        own = adapter.order_trades(symbol, row.exchange_order_id, now_ms=exchange_now_ms(account))
        if sum((trade.quantity for trade in own), Decimal(0)) > row.booked_quantity:
            return Seen(AbsenceVerdict.FOUND, "trades that are not booked", own)
        return Seen(AbsenceVerdict.NEGATIVE)
    now_ms = exchange_now_ms(account)
    trades = trades_since(adapter, symbol, since_ms, now_ms + SEARCH_MARGIN_MS, now_ms=now_ms)
    for trade in trades:
        if _is_it(row, trade):
            return _found(search, adapter, trade.exchange_order_id)
    if "duplicate order" in search.attempt.message.lower():
        return Seen(AbsenceVerdict.DOUBTFUL, "the exchange has said that it has an order of this client order id")
    strangers = _strangers(search, adapter, listed, trades)
    if strangers is not None:
        return strangers
    if not CAPABILITIES[account.exchange].refuses_late_requests:
        asked_at = clock.now()
        balances = adapter.balances(now_ms=exchange_now_ms(account))
        unexplained = unexplained_balances(search, balances, working, asked_at)
        if unexplained:
            return Seen(AbsenceVerdict.DOUBTFUL, unexplained)
    return Seen(AbsenceVerdict.NEGATIVE)


def _is_it(row: ExchangeOrder, report: Report) -> bool:
    if row.exchange_order_id and report.exchange_order_id == row.exchange_order_id:
        return True
    return report.client_order_id == row.client_order_id


def _found(search: Search, adapter: ExchangeAdapter, exchange_order_id: str) -> Seen:
    """Ask for the order itself by the exchange's id, with its trades."""
    search.row.exchange_order_id = exchange_order_id
    reports = look_up(adapter, search.account, search.order.instrument.symbol, search.row)
    if not reports:
        return Seen(AbsenceVerdict.DOUBTFUL, f"{exchange_order_id} is listed and cannot be asked for")
    return Seen(AbsenceVerdict.FOUND, exchange_order_id, reports)


def _strangers(
    search: Search, adapter: ExchangeAdapter, listed: Sequence[OrderReport], trades: Sequence[TradeReport]
) -> Seen | None:
    """Orders that show under another client order id, or by trades alone, and may be the one that is looked for."""
    row, symbol = search.row, search.order.instrument.symbol
    ids = {report.exchange_order_id for report in listed} | {trade.exchange_order_id for trade in trades}
    ours = set(
        ExchangeOrder.objects.filter(order__account=search.account, exchange_order_id__in=ids).values_list(
            "exchange_order_id", flat=True
        )
    )
    reports = {report.exchange_order_id: report for report in listed if report.exchange_order_id not in ours}
    # A trade that names its order's client order id was compared with ours already.
    asked = {trade.exchange_order_id for trade in trades if trade.client_order_id is None} - ours - set(reports)
    if len(asked) > MAX_STRANGERS:
        return Seen(AbsenceVerdict.DOUBTFUL, f"trades of {len(asked)} orders that are not ours")
    for exchange_order_id in sorted(asked):
        report = adapter.query_order(
            symbol,
            client_order_id="",
            exchange_order_id=exchange_order_id,
            now_ms=exchange_now_ms(search.account),
        )
        if report is None:
            return Seen(AbsenceVerdict.DOUBTFUL, f"trades of {exchange_order_id}, which cannot be asked for")
        if _is_it(row, report):
            return _found(search, adapter, exchange_order_id)
        reports[exchange_order_id] = report
    # What somebody canceled may show another client order id than the one it was placed with (docs/binance.md §2.4).
    for report in reports.values():
        alike = (report.side, report.quantity, report.price) == (search.order.side, row.quantity, row.price)
        if report.status is ReportedStatus.CANCELED and alike:
            return Seen(AbsenceVerdict.DOUBTFUL, f"{report.exchange_order_id} was canceled and is alike")
    return None


# ----------------------------------------------------------------------------------------------------------- balances


def unexplained_balances(
    search: Search, balances: Sequence[BalanceReport], working: Sequence[OrderReport], asked_at: datetime
) -> str:
    """Why the balances do not say that the order is absent, or "".

    Of base and quote the exchange must hold what the books hold, or have moved since the claim by exactly what is
    booked; and what is locked must leave no room for the order beside those that are known.
    """
    instrument = search.order.instrument
    by_asset = {report.asset: report for report in balances}
    for asset in (instrument.base_asset, instrument.quote_asset):
        report = by_asset.get(asset)
        held = Decimal(0) if report is None else report.free + report.locked
        if not (_equals_books(search, asset, held, asked_at) or _moved_as_booked(search, asset, held, asked_at)):
            return f"{plain(held)} {asset} at the exchange is neither what the books hold nor what was booked"
    spent = instrument.quote_asset if search.order.side == "BUY" else instrument.base_asset
    locked = by_asset[spent].locked if spent in by_asset else Decimal(0)
    room = locked - _known_locks(search, spent, working)
    if room >= _least_lock(search):
        return f"{plain(room)} {spent} is locked for no order that is known"
    return ""


def _is_clear(search: Search, asset: str, start: datetime, end: datetime) -> bool:
    """Whether no booked trade of the asset lies in a stretch where it may or may not be in a balance."""
    return not _moves(search, asset).filter(effective_at__gte=start, effective_at__lte=end).exists()


def _moves(search: Search, asset: str) -> Any:
    """Legs of what was booked at the exchange since the books were opened."""
    entries = LedgerEntry.objects.filter(account=search.account, asset=asset, book=Book.EXCHANGE)
    return entries.exclude(kind="opening")


def _equals_books(search: Search, asset: str, held: Decimal, asked_at: datetime) -> bool:
    books = Holding.objects.filter(account=search.account, asset=asset).aggregate(sum=Sum("quantity"))["sum"]
    return _is_clear(search, asset, asked_at - BEFORE_BALANCE, clock.now()) and held == (books or Decimal(0))


def _moved_as_booked(search: Search, asset: str, held: Decimal, asked_at: datetime) -> bool:
    before = search.attempt.balances.get(asset)
    if before is None:
        return False
    as_of = datetime.fromisoformat(before["as_of"])
    edges = ((as_of - BEFORE_BALANCE, as_of + AFTER_BALANCE), (asked_at - BEFORE_BALANCE, clock.now()))
    if not all(_is_clear(search, asset, start, end) for start, end in edges):
        return False
    moved = _moves(search, asset).filter(effective_at__gt=as_of).aggregate(sum=Sum("amount"))["sum"] or Decimal(0)
    return held - Decimal(before["free"]) - Decimal(before["locked"]) == moved


def _least_lock(search: Search) -> Decimal:
    """What the order locks at the least while it works, in the asset that it spends."""
    row = search.row
    quantity: Decimal = row.quantity or Decimal(0)
    if search.order.side == "SELL":
        return quantity
    price: Decimal = row.price or row.reserve_price
    with localcontext(CONTEXT):
        return Decimal(row.quote_quantity or quantity * price)


def _known_locks(search: Search, spent: str, working: Sequence[OrderReport]) -> Decimal:
    """What the known working orders lock at the least: those listed for the symbol, and ours of other symbols."""
    total = Decimal(0)
    side = search.order.side
    rows = ExchangeOrder.objects.filter(
        order__account=search.account,
        order__status__in=[status.value for status in AT_EXCHANGE],
        order__side=side,
        end_proof="",
        planned=False,
    ).exclude(order__instrument=search.order.instrument)
    with localcontext(CONTEXT):
        for report in working:
            if report.side == side and report.quantity is not None:
                left = report.quantity - report.cumulative_quantity
                total += left if side == "SELL" else left * (report.price or Decimal(0))
        for row in rows.exclude(reported_status="").select_related("order__instrument"):
            pair = row.order.instrument
            if (pair.quote_asset if side == "BUY" else pair.base_asset) == spent and row.quantity is not None:
                left = row.quantity - max(row.cumulative_quantity, row.booked_quantity)
                total += left if side == "SELL" else left * (row.price or Decimal(0))
    return total


# --------------------------------------------------------------------------------------------------------- conclusions


def conclude_absent(search: Search, by: Actor) -> bool:
    """End what is proven never to have been accepted, under the order's lock; whether it was."""
    with ordered() as locks:
        order = lock_orders(locks, [search.order.id])[search.order.id]
        command = unknown_placement(order)
        if command is None or placement_of(command).id != search.row.id:
            return False
        row = ExchangeOrder.objects.get(id=search.row.id)
        rounds = search.rounds()
        untouched = row.reported is None and row.booked_quantity == 0 and not row.exchange_order_id
        if len(rounds) < search.bounds.rounds or row.end_proof or not untouched:
            return False
        detail = f"The exchange never had it: {len(rounds)} rounds of open orders, history and trades, none shows it."
        evidence = {"rounds": [str(past.id) for past in rounds], "bounds": search.bounds.as_json()}
        end_never_accepted(
            order, command, row, f"absent:{len(rounds)} rounds", PROVEN_ABSENT, detail, by, evidence=evidence
        )
        fault_hooks.reach("before_absence_commit")
    fault_hooks.reach("after_absence")
    return True


def end_never_accepted(
    order: Order,
    command: Command,
    row: ExchangeOrder,
    proof: str,
    code: str,
    detail: str,
    by: Actor,
    *,
    evidence: dict[str, Any],
) -> None:
    """An unknown submit or replace placed nothing; the caller holds the order's lock and has the proof.

    A submit: the order is rejected, or canceled when it was the rest of a replace. A replace by one call: it is over,
    and the old exchange order tells how the order stands.
    """
    if command.kind == CommandKind.REPLACE:
        replacement.end_unsent(order, row, proof)
        replacement.finish(command, order, by, "not_executed", detail)
        refresh(order, list(order.exchange_orders.order_by("generation")), [], by=by)
        return
    command.move(CommandStatus.DONE, by, evidence=evidence)
    command.finished_at = clock.now()
    command.save()
    if order.status in WORKING:
        replacement.end_as_canceled(order, row, proof, code, detail, by)
    else:
        row.end_proof = proof[:64]
        row.save(update_fields=["end_proof"])
        set_reservation(order, row)
    if order.status == OrderStatus.SUBMIT_UNKNOWN:
        order.reason, order.detail = code[:64], detail[:512]
        order.move(OrderStatus.REJECTED, by, evidence=evidence)
        order.version += 1
        order.updated_at = clock.now()
        order.save()
        notify_after_commit(order.id)
    finish_commands(order, by=by)


def conclude_gone(search: Search, by: Actor) -> bool:
    """A working order that the exchange no longer knows is ``closed_unverified``, its reservation held; whether so."""
    with ordered() as locks:
        order = lock_orders(locks, [search.order.id])[search.order.id]
        row = ExchangeOrder.objects.get(id=search.row.id)
        rounds = search.rounds()
        if order.status not in WORKING or row.end_proof or len(rounds) < search.bounds.rounds:
            return False
        if unknown_placement(order) is not None:
            # A replace of unknown outcome may have put another in its place: that is looked for first.
            return False
        # Its last word is void; the next one repairs.
        row.reported_status = ""
        row.save(update_fields=["reported_status"])
        order.move(
            OrderStatus.CLOSED_UNVERIFIED,
            by,
            evidence={"rounds": [str(past.id) for past in rounds], "bounds": search.bounds.as_json()},
        )
        order.version += 1
        order.updated_at = clock.now()
        order.save()
        set_reservation(order, row)
        notify_after_commit(order.id)
        fault_hooks.reach("before_absence_commit")
    fault_hooks.reach("after_absence")
    log.warning("order %s was working and the exchange no longer knows it", search.order.id)
    return True


def note_seen(row: ExchangeOrder) -> None:
    """An order that was missed shows again: what was counted against it is worth nothing now."""
    AbsenceEvidence.objects.create(
        order=row.order,
        exchange_order=row,
        verdict=AbsenceVerdict.FOUND,
        detail="it is listed again",
        asked_at=clock.now(),
        answered_at=clock.now(),
        counts_from_ms=clock.now_ms(),
        bounds={},
        answers=[],
    )
    ExchangeOrder.objects.filter(id=row.id).update(look_next_at=None)
