"""What is asked of one exchange never waits behind what is asked of another."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django_q.models import OrmQ
from django_q.signing import SignedPackage

from exchanges.models import Account
from execution_project.common import clock
from execution_project.common.doorbell import ring
from execution_project.common.models import Chore
from orders import boot, killing, reconciling_schedule, sweeping
from orders.models import Command, Order
from orders.queues import cancel_queue, submit_queue
from orders.sync_requests import facts_of, request_sync
from tests.factories import BY, AccountFactory, lost_order, whole_order

pytestmark = pytest.mark.django_db


def synced() -> None:
    for account in Account.objects.all():
        request_sync(account, list(facts_of(account)), reason="a look", by=BY)


@pytest.mark.parametrize(
    "ring",
    [
        sweeping.ring_following,
        sweeping.ring_market_data,
        sweeping.ring_instruments,
        sweeping.ring_account_data,
        reconciling_schedule.ring_order_reconciliations,
        reconciling_schedule.ring_trade_reconciliations,
        boot.ring_boot_reconciliations,
        synced,
    ],
)
def test_every_exchange_is_read_through_a_queue_of_its_own(ring: Callable[[], object]) -> None:
    accounts = [whole_order(status="open", account=AccountFactory(exchange=e)).account for e in ("binance", "btcturk")]
    if ring is boot.ring_boot_reconciliations:
        boot.boot()
        Chore.objects.all().delete()
        OrmQ.objects.all().delete()
    ring()
    exchange_of = {account.pk: account.exchange for account in accounts}
    rung = [(row.key, SignedPackage.loads(row.payload)["args"][0]) for row in OrmQ.objects.all()]
    assert {exchange_of[pk] for _, pk in rung} == {"binance", "btcturk"}
    assert all(queue == f"housekeeping-{exchange_of[pk]}" for queue, pk in rung), rung


def test_the_queue_of_cancels_has_nothing_in_it_that_asks() -> None:
    """Whatever an exchange does not answer, it stands before no cancel."""
    for exchange in ("binance", "btcturk"):
        account = AccountFactory(exchange=exchange)
        whole_order(status="open", account=account)
        lost_order(account=account)
    sweeping.ring_probes()
    killing.kill("global", "", reason="a test", by=BY)
    rung = {(row.key, SignedPackage.loads(row.payload)["func"].rpartition(".")[2]) for row in OrmQ.objects.all()}
    assert rung == {
        (f"{queue}-{exchange}", task)
        for exchange in ("binance", "btcturk")
        for queue, task in (("cancel", "cancel"), ("probe", "probe_chore"), ("probe", "sweep_killed_account"))
    }


def rung_long_ago(order: Order, seconds: int) -> Command:
    """The order's command, and its doorbell, from so many seconds ago."""
    command = Command.objects.get(order=order)
    ring(submit_queue(order.account.exchange), "orders.tasks.submit", str(command.id))
    at = clock.now() - timedelta(seconds=seconds)
    Command.objects.filter(id=command.id).update(rung_at=at)
    OrmQ.objects.filter(id=OrmQ.objects.latest("id").id).update(lock=at)
    return command


def test_a_command_whose_doorbell_waits_in_line_is_not_rung_again() -> None:
    """A queue that is behind would fall behind further with every look of the sweeper."""
    first, second = (rung_long_ago(whole_order(), seconds) for seconds in (60, 30))
    elsewhere = whole_order(account=AccountFactory(exchange="btcturk"))
    Command.objects.filter(order=elsewhere).update(rung_at=clock.now() - timedelta(seconds=10))
    OrmQ.objects.create(key=cancel_queue("binance"), payload="", lock=clock.now() - timedelta(hours=1))
    assert sweeping.ring_due_commands() == 1, "that of the other exchange, whose doorbell is lost"
    OrmQ.objects.filter(key=submit_queue("binance")).earliest("id").delete()  # that of the first one was answered
    assert sweeping.ring_due_commands() == 1
    assert Command.objects.get(id=first.id).rung_at > Command.objects.get(id=second.id).rung_at
    Command.objects.filter(id=second.id).update(not_before=clock.now())
    assert sweeping.ring_due_commands() == 1, "it was answered, and its time has come"
