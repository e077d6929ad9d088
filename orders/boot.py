"""The start of the engine: accounts are halted until all parts of their books were compared with the exchange.

After a restore from a backup the database has forgotten what was sent since. What it still believes to be waiting may
have gone out under the same client order id, so it is looked for as unknown instead of sent (``orders.absence``).
"""

from __future__ import annotations

import logging
from datetime import datetime
from uuid import UUID

from exchanges.freshness import freshness_of
from exchanges.models import Account
from exchanges.reports import OutcomeKind
from execution_project.common import clock
from execution_project.common.actors import Actor, engine
from execution_project.common.events import record
from execution_project.common.installation import prefix, take_new_prefix
from execution_project.common.locking import ordered
from orders.claiming import row_to_post
from orders.ingest import lock_orders
from orders.lifecycle import CommandStatus, OrderStatus
from orders.models import Attempt, AttemptKind, Command, CommandKind, Order
from orders.queues import ring_reading
from orders.reconciliation import read_trades_again, reconcile, symbols_to_read_again
from orders.reconciling_schedule import accounts_to_reconcile
from risk.boot_halt import accounts_halted_for_boot, halt_for_boot, halted_for_boot_since, lift_boot_halt

log = logging.getLogger(__name__)

# An exchange's order history can be asked for at most a day; with the margins of a search.
LONGEST_WINDOW_MS = 86_300_000
ARRIVES_WITHIN_MS = 5_000


def boot() -> int:
    """Halt every account with open books until it is reconciled; returns how many. No call to an exchange is made."""
    by = engine("boot", "start")
    looked_for = look_for_what_a_copy_believes_waiting(by=by)
    if looked_for:
        log.warning("this database was restored: %d orders that it believes waiting are looked for", looked_for)
    return sum(_halt(account, by=by) for account in accounts_to_reconcile())


def _halt(account: Account, *, by: Actor) -> bool:
    """Halt an account until all of its books, with the trades of the last day, were compared; whether it did."""
    if account.name not in accounts_halted_for_boot():  # else a start was cut short, which goes on where it was
        read_trades_again(account)
    return halt_for_boot(account.name, by=by)


def ring_boot_reconciliations() -> int:
    """Ring for every account whose start is not finished."""
    rung = 0
    for account in Account.objects.filter(name__in=accounts_halted_for_boot()).order_by("id"):
        task = "orders.tasks.reconcile_after_boot"
        rung += ring_reading(account.exchange, f"reconcile-boot:{account.pk}", task, account.pk)
    return rung


def finish_boot(account: Account) -> bool:
    """Compare all parts of the account's books, and when all succeeded let it trade again; whether it does now.

    What succeeded since the halt is not asked again: where the rate budget is too small for all symbols at once, the
    next call goes on. Balances come last. While a booked fill was looked for once and not shown, the account stays
    halted: the next call reads its symbol a second time. A halt that a person or the engine set meanwhile stays.
    """
    by = engine("boot", "start")
    since = halted_for_boot_since(account.name)
    for parts in (_still_to_compare(account, since), ("balances",)):
        outcome = reconcile(account, parts=parts, by=by, unless_read_since=since)
        if not outcome.succeeded:
            log.warning("account %s stays halted: %s", account.name, outcome.failed or "some trades cannot be read yet")
            return False
    unsure = symbols_to_read_again(account)
    if unsure:
        log.warning("account %s stays halted: fills of %s are looked for a second time", account.name, unsure)
        return False
    return lift_boot_halt(account.name, by=by)


def _still_to_compare(account: Account, since: datetime | None) -> tuple[str, ...]:
    """Orders and trades, without the orders when they were compared since."""
    orders_at = freshness_of(account).orders_at
    return ("trades",) if since is not None and orders_at is not None and orders_at > since else ("orders", "trades")


def after_restore(*, by: Actor) -> tuple[str, int]:
    """By hand, for a restore that cannot be noticed (the same database overwritten): halt, take a new prefix, look for
    what waits. Returns the new prefix and how many orders are looked for. Everything else must be stopped."""
    fresh = take_new_prefix(by=by)
    looked_for = look_for_what_a_copy_believes_waiting(by=by)
    for account in accounts_to_reconcile():
        _halt(account, by=by)
    return fresh, looked_for


def count_waiting() -> int:
    """How many queued commands would bring an order to the exchange."""
    return sum(row_to_post(command) is not None for command in _waiting())


def _waiting() -> list[Command]:
    queued = Command.objects.filter(
        status=CommandStatus.QUEUED, kind__in=[CommandKind.SUBMIT, CommandKind.REPLACE]
    ).select_related("exchange_order", "planned")
    return list(queued.order_by("created_at"))


def look_for_what_a_copy_believes_waiting(*, by: Actor) -> int:
    """Turn queued submits and replaces under a former prefix into such whose outcome is unknown; returns how many."""
    waiting = _waiting()
    # Asked after the database was: a prefix remembered from before the restore is forgotten with the old connection.
    present = prefix()
    stale = [
        (command.id, command.order_id)
        for command in waiting
        if (row := row_to_post(command)) is not None and not row.client_order_id.startswith(present)
    ]
    for command_id, order_id in stale:
        _make_unknown(command_id, order_id, by)
    return len(stale)


def _make_unknown(command_id: UUID, order_id: UUID, by: Actor) -> None:
    with ordered() as locks:
        order = lock_orders(locks, [order_id])[order_id]
        command = Command.objects.select_related("exchange_order", "planned").get(id=command_id)
        if command.status != CommandStatus.QUEUED:
            return
        attempt = _attempt_it_may_have_made(order, command)
        command.fence = attempt.fence
        command.move(CommandStatus.CLAIMED, by, evidence={"why": "restored"})
        command.move(CommandStatus.UNKNOWN, by, evidence={"attempt": str(attempt.id)})
        command.save()
        if order.status == OrderStatus.PENDING:
            order.move(OrderStatus.SUBMITTING, by, evidence={"why": "restored"})
            order.move(OrderStatus.SUBMIT_UNKNOWN, by, evidence={"attempt": str(attempt.id)})
            order.version += 1
            order.updated_at = clock.now()
            order.save()
        record("order.may_have_been_sent", "order", order.id, by, evidence={"command": str(command.id)})


def _attempt_it_may_have_made(order: Order, command: Command) -> Attempt:
    """The call that the forgotten engine may have made at any time since it was asked for, until just now."""
    now = clock.now()
    replaces = command.kind == CommandKind.REPLACE
    stamp_ms = clock.to_ms(command.created_at if replaces else order.created_at)
    window_ms = min(clock.to_ms(now) - stamp_ms + ARRIVES_WITHIN_MS, LONGEST_WINDOW_MS)
    return Attempt.objects.create(
        command=command,
        exchange_order=row_to_post(command) or command.exchange_order,
        kind=AttemptKind.REPLACE if replaces else AttemptKind.SUBMIT,
        fence=command.fence + 1,
        stamp_ms=stamp_ms,
        recv_window_ms=max(window_ms, ARRIVES_WITHIN_MS),
        send_by=now,
        body_hash="",
        worker="before the restore",
        claimed_at=now,
        answered_at=now,
        outcome=OutcomeKind.UNKNOWN.value,
        message="The database was restored: it may have been sent since the backup.",
    )
