"""Budget, then claim, then send, then record what came back.

task → rate budget and clock gate (nothing claimed; without them the command waits with ``not_before``) → claim → one
HTTP call outside any transaction → the answer is recorded on its attempt and ingested under the order's lock.

What an outcome means for an order is one table, ``AFTER_SUBMIT``; nothing that may have been executed is sent again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import cast
from uuid import UUID

from django.db import InterfaceError, OperationalError, connection

from exchanges import rate_budget
from exchanges.adapters import ExchangeAdapter, ReplacingAdapter
from exchanges.capabilities import CAPABILITIES
from exchanges.connections import (
    WrongHost,
    adapter_for,
    cost_of,
    host_of,
    refuse_in_transaction,
    urgent,
    write_stamp_ms,
)
from exchanges.host_clock import ClockNotFit, exchange_now_ms, gated_offset_ms, sample
from exchanges.models import Account
from exchanges.reports import Outcome, OutcomeKind, ReadFailed, ReplaceOutcome, Report
from exchanges.stamps import StampAhead
from execution_project.common import clock, fault_hooks, ids
from execution_project.common.actors import Actor, engine
from execution_project.common.doorbell import ring
from execution_project.common.events import record
from execution_project.common.installation import prefix
from execution_project.common.locking import ordered
from orders import replacement
from orders.claiming import Claim, claim, current_exchange_order, end_unsent
from orders.ingest import apply_reports, finish_commands, ingest, lock_orders
from orders.lifecycle import ENDED, WORKING, CommandStatus, OrderStatus
from orders.models import Attempt, AttemptKind, Command, CommandKind, ExchangeOrder, Order, ReplaceMethod
from orders.notifications import notify_after_commit
from orders.queues import CANCEL_QUEUE
from orders.reserving import set_reservation
from risk.gate import Prices, read_prices_of
from risk.trading_state import halt

log = logging.getLogger(__name__)

RECORD_WITHIN_S = 10
RECORD_PAUSE_S = 0.25
RETRY_NOT_SENT = timedelta(milliseconds=500)
RETRY_NOT_EXECUTED = timedelta(seconds=1)
CANCEL_BACKOFF = tuple(timedelta(milliseconds=ms) for ms in (250, 500, 1000, 2000, 5000))


def send_command(command_id: UUID) -> Outcome | None:
    """Carry one command out if it is still wanted; the outcome, or None when nothing was sent.

    Called by the queue's tasks, any number of times for the same id: a second delivery finds the command claimed.
    """
    command = Command.objects.select_related("order__account", "order__instrument").filter(id=command_id).first()
    if command is None or command.status != CommandStatus.QUEUED:
        return None
    account = command.order.account
    is_submit = command.kind == CommandKind.SUBMIT
    try:
        adapter = adapter_for(account)
        offset_ms = gated_offset_ms(account)
    except (ClockNotFit, ReadFailed) as error:
        _postpone(command, clock.now() + RETRY_NOT_EXECUTED, f"clock: {error}")
        return None
    except WrongHost as error:
        _refuse_host(command, str(error))
        return None
    refused = rate_budget.take(
        host_of(account), account.name, cost_of(account, _call_of(command)), urgent=command.kind == CommandKind.CANCEL
    )
    if refused is not None:
        _postpone(command, refused.not_before, f"budget: {refused.reason}")
        return None
    prices: Prices | None = read_prices_of(command.order.instrument) if is_submit else None
    if not is_submit and not _find_exchange_id(account, adapter, command):
        _postpone(command, clock.now() + RETRY_NOT_EXECUTED, "the exchange does not show the order yet")
        return None
    adapter.warm()
    try:
        stamp_ms = write_stamp_ms(account, clock.now_ms() + offset_ms)
    except StampAhead as error:
        _postpone(command, clock.now() + RETRY_NOT_EXECUTED, str(error))
        return None
    claimed = claim(command_id, adapter, stamp_ms, prices)
    if claimed is None:
        return None
    refuse_in_transaction()
    if claimed.attempt.kind == AttemptKind.REPLACE:
        both = cast(ReplacingAdapter, adapter).send_replace(claimed.prepared, claimed.send_by)
        fault_hooks.reach("after_send")
        seen = (
            _ask_about_order(account, adapter, claimed, both.cancel) if both.cancel.kind is OutcomeKind.REFUSED else ()
        )
        _insistently(lambda: record_replace(claimed.attempt.id, both, seen))
        _note_outcome(account, adapter, both.place)
        return both.place
    outcome = adapter.send(claimed.prepared, claimed.send_by)
    fault_hooks.reach("after_send")
    extra = _ask_about_order(account, adapter, claimed, outcome) if _needs_a_look(account, command, outcome) else ()
    _insistently(lambda: record_outcome(claimed.attempt.id, outcome, extra))
    _note_outcome(account, adapter, outcome)
    return outcome


def _call_of(command: Command) -> str:
    """The call's name in the adapters' cost tables."""
    if command.kind != CommandKind.REPLACE:
        return "place" if command.kind == CommandKind.SUBMIT else "cancel"
    return {"amend": "amend", "cancel_replace": "replace"}.get(command.method, "cancel")


def _postpone(command: Command, not_before: datetime, why: str) -> None:
    """Nothing was claimed; the sweeper rings again when the time has come."""
    log.info("command %s waits until %s: %s", command.id, not_before.isoformat(), why)
    Command.objects.filter(id=command.id, status=CommandStatus.QUEUED).update(not_before=not_before)


def _refuse_host(command: Command, detail: str) -> None:
    """An account that may not reach its host: a submit ends denied, a cancel waits for an operator."""
    by = engine("sender", "wrong host")
    if command.kind == CommandKind.CANCEL:
        _postpone(command, clock.now() + timedelta(seconds=30), detail)
        return
    with ordered() as locks:
        order = lock_orders(locks, [command.order_id])[command.order_id]
        if order.status == OrderStatus.PENDING:
            row = ExchangeOrder.objects.get(id=command.exchange_order_id)
            end_unsent(order, row, OrderStatus.DENIED, "WRONG_HOST", detail, by=by)


def _find_exchange_id(account: Account, adapter: ExchangeAdapter, command: Command) -> bool:
    """Where a cancel names only the exchange's id, look for one that is not known yet; whether there is one now."""
    if not CAPABILITIES[account.exchange].cancel_needs_exchange_id:
        return True
    row = current_exchange_order(command.order)
    if row.exchange_order_id or not row.attempts.exists():
        return True
    try:
        with urgent():
            reports = look_up(adapter, account, command.order.instrument.symbol, row)
    except ReadFailed as error:
        log.warning("order %s could not be looked for: %s", row.client_order_id, error)
        return False
    ingest(account, reports, by=engine("sender", "find the exchange's id"))
    return bool(reports)


def _needs_a_look(account: Account, command: Command, outcome: Outcome) -> bool:
    """A refused cancel says only "not open": the order itself must be asked, it may just have filled.

    A replace asks after every answer that is not "nothing happened": what is left is counted from complete fills.
    Where answers are not complete an accepted order is asked for, too.
    """
    if not CAPABILITIES[account.exchange].answers_are_complete and outcome.kind is OutcomeKind.ACCEPTED:
        return True
    asked = {OutcomeKind.REFUSED, OutcomeKind.NOT_FOUND}
    if command.kind == CommandKind.REPLACE:
        asked |= {OutcomeKind.ACCEPTED, OutcomeKind.UNKNOWN}
    return command.kind != CommandKind.SUBMIT and outcome.kind in asked


def _ask_about_order(
    account: Account, adapter: ExchangeAdapter, claimed: Claim, outcome: Outcome
) -> tuple[Report, ...]:
    """The exchange's word on the exchange order that a command was about; empty when it does not answer."""
    row = claimed.attempt.command.exchange_order
    if not row.exchange_order_id:
        row.exchange_order_id = next((report.exchange_order_id for report in outcome.reports), "")
    symbol = claimed.attempt.command.order.instrument.symbol
    try:
        with urgent():
            return look_up(adapter, account, symbol, row)
    except ReadFailed as error:
        log.warning("order %s could not be asked: %s", row.client_order_id, error)
        return ()


def look_up(adapter: ExchangeAdapter, account: Account, symbol: str, row: ExchangeOrder) -> tuple[Report, ...]:
    """The exchange's word on one exchange order, with its trades when they are not all booked. May raise
    ``ReadFailed``; empty when the exchange knows no such order, which proves nothing."""
    first = row.attempts.order_by("stamp_ms").values_list("stamp_ms", flat=True).first()
    report = adapter.query_order(
        symbol,
        client_order_id=row.client_order_id,
        exchange_order_id=row.exchange_order_id or None,
        now_ms=exchange_now_ms(account),
        since_ms=first,
    )
    if report is None:
        return ()
    if report.cumulative_quantity <= row.booked_quantity:
        return (report,)
    trades = adapter.order_trades(symbol, report.exchange_order_id, now_ms=exchange_now_ms(account))
    return (report, *trades)


def _insistently(record_answer: Callable[[], None]) -> None:
    """Record an answer though the database may be away for a moment: only this process has it."""
    deadline = clock.monotonic() + RECORD_WITHIN_S
    while True:
        try:
            record_answer()
        except (OperationalError, InterfaceError) as error:
            if clock.monotonic() > deadline:
                raise
            log.warning("an answer is not recorded yet: %s", error)
            connection.close()
            time.sleep(RECORD_PAUSE_S)
        else:
            return


def record_outcome(attempt_id: UUID, outcome: Outcome, extra: tuple[Report, ...] = ()) -> None:
    """Store the answer on its attempt, move command and order as the outcome demands, and ingest its reports.

    A fenced attempt (another one was claimed since) moves nothing; its answer is still a report and is ingested.
    """
    attempt = Attempt.objects.select_related("command__order__account").get(id=attempt_id)
    account = attempt.command.order.account
    by = engine("sender", f"{attempt.kind} {outcome.kind}")
    with ordered() as locks:
        orders = lock_orders(locks, [attempt.command.order_id])
        order = orders[attempt.command.order_id]
        command, fenced = _store_answer(attempt, outcome)
        if not fenced:
            if attempt.kind == AttemptKind.SUBMIT:
                AFTER_SUBMIT[outcome.kind](order, command, outcome, by)
            else:
                _note_answer(order, command, outcome, by)
        reports = (*outcome.reports, *extra)
        if reports:
            apply_reports(locks, account, orders, reports, by=by)
        command = Command.objects.select_related("planned").get(id=attempt.command_id)
        if not fenced and command.status == CommandStatus.CLAIMED:
            if command.kind == CommandKind.CANCEL:
                _close_cancel(order, command, by)
            elif command.kind == CommandKind.REPLACE:
                _close_replace(order, command, replace(outcome, reports=reports), by)
        fault_hooks.reach("before_answer_commit")
    fault_hooks.reach("after_answer")


def _store_answer(attempt: Attempt, outcome: Outcome) -> tuple[Command, bool]:
    """Complete the attempt; returns its command, and whether another attempt has taken over since (fenced)."""
    stored = Attempt.objects.filter(id=attempt.id, outcome__in=["", OutcomeKind.UNKNOWN.value]).update(
        answered_at=clock.now(),
        outcome=outcome.kind.value,
        code=(outcome.code or outcome.reason)[:64],
        message=outcome.message[:512],
        request={
            "method": outcome.evidence.method,
            "path": outcome.evidence.path,
            "parameters": outcome.evidence.parameters,
        },
        response={
            key: value
            for key, value in asdict(outcome.evidence).items()
            if key in {"http_status", "headers", "body", "error"}
        },
    )
    command = Command.objects.select_related("exchange_order", "planned").get(id=attempt.command_id)
    return command, command.fence != attempt.fence or not stored


def record_replace(attempt_id: UUID, both: ReplaceOutcome, extra: tuple[Report, ...] = ()) -> None:
    """Store the answer of a call that cancels one exchange order and places another, and carry the replace on.

    Each half counts for itself: what was canceled is canceled, what was placed is adopted, and what may have been
    placed stays planned and reserved until the exchange tells.
    """
    attempt = Attempt.objects.select_related("command__order__account").get(id=attempt_id)
    account = attempt.command.order.account
    by = engine("sender", f"replace: cancel {both.cancel.kind}, place {both.place.kind}")
    with ordered() as locks:
        orders = lock_orders(locks, [attempt.command.order_id])
        order = orders[attempt.command.order_id]
        command, fenced = _store_answer(attempt, both.place)
        _note_answer(order, command, both.place, by)
        planned = command.planned
        placed = both.place.kind is OutcomeKind.ACCEPTED
        refused = both.cancel.kind is OutcomeKind.ACCEPTED and both.place.kind in {
            OutcomeKind.REFUSED,
            OutcomeKind.AUTH,
        }
        if not fenced and planned is not None:
            if placed:
                _end_exchange_order(order, command.exchange_order, f"replaced by {planned.generation}")
                replacement.activate(order, command)
            elif refused:
                replacement.end_unsent(order, planned, f"refused:{both.place.code or both.place.reason}")
                order.reason, order.detail = "REPLACE_REFUSED", both.place.message[:512]
        reports = (*both.cancel.reports, *both.place.reports, *extra)
        if reports:
            apply_reports(locks, account, orders, reports, by=by)
        command = Command.objects.select_related("exchange_order", "planned").get(id=attempt.command_id)
        if not fenced and command.status == CommandStatus.CLAIMED:
            if placed or refused:
                replacement.finish(command, order, by, "done" if placed else "refused", both.place.message)
            else:
                _carry_on(order, command, both, by)
        fault_hooks.reach("before_answer_commit")


def _carry_on(order: Order, command: Command, both: ReplaceOutcome, by: Actor) -> None:
    """A replace by one call of which nothing, or nobody knows what, was done."""
    if OutcomeKind.UNKNOWN in {both.cancel.kind, both.place.kind}:
        command.move(CommandStatus.UNKNOWN, by, evidence={"why": both.place.reason or both.place.message})
        command.save()
        ring(CANCEL_QUEUE, "orders.tasks.probe", str(order.id))
        return
    if order.status in ENDED:
        replacement.abandon(order, command, f"the order is {order.status}", by)
        return
    if both.place.kind is not OutcomeKind.NOT_SENT:
        # Its client order id was on the wire: another one takes its place.
        replacement.plan_again(order, command, both.place)
    if both.cancel.kind is OutcomeKind.REFUSED:
        command.method = ReplaceMethod.CANCEL_THEN_PLACE
    wait = timedelta(milliseconds=both.place.throttled_for_ms) if both.place.throttled_for_ms else RETRY_NOT_SENT
    _requeue(command, clock.now() + wait, by)


Handler = Callable[[Order, Command, Outcome, Actor], None]


def _submit_done(order: Order, command: Command, outcome: Outcome, by: Actor) -> None:
    """Accepted: the reports that came along do the rest."""
    command.move(CommandStatus.DONE, by)
    command.finished_at = clock.now()
    command.save()


def _submit_refused(order: Order, command: Command, outcome: Outcome, by: Actor) -> None:
    """Proven refused: rejected, reservation released, the exchange's own words kept."""
    _submit_done(order, command, outcome, by)
    _end_exchange_order(order, command.exchange_order, f"refused:{outcome.code or outcome.reason}")
    if order.status in WORKING:
        proof = command.exchange_order.end_proof
        replacement.end_as_canceled(order, command.exchange_order, proof, "REPLACE_REFUSED", outcome.message, by)
        finish_commands(order, by=by)
    if order.status in {OrderStatus.SUBMITTING, OrderStatus.SUBMIT_UNKNOWN}:
        order.reason = (outcome.reason or outcome.code).upper()[:64]
        order.detail = outcome.message[:512]
        order.move(OrderStatus.REJECTED, by, evidence={"code": outcome.code, "message": outcome.message})
        _moved(order)
        finish_commands(order, by=by)


def _submit_not_sent(order: Order, command: Command, outcome: Outcome, by: Actor) -> None:
    """No byte left: the same exchange order may be claimed again; ``valid_until`` is not renewed."""
    if order.status == OrderStatus.SUBMITTING:
        order.move(OrderStatus.PENDING, by, evidence={"why": outcome.reason or outcome.message})
        _moved(order)
    elif order.status not in WORKING:
        _submit_refused(order, command, outcome, by)
        return
    _requeue(command, clock.now() + RETRY_NOT_SENT, by)


def _submit_not_executed(order: Order, command: Command, outcome: Outcome, by: Actor) -> None:
    """Proven not executed, but its client order id was on the wire: a new generation takes its place.

    An answer so late that the order was already given up as unknown proves only that: it was never accepted.
    """
    if order.status != OrderStatus.SUBMITTING and order.status not in WORKING:
        _submit_refused(order, command, outcome, by)
        return
    old = command.exchange_order
    wait = timedelta(milliseconds=outcome.throttled_for_ms) if outcome.throttled_for_ms else RETRY_NOT_EXECUTED
    _end_exchange_order(order, old, f"not_executed:{outcome.code or outcome.reason}")
    if order.status == OrderStatus.SUBMITTING:
        order.move(OrderStatus.PENDING, by, evidence={"code": outcome.code, "message": outcome.message})
        _moved(order)
    fresh = ExchangeOrder.objects.create(
        order=order,
        generation=old.generation + 1,
        client_order_id=ids.client_order_id(prefix(), order.id, old.generation + 1),
        quantity=old.quantity,
        quote_quantity=old.quote_quantity,
        price=old.price,
        reserve_price=old.reserve_price,
        exposure_price=old.exposure_price,
        fee_in_quote_rate=old.fee_in_quote_rate,
        created_at=clock.now(),
    )
    set_reservation(order, fresh)
    command.move(CommandStatus.DONE, by)
    command.finished_at = clock.now()
    command.save()
    Command.objects.create(
        order=order,
        exchange_order=fresh,
        kind=CommandKind.SUBMIT,
        not_before=clock.now() + wait,
        rung_at=clock.now(),
        requested_by=by.name,
        reason=f"again after {outcome.code or outcome.reason}",
        created_at=clock.now(),
    )


def _submit_unknown(order: Order, command: Command, outcome: Outcome, by: Actor) -> None:
    """May have been executed: never sent again, reservation held, looked for until the exchange tells."""
    if command.status == CommandStatus.CLAIMED:
        command.move(CommandStatus.UNKNOWN, by, evidence={"why": outcome.reason or outcome.message})
        command.save()
    if order.status == OrderStatus.SUBMITTING:
        order.move(
            OrderStatus.SUBMIT_UNKNOWN,
            by,
            evidence={"http_status": outcome.evidence.http_status, "error": outcome.evidence.error},
        )
        _moved(order)
    ring(CANCEL_QUEUE, "orders.tasks.probe", str(order.id))


AFTER_SUBMIT: dict[OutcomeKind, Handler] = {
    OutcomeKind.ACCEPTED: _submit_done,
    OutcomeKind.REFUSED: _submit_refused,
    OutcomeKind.AUTH: _submit_refused,
    OutcomeKind.NOT_SENT: _submit_not_sent,
    OutcomeKind.NOT_EXECUTED: _submit_not_executed,
    OutcomeKind.THROTTLED: _submit_not_executed,
    OutcomeKind.CLOCK: _submit_not_executed,
    OutcomeKind.UNKNOWN: _submit_unknown,
    OutcomeKind.NOT_FOUND: _submit_unknown,
}


def _note_answer(order: Order, command: Command, outcome: Outcome, by: Actor) -> None:
    """Cancels and replaces are judged by what the exchange then shows; their answer is kept for the record."""
    record(
        f"{command.kind}.answered",
        "order",
        order.id,
        by,
        evidence={"outcome": outcome.kind.value, "code": outcome.code, "message": outcome.message},
    )


def _close_cancel(order: Order, command: Command, by: Actor) -> None:
    """After the reports: done when the order has ended, else queued again with a growing pause."""
    if order.status in ENDED:
        command.move(CommandStatus.DONE, by)
        command.finished_at = clock.now()
        command.save()
        return
    pause = CANCEL_BACKOFF[min(command.fence - 1, len(CANCEL_BACKOFF) - 1)]
    _requeue(command, clock.now() + pause, by)


def _close_replace(order: Order, command: Command, outcome: Outcome, by: Actor) -> None:
    """After the reports: done when the exchange shows the new quantity, or when the rest could be placed."""
    if order.status in ENDED:
        replacement.abandon(order, command, f"the order is {order.status}", by)
        return
    if command.method == ReplaceMethod.AMEND:
        settled = replacement.after_amend(order, command, outcome, by)
    else:
        settled = replacement.place_the_rest(order, command, by)
    if not settled:
        pause = CANCEL_BACKOFF[min(command.fence - 1, len(CANCEL_BACKOFF) - 1)]
        _requeue(command, clock.now() + pause, by)


def _end_exchange_order(order: Order, row: ExchangeOrder, proof: str) -> None:
    row.end_proof = proof[:64]
    row.save(update_fields=["end_proof"])
    set_reservation(order, row)


def _requeue(command: Command, not_before: datetime, by: Actor) -> None:
    command.not_before = not_before
    command.move(CommandStatus.QUEUED, by, evidence={"not_before": not_before.isoformat()})
    command.save()


def _moved(order: Order) -> None:
    order.version += 1
    order.updated_at = clock.now()
    order.save()
    notify_after_commit(order.id)


def _note_outcome(account: Account, adapter: ExchangeAdapter, outcome: Outcome) -> None:
    """What an answer means beyond its order: pauses of the host, a new clock sample, a key that must stop."""
    if outcome.kind is OutcomeKind.THROTTLED:
        rate_budget.pause(
            host_of(account),
            outcome.throttled_for_ms or 1000,
            reason=f"{outcome.code} {outcome.message}".strip(),
            banned=outcome.banned,
        )
    elif outcome.kind is OutcomeKind.CLOCK:
        try:
            sample(account, adapter)
        except ReadFailed as error:
            log.warning("no clock sample from %s: %s", host_of(account), error)
    elif outcome.kind is OutcomeKind.AUTH:
        halt(
            "account",
            account.name,
            reason=f"the exchange refused the key: {outcome.code} {outcome.message}",
            by=engine("sender", "auth refused"),
        )
