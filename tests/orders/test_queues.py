"""What is asked of one exchange never waits behind what is asked of another."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django_q.models import OrmQ
from django_q.signing import SignedPackage

from exchanges.models import Account
from execution_project.common.models import Chore
from orders import boot, reconciling_schedule, sweeping
from orders.sync_requests import facts_of, request_sync
from tests.factories import BY, AccountFactory, whole_order

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
