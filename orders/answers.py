"""What an answer does to its command and order, recorded under the order's lock.

``AFTER_SUBMIT`` is the one table of what an outcome means for a submit; cancels and replaces are judged by what the
exchange then shows. Nothing that may have been executed is sent again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from uuid import UUID

from exchanges.reports import Outcome, OutcomeKind, ReplaceOutcome, Report
from execution_project.common import clock, fault_hooks, ids
from execution_project.common.actors import Actor, engine
from execution_project.common.doorbell import ring
from execution_project.common.events import record
from execution_project.common.installation import prefix
from execution_project.common.locking import ordered
from orders import replacement
from orders.ingest import apply_reports, finish_commands, lock_orders, refresh
from orders.lifecycle import ENDED, WORKING, CommandStatus, OrderStatus
from orders.models import Attempt, AttemptKind, Command, CommandKind, ExchangeOrder, Order, ReplaceMethod
from orders.notifications import notify_after_commit
from orders.queues import probe_queue
from orders.reserving import set_reservation

RETRY_NOT_SENT = timedelta(milliseconds=500)
RETRY_NOT_EXECUTED = timedelta(seconds=1)
# An order that the exchange no longer knows is asked to end all the same, in case it is there.
CANCEL_OF_UNSEEN = timedelta(seconds=60)
CANCEL_BACKOFF = tuple(timedelta(milliseconds=ms) for ms in (250, 500, 1000, 2000, 5000))


def record_outcome(attempt_id: UUID, outcome: Outcome, *, look_follows: bool = False) -> None:
    """Store the answer on its attempt, move command and order as the outcome demands, and ingest its reports.

    A fenced attempt (another one was claimed since) moves nothing; its answer is still a report and is ingested.
    ``look_follows``: the order is asked for, and ``record_look`` closes the command: after a submit the sender does it,
    after a cancel or replace whoever answers the doorbell that is rung here; until then these stay claimed. The answer
    itself is safe by then, whatever becomes of the look.
    """
    attempt = Attempt.objects.select_related("command__order__account").get(id=attempt_id)
    by = engine("sender", f"{attempt.kind} {outcome.kind}")
    with ordered() as locks:
        orders = lock_orders(locks, [attempt.command.order_id])
        order = orders[attempt.command.order_id]
        command, fenced = _store_answer(attempt, outcome)
        undecided = command.status in {CommandStatus.CLAIMED, CommandStatus.UNKNOWN}
        if attempt.kind != AttemptKind.SUBMIT:
            _note_answer(order, command, outcome, by)
        elif not fenced and undecided:
            AFTER_SUBMIT[outcome.kind](order, command, outcome, by)
        if outcome.reports:
            apply_reports(locks, attempt.command.order.account, orders, outcome.reports, by=by)
        if not look_follows:
            _close(order, attempt, outcome, fenced, by)
        elif attempt.kind != AttemptKind.SUBMIT:
            ring(probe_queue(order.account.exchange), "orders.tasks.look", str(attempt.id))
        fault_hooks.reach("before_answer_commit")
    fault_hooks.reach("after_answer")


def record_look(attempt_id: UUID, outcome: Outcome, seen: tuple[Report, ...]) -> None:
    """After the look that followed an answer: ingest what was seen, and close the cancel or replace by it."""
    attempt = Attempt.objects.select_related("command__order__account").get(id=attempt_id)
    by = engine("sender", f"{attempt.kind} {outcome.kind}, looked after")
    with ordered() as locks:
        orders = lock_orders(locks, [attempt.command.order_id])
        if seen:
            apply_reports(locks, attempt.command.order.account, orders, seen, by=by)
        whole = replace(outcome, reports=(*outcome.reports, *seen))
        _close(orders[attempt.command.order_id], attempt, whole, False, by)
        fault_hooks.reach("before_look_commit")
    fault_hooks.reach("after_look")


def _close(order: Order, attempt: Attempt, outcome: Outcome, fenced: bool, by: Actor) -> None:
    """Finish a claimed cancel or replace, or queue it again; submits were moved by their outcome already."""
    if attempt.kind == AttemptKind.SUBMIT:
        return
    command = Command.objects.select_related("planned").get(id=attempt.command_id)
    if fenced or command.fence != attempt.fence or command.status != CommandStatus.CLAIMED:
        return
    if command.kind == CommandKind.CANCEL:
        _close_cancel(order, command, by)
    elif command.kind == CommandKind.REPLACE:
        _close_replace(order, command, outcome, by)


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


def record_replace(attempt_id: UUID, both: ReplaceOutcome) -> None:
    """Store the answer of a call that cancels one exchange order and places another, and carry the replace on.

    Each half counts for itself: what was canceled is canceled, what was placed is adopted with its report, and what may
    have been placed stays planned and reserved until the exchange tells. A proof that comes after the replace was given
    up as unknown still ends it.
    """
    attempt = Attempt.objects.select_related("command__order__account").get(id=attempt_id)
    by = engine("sender", f"replace: cancel {both.cancel.kind}, place {both.place.kind}")
    with ordered() as locks:
        orders = lock_orders(locks, [attempt.command.order_id])
        order = orders[attempt.command.order_id]
        command, fenced = _store_answer(attempt, both.place)
        _note_answer(order, command, both.place, by)
        undecided = not fenced and command.status in {CommandStatus.CLAIMED, CommandStatus.UNKNOWN}
        proven_not_placed = both.place.kind not in {OutcomeKind.ACCEPTED, OutcomeKind.UNKNOWN}
        if undecided and both.cancel.kind is OutcomeKind.ACCEPTED and proven_not_placed:
            replacement.end_unsent(order, replacement.planned_of(command), _refusal_of(both.place))
            order.reason, order.detail = "REPLACE_REFUSED", both.place.message[:512]
        reports = (*both.cancel.reports, *both.place.reports)
        if reports:
            apply_reports(locks, attempt.command.order.account, orders, reports, by=by)
        if undecided:
            command = Command.objects.select_related("exchange_order", "planned").get(id=command.id)
            _carry_on(order, command, both, by)
            # A replace that is over leaves the old exchange order to tell how the order stands.
            refresh(order, list(order.exchange_orders.order_by("generation")), [], by=by)
        fault_hooks.reach("before_answer_commit")
    fault_hooks.reach("after_answer")


def _refusal_of(outcome: Outcome) -> str:
    return f"refused:{outcome.code or outcome.reason}"[:64]


def _carry_on(order: Order, command: Command, both: ReplaceOutcome, by: Actor) -> None:
    """What a replace by one call comes to by its two outcomes; one that was adopted by its report is done already."""
    place, cancel = both.place, both.cancel
    if command.status not in {CommandStatus.CLAIMED, CommandStatus.UNKNOWN}:
        return
    if place.kind in {OutcomeKind.ACCEPTED, OutcomeKind.UNKNOWN}:
        # ACCEPTED without a report that adopted it is as good as unknown: look.
        if command.status == CommandStatus.CLAIMED:
            command.move(CommandStatus.UNKNOWN, by, evidence={"why": place.reason or place.message})
            command.save()
        ring(probe_queue(order.account.exchange), "orders.tasks.probe", str(order.id))
    elif cancel.kind is OutcomeKind.ACCEPTED:
        replacement.finish(command, order, by, "refused", f"{place.code} {place.message}".strip())
    elif order.status in ENDED or command.status == CommandStatus.UNKNOWN:
        replacement.abandon(order, command, f"{place.kind}: {place.code} {place.message}".strip(), by)
    elif place.kind in {OutcomeKind.REFUSED, OutcomeKind.AUTH}:
        # Judged and refused before anything was canceled: asking again would be refused again.
        replacement.end_unsent(order, replacement.planned_of(command), _refusal_of(place))
        replacement.finish(command, order, by, "refused", f"{place.code} {place.message}".strip())
    else:
        if place.kind is not OutcomeKind.NOT_SENT:
            # Its client order id was on the wire: another one takes its place.
            replacement.plan_again(order, command, place)
        if cancel.kind in {OutcomeKind.REFUSED, OutcomeKind.UNKNOWN}:
            command.method = ReplaceMethod.CANCEL_THEN_PLACE
        wait = timedelta(milliseconds=place.throttled_for_ms) if place.throttled_for_ms else RETRY_NOT_SENT
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
    """No byte left: the same exchange order may be claimed again; ``valid_until`` is not renewed.

    When it was given up as unknown before, this proves only that it was never accepted.
    """
    if command.status != CommandStatus.CLAIMED:
        _submit_refused(order, command, outcome, by)
        return
    if order.status == OrderStatus.SUBMITTING:
        order.move(OrderStatus.PENDING, by, evidence={"why": outcome.reason or outcome.message})
        _moved(order)
    _requeue(command, clock.now() + RETRY_NOT_SENT, by)


def _submit_not_executed(order: Order, command: Command, outcome: Outcome, by: Actor) -> None:
    """Proven not executed, but its client order id was on the wire: a new generation takes its place.

    An answer so late that the order was already given up as unknown proves only that: it was never accepted.
    """
    if command.status != CommandStatus.CLAIMED:
        _submit_refused(order, command, outcome, by)
        return
    old = command.exchange_order
    wait = timedelta(milliseconds=outcome.throttled_for_ms) if outcome.throttled_for_ms else RETRY_NOT_EXECUTED
    _end_exchange_order(order, old, f"not_executed:{outcome.code or outcome.reason}")
    if order.status == OrderStatus.SUBMITTING:
        order.move(OrderStatus.PENDING, by, evidence={"code": outcome.code, "message": outcome.message})
        _moved(order)
    generation = replacement.next_generation(order)
    fresh = ExchangeOrder.objects.create(
        order=order,
        generation=generation,
        client_order_id=ids.client_order_id(prefix(), order.id, generation),
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
    ring(probe_queue(order.account.exchange), "orders.tasks.probe", str(order.id))


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
    if order.status == OrderStatus.CLOSED_UNVERIFIED:
        pause = CANCEL_OF_UNSEEN
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
