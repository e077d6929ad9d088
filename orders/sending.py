"""Budget, then claim, then send, then record what came back.

task → rate budget and clock gate (nothing claimed; without them the command waits with ``not_before``) → claim → one
HTTP call outside any transaction → the answer is recorded on its attempt and ingested under the order's lock.

What the answer does to command and order is ``orders.answers``.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import nullcontext
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
from exchanges.host_clock import ClockNotFit, gated_offset_ms, sample
from exchanges.models import Account
from exchanges.reports import Outcome, OutcomeKind, ReadFailed
from exchanges.stamps import StampAhead
from execution_project.common import clock, fault_hooks
from execution_project.common.actors import engine
from execution_project.common.locking import ordered
from orders import replacement
from orders.answers import RETRY_NOT_EXECUTED, record_look, record_outcome, record_replace
from orders.claiming import claim, current_exchange_order, end_unsent, request_of
from orders.ingest import finish_commands, lock_orders, refresh
from orders.lifecycle import CommandStatus, OrderStatus
from orders.looking import ask_after, lacks_exchange_id, ring_find
from orders.models import NEVER_SENT, AttemptKind, Command, CommandKind, ExchangeOrder
from risk.circuits import note_acceptance, note_refusal
from risk.reading import Prices, read_prices_of
from risk.trading_state import halt

log = logging.getLogger(__name__)

RECORD_WITHIN_S = 10
RECORD_PAUSE_S = 0.25


def send_command(command_id: UUID) -> Outcome | None:
    """Carry one command out if it is still wanted; the outcome, or None when nothing was sent.

    Called by the queue's tasks, any number of times for the same id: a second delivery finds the command claimed.
    """
    commands = Command.objects.select_related("order__account", "order__instrument", "exchange_order")
    command = commands.filter(id=command_id).first()
    if command is None or command.status != CommandStatus.QUEUED:
        return None
    account = command.order.account
    is_submit = command.kind == CommandKind.SUBMIT
    is_cancel = command.kind == CommandKind.CANCEL
    try:
        adapter = adapter_for(account)
        # The sample that a cancel needs is as urgent as the cancel.
        with urgent() if is_cancel else nullcontext():
            offset_ms = gated_offset_ms(account, however_old=is_cancel)
    except (ClockNotFit, ReadFailed) as error:
        _postpone(command, clock.now() + RETRY_NOT_EXECUTED, f"clock: {error}")
        return None
    except WrongHost as error:
        _refuse_host(command, str(error))
        return None
    if not is_submit and _is_looked_for(account, command):
        _postpone(command, clock.now() + RETRY_NOT_EXECUTED, "the order is looked for")
        return None
    if not is_submit and lacks_exchange_id(command):
        ring_find(command)
        _postpone(command, clock.now() + RETRY_NOT_EXECUTED, "the exchange does not show the order yet")
        return None
    refused = rate_budget.take(host_of(account), account.name, cost_of(account, _call_of(command)), urgent=is_cancel)
    if refused is not None:
        _postpone(command, refused.not_before, f"budget: {refused.reason}")
        return None
    prices: Prices | None = read_prices_of(command.order.instrument) if is_submit else None
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
        _insistently(lambda: record_replace(claimed.attempt.id, both))
        _note_outcome(account, adapter, both.place)
        return both.place
    outcome = adapter.send(claimed.prepared, claimed.send_by)
    fault_hooks.reach("after_send")
    look = _needs_a_look(account, command, outcome)
    _insistently(lambda: record_outcome(claimed.attempt.id, outcome, look_follows=look))
    _note_outcome(account, adapter, outcome)
    if is_submit:
        if look:
            seen = ask_after(claimed.attempt)
            _insistently(lambda: record_look(claimed.attempt.id, outcome, seen))
        _note_for_circuit(command, outcome)
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
        row = ExchangeOrder.objects.get(id=command.exchange_order_id)
        if order.status == OrderStatus.PENDING:
            end_unsent(order, row, OrderStatus.DENIED, "WRONG_HOST", detail, by=by)
        elif command.kind == CommandKind.REPLACE:
            replacement.abandon(order, Command.objects.select_related("planned").get(id=command.id), detail, by)
            refresh(order, list(order.exchange_orders.order_by("generation")), [], by=by)
        elif replacement.rest_not_sent(order, row):
            replacement.end_as_canceled(order, row, NEVER_SENT, "WRONG_HOST", detail, by)
            finish_commands(order, by=by)


def _is_looked_for(account: Account, command: Command) -> bool:
    """Whether a cancel names only the exchange's id, of an order whose outcome is unknown: its probes ask for it, and
    asking beside them would only take their readings."""
    needs_id = CAPABILITIES[account.exchange].cancel_needs_exchange_id
    if not needs_id or command.order.status != OrderStatus.SUBMIT_UNKNOWN:
        return False
    row = current_exchange_order(command.order)
    return not row.exchange_order_id and row.attempts.exists()


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


def _note_for_circuit(command: Command, outcome: Outcome) -> None:
    """The same refusal of the same placement again and again stops its symbol (``risk.circuits``)."""
    order, row = command.order, command.exchange_order
    account, symbol, request = order.account.name, order.instrument.symbol, request_of(order, row)
    if outcome.kind is OutcomeKind.ACCEPTED:
        note_acceptance(account, symbol, request)
    elif outcome.kind is OutcomeKind.REFUSED:
        code = f"{outcome.reason} {outcome.code}".strip()
        if note_refusal(account, symbol, request, code, by=engine("sender", "refused again")):
            log.error("%s of %s is stopped: refused again and again, %s", symbol, account, code)


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
