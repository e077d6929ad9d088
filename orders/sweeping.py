"""The sweeper: what a lost doorbell, a dead worker or a passed deadline leaves behind is picked up here.

Every tick is short, idempotent and safe to run beside itself; the ticker calls them (settings.EXEC_TICKS).
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Case, F, Min, Q, When
from django_q.models import OrmQ

from exchanges import rate_budget
from exchanges.models import Account, Exchange, Mode
from exchanges.paper.feed import accounts_to_match, prune_prints
from exchanges.paper.public import public_markets
from exchanges.reports import OutcomeKind
from exchanges.versions import prune_versions
from execution_project.common import clock, fault_hooks
from execution_project.common.actors import Actor, engine
from execution_project.common.chores import ring_chore
from execution_project.common.doorbell import ring
from execution_project.common.events import record
from execution_project.common.locking import ordered
from orders.claiming import current_exchange_order, deny
from orders.following import accounts_to_follow
from orders.ingest import finish_commands, lock_orders, refresh
from orders.lifecycle import ENDED, CommandStatus, OrderStatus
from orders.models import NEVER_SENT, Attempt, AttemptKind, Command, CommandKind, ExchangeOrder, Order
from orders.notifications import notify_after_commit
from orders.queues import cancel_queue, probe_queue, ring_reading, submit_queue
from orders.replacement import end_as_canceled, rest_not_sent

RING_AGAIN = timedelta(seconds=3)
# A command and its doorbell are written in one transaction, one a moment after the other.
RUNG_TOGETHER = timedelta(seconds=1)
# Connect 3 s + answer 13 s (the adapter's timeouts) + the database's own timeouts, with room: after this a claim
# without an answer has nobody left who could bring one.
CLAIM_SILENCE = timedelta(seconds=40)
BATCH = 200
NOT_SUBMIT = ~Q(kind=CommandKind.SUBMIT)


def ring_due_commands() -> int:
    """Ring again for queued commands whose time has come and whose doorbell may be lost.

    Not where it may still wait in a queue that is behind: doorbells upon doorbells would only hold up what comes later.
    """
    now = clock.now()
    with transaction.atomic():
        due = list(
            Command.objects.filter(status=CommandStatus.QUEUED)
            .exclude(not_before__gt=now)
            .exclude(rung_at__gt=now - RING_AGAIN, not_before__isnull=True)
            .exclude(_doorbell_waits(now))
            .select_related("order__account")
            .select_for_update(skip_locked=True, of=("self",), no_key=True)
            .order_by("rung_at")[:BATCH]
        )
        for command in due:
            queue_of = submit_queue if command.kind == CommandKind.SUBMIT else cancel_queue
            ring(queue_of(command.order.account.exchange), f"orders.tasks.{command.kind}", str(command.id))
        Command.objects.filter(id__in=[command.id for command in due]).update(rung_at=now, not_before=None)
        fault_hooks.reach("before_ringing_commit")
    fault_hooks.reach("after_ringing")
    return len(due)


def _doorbell_waits(now: datetime) -> Q:
    """Commands that were rung no earlier than what waits longest in their queue: queues are first in, first out."""
    waits = Q(pk__in=[])
    # A row that was pulled has its lock in the future.
    waiting = OrmQ.objects.filter(lock__lte=now).order_by().values_list("key").annotate(oldest=Min("lock"))
    for queue, oldest in waiting:
        for exchange in Exchange.values:
            kinds = {submit_queue(exchange): Q(kind=CommandKind.SUBMIT), cancel_queue(exchange): NOT_SUBMIT}
            if queue in kinds:
                rung = Q(order__account__exchange=exchange, rung_at__gte=oldest - RUNG_TOGETHER)
                waits |= kinds[queue] & rung & Q(not_before__isnull=True)
    return waits


def expire_stale_intents() -> int:
    """End submits that nobody claimed within ``valid_for``: denied, or canceled for the rest of a replace."""
    now = clock.now()
    by = engine("sweeper", "valid_for passed")
    queued = Command.objects.filter(kind=CommandKind.SUBMIT, status=CommandStatus.QUEUED, order__valid_until__lt=now)
    stale = list(queued.values_list("order_id", flat=True)[:BATCH])
    detail = "The order was not sent within its valid_for."
    for order_id in stale:
        with ordered() as locks:
            order = lock_orders(locks, [order_id])[order_id]
            row = current_exchange_order(order)
            if order.valid_until >= now:
                continue
            if order.status == OrderStatus.PENDING:
                deny(order, row, "STALE_INTENT", detail, by=by)
            elif rest_not_sent(order, row):
                end_as_canceled(order, row, NEVER_SENT, "STALE_INTENT", detail, by)
                finish_commands(order, by=by)
            fault_hooks.reach("before_expiry_commit")
        fault_hooks.reach("after_expiry")
    return len(stale)


def recover_silent_claims() -> int:
    """A claim whose worker never answered: the bytes may have gone out. A submit becomes unknown, a cancel is queued
    again."""
    by = engine("sweeper", "claim without answer")
    silent = list(
        Attempt.objects.filter(outcome="", send_by__lt=clock.now() - CLAIM_SILENCE).values_list(
            "id", "command__order_id"
        )[:BATCH]
    )
    for attempt_id, order_id in silent:
        with ordered() as locks:
            order = lock_orders(locks, [order_id])[order_id]
            attempt = Attempt.objects.get(id=attempt_id)
            if attempt.outcome:
                continue
            _give_up(order, attempt, by)
            fault_hooks.reach("before_recovery_commit")
        fault_hooks.reach("after_recovery")
    return len(silent)


def _give_up(order: Order, attempt: Attempt, by: Actor) -> None:
    """Nobody is left who could bring the attempt's answer; the caller holds the order's lock."""
    attempt.outcome = OutcomeKind.UNKNOWN.value
    attempt.message = "The worker never answered."
    attempt.save(update_fields=["outcome", "message"])
    command = Command.objects.get(id=attempt.command_id)
    record("attempt.silent", "order", order.id, by, evidence={"attempt": str(attempt.id), "by": attempt.worker})
    if command.status != CommandStatus.CLAIMED or command.fence != attempt.fence:
        return
    if attempt.kind in {AttemptKind.CANCEL, AttemptKind.AMEND}:
        # Both ask for a state and may be asked again.
        command.move(CommandStatus.QUEUED, by)
        command.save()
        return
    command.move(CommandStatus.UNKNOWN, by)
    if attempt.kind == AttemptKind.REPLACE:
        command.save()
        # Trades of the old exchange order that are booked already may tell that it was not executed.
        refresh(order, list(order.exchange_orders.order_by("generation")), [], by=by)
        ring(probe_queue(order.account.exchange), "orders.tasks.probe", str(order.id))
        return
    known = ExchangeOrder.objects.get(id=command.exchange_order_id).reported is not None
    if order.status != OrderStatus.SUBMITTING and known:
        # Somebody else's report told the outcome already.
        command.move(CommandStatus.DONE, by)
        command.finished_at = clock.now()
    command.save()
    if order.status == OrderStatus.SUBMITTING:
        order.move(OrderStatus.SUBMIT_UNKNOWN, by, evidence={"attempt": str(attempt.id)})
        order.version += 1
        order.updated_at = clock.now()
        order.save()
        notify_after_commit(order.id)
        ring(probe_queue(order.account.exchange), "orders.tasks.probe", str(order.id))


def resume_answered_commands() -> int:
    """Cancels and replaces whose answer is stored but whose worker died before it had looked after it: asked again."""
    by = engine("sweeper", "answered and not closed")
    stuck = list(
        Command.objects.filter(
            status=CommandStatus.CLAIMED,
            kind__in=[CommandKind.CANCEL, CommandKind.REPLACE],
            attempts__fence=F("fence"),
            attempts__answered_at__lt=clock.now() - CLAIM_SILENCE,
        ).values_list("id", "order_id")[:BATCH]
    )
    for command_id, order_id in stuck:
        with ordered() as locks:
            order = lock_orders(locks, [order_id])[order_id]
            command = Command.objects.select_related("planned").get(id=command_id)
            if command.status == CommandStatus.CLAIMED:
                command.move(CommandStatus.QUEUED, by)
                command.save()
            if order.status in ENDED:
                finish_commands(order, by=by)
            fault_hooks.reach("before_resumption_commit")
        fault_hooks.reach("after_resumption")
    return len(stuck)


def ring_probes() -> int:
    """Look again for unknown orders when the last look said to, those that wait longest first."""
    rung = 0
    unknown = Command.objects.filter(
        status=CommandStatus.UNKNOWN, kind__in=[CommandKind.SUBMIT, CommandKind.REPLACE]
    ).select_related("order__account")
    # Of the exchange order that may have been placed (``orders.absence.placement_of``).
    next_at = Case(
        When(planned__isnull=True, then=F("exchange_order__look_next_at")), default=F("planned__look_next_at")
    )
    due = unknown.annotate(next_at=next_at).filter(Q(next_at__isnull=True) | Q(next_at__lte=clock.now()))
    for command in due.order_by(F("next_at").asc(nulls_first=True), "created_at")[:BATCH]:
        queue = probe_queue(command.order.account.exchange)
        rung += ring_chore(queue, f"probe:{command.order_id}", "orders.tasks.probe_chore", str(command.order_id))
    return rung


def ring_following() -> int:
    """Follow every account that has something at the exchange."""
    return sum(
        ring_reading(account.exchange, f"follow:{account.pk}", "orders.tasks.follow", account.pk)
        for account in accounts_to_follow()
    )


def ring_market_data() -> int:
    """Refresh quotes, once per exchange and mode, through any account of it. Those of paper markets come with the
    market that feeds them (``exchanges.paper.feed``)."""
    rung = 0
    for account in _one_account_per_market():
        if account.mode == Mode.PAPER:
            continue
        name = f"quotes:{account.exchange}:{account.mode}"
        rung += ring_reading(account.exchange, name, "orders.tasks.refresh_quotes", account.pk)
    for account in public_markets():
        name = f"quotes:{account.exchange}:{account.mode}"
        rung += ring_reading(account.exchange, name, "orders.tasks.refresh_public_quotes", account.exchange)
    return rung


def ring_instruments() -> int:
    """Read pairs, filters and status again, once per exchange and mode: a halted pair must be known as such."""
    rung = 0
    for account in _one_account_per_market():
        name = f"instruments:{account.exchange}:{account.mode}"
        rung += ring_reading(account.exchange, name, "orders.tasks.refresh_instruments", account.pk)
    for account in public_markets():
        name = f"instruments:{account.exchange}:{account.mode}"
        rung += ring_reading(account.exchange, name, "orders.tasks.refresh_public_instruments", account.exchange)
    return rung


def ring_account_data() -> int:
    """Refresh balances and the clock sample of every account with open books."""
    rung = 0
    for account in Account.objects.filter(books_opened_at__isnull=False):
        rung += ring_reading(account.exchange, f"balances:{account.pk}", "orders.tasks.refresh_balances", account.pk)
        rung += ring_reading(account.exchange, f"clock:{account.pk}", "orders.tasks.sample_clock", account.pk)
    return rung


def ring_paper_matching() -> int:
    """Let the open orders of paper accounts meet what the market has done since."""
    return sum(
        ring_reading(account.exchange, f"paper:{account.pk}", "orders.tasks.match_paper", account.pk)
        for account in accounts_to_match()
    )


def prune_counters() -> int:
    """Drop rate windows that ended long ago, public trades that no paper order can meet any more, and what processes of
    yesterday said of themselves."""
    return rate_budget.prune() + prune_prints() + prune_versions()


def _one_account_per_market() -> list[Account]:
    markets: dict[tuple[str, str], Account] = {}
    for account in Account.objects.order_by("id"):
        markets.setdefault((account.exchange, account.mode), account)
    return list(markets.values())
