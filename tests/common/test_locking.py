"""The one lock order, shared and exclusive trading-state locks, and racing claims of one idempotency key."""

from __future__ import annotations

import itertools
import threading
from uuid import UUID

import pytest
from django.db import connection, transaction

from execution_project.common import clock, ids
from execution_project.common.locking import LockOrderError, Locks, Rank, one_at_a_time, ordered, try_lead
from execution_project.common.models import IdempotencyKey
from orders.models import Order
from positions.models import Holding, Position
from risk.models import Exposure
from tests.factories import HoldingFactory, OrderFactory
from tests.threads import Other, blocked, run_together
from tests.waiting import wait_until


def take(locks: Locks, rank: Rank) -> None:
    """Take any lock of a rank."""
    if rank is Rank.IDEMPOTENCY:
        locks.idempotency("key:a", "k", "h", ids.uuid7(), clock.now())
    elif rank is Rank.ORDERS:
        locks.rows(rank, Order.objects.none())
    elif rank is Rank.HOLDINGS:
        locks.rows(rank, Holding.objects.none())
    elif rank is Rank.POSITIONS:
        locks.rows(rank, Position.objects.none())
    elif rank is Rank.BREAKS:
        one_at_a_time("breaks:1", rank)
    elif rank is Rank.TRADING_STATE:
        locks.share_trading_state(["global"])
    else:
        locks.exposure(Exposure, "paper")


@pytest.mark.django_db
@pytest.mark.parametrize(("first", "second"), list(itertools.product(Rank, Rank)))
def test_a_lock_of_an_earlier_rank_is_refused(first: Rank, second: Rank) -> None:
    with ordered() as locks:
        take(locks, first)
        if second >= first:
            take(locks, second)
        else:
            with pytest.raises(LockOrderError, match=f"{second.name} after {first.name}"):
                take(locks, second)


@pytest.mark.django_db
def test_the_exclusive_lock_of_a_scope_has_the_same_rank_as_the_shared_one() -> None:
    with ordered() as locks:
        locks.exposure(Exposure, "paper")
        with pytest.raises(LockOrderError):
            locks.own_trading_state("global")


@pytest.mark.django_db
def test_a_ranked_lock_of_its_own_transaction_has_no_order_to_keep() -> None:
    with ordered() as locks:
        locks.exposure(Exposure, "paper")
    with transaction.atomic():
        one_at_a_time("breaks:1", Rank.BREAKS)
        one_at_a_time("breaks:2", Rank.BREAKS)


@pytest.mark.django_db(transaction=True)
def test_a_locking_transaction_is_never_nested() -> None:
    with ordered(), pytest.raises(RuntimeError, match="durable"), ordered():
        pass


@pytest.mark.django_db(transaction=True)
def test_rows_are_locked_by_primary_key_whatever_the_query_says() -> None:
    rows = [HoldingFactory(asset=f"A{n}") for n in range(5)]
    with ordered() as locks:
        got = locks.rows(Rank.HOLDINGS, Holding.objects.order_by("-pk"))
    assert [row.pk for row in got] == sorted(row.pk for row in rows)


@pytest.mark.django_db(transaction=True)
def test_a_locked_row_is_waited_for_but_foreign_keys_to_it_are_not() -> None:
    order = OrderFactory()

    def lock_it() -> None:
        with ordered() as locks:
            locks.rows(Rank.ORDERS, Order.objects.filter(pk=order.pk))

    with ordered() as locks:
        locks.rows(Rank.ORDERS, Order.objects.filter(pk=order.pk))
        waiting = Other(lock_it)
        wait_until(blocked, 30, "the other transaction waits")
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM orders_order WHERE id = %s FOR KEY SHARE NOWAIT", [order.pk])
        Other(lambda: key_share(order.pk)).join()
        assert not waiting.ended
    waiting.join()


def key_share(order_id: UUID) -> None:
    """What a foreign key check does."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM orders_order WHERE id = %s FOR KEY SHARE NOWAIT", [order_id])


def share(*scopes: str) -> None:
    with ordered() as locks:
        locks.share_trading_state(scopes)


def own(scope: str) -> None:
    with ordered() as locks:
        locks.own_trading_state(scope)


@pytest.mark.django_db(transaction=True)
def test_shared_locks_of_a_scope_do_not_hold_each_other_up() -> None:
    with ordered() as locks:
        locks.share_trading_state(["global", "account:main"])
        Other(lambda: share("global", "account:main")).join()


@pytest.mark.django_db(transaction=True)
def test_an_exclusive_lock_waits_for_every_sharer_and_keeps_new_ones_out() -> None:
    with ordered() as locks:
        locks.share_trading_state(["global", "account:main"])
        halting = Other(lambda: own("account:main"))
        wait_until(blocked, 30, "the halt waits for the sharer")
        Other(lambda: own("account:other")).join()
    halting.join()
    with ordered() as locks:
        locks.own_trading_state("account:main")
        sharing = Other(lambda: share("global", "account:main"))
        wait_until(blocked, 30, "the sharer waits for the halt")
        Other(lambda: share("global", "account:other")).join()
        assert not sharing.ended
    sharing.join()


@pytest.mark.django_db(transaction=True)
def test_the_exposure_row_is_made_on_first_use_and_serialises() -> None:
    inside, most = [], []
    mutex = threading.Lock()

    def enter() -> None:
        with ordered() as locks:
            assert locks.exposure(Exposure, "sandbox").pk == "sandbox"
            with mutex:
                inside.append(1)
                most.append(len(inside))
            with connection.cursor() as cursor:
                cursor.execute("SELECT count(*) FROM pg_class")
            with mutex:
                inside.pop()

    assert run_together([enter] * 8) == [None] * 8
    assert max(most) == 1
    assert Exposure.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_of_many_claims_of_one_key_one_wins_and_the_others_see_the_winner() -> None:
    def claim() -> tuple[UUID, IdempotencyKey | None]:
        mine = ids.uuid7()
        with ordered() as locks:
            return mine, locks.idempotency("key:desk", "one", "hash", mine, clock.now())

    results = run_together([claim] * 12)
    assert all(isinstance(result, tuple) for result in results), results
    claims = [result for result in results if isinstance(result, tuple)]
    (winner,) = [mine for mine, earlier in claims if earlier is None]
    assert {earlier.resource_id for _, earlier in claims if earlier is not None} == {winner}
    assert IdempotencyKey.objects.get().resource_id == winner


@pytest.mark.django_db(transaction=True)
def test_a_claim_that_was_rolled_back_leaves_the_key_free_for_the_one_that_waited() -> None:
    def claim() -> IdempotencyKey | None:
        with ordered() as locks:
            return locks.idempotency("key:desk", "one", "hash", ids.uuid7(), clock.now())

    with pytest.raises(ZeroDivisionError), ordered() as locks:
        locks.idempotency("key:desk", "one", "hash", ids.uuid7(), clock.now())
        waiting = Other(claim)
        wait_until(blocked, 30, "the second claim waits for the first")
        raise ZeroDivisionError
    assert waiting.join() is None
    assert IdempotencyKey.objects.count() == 1


@pytest.mark.django_db
def test_keys_of_two_principals_do_not_meet() -> None:
    with ordered() as locks:
        assert locks.idempotency("key:a", "one", "hash", ids.uuid7(), clock.now()) is None
        assert locks.idempotency("key:b", "one", "hash", ids.uuid7(), clock.now()) is None
        assert locks.idempotency("key:a", "one", "other", ids.uuid7(), clock.now()) is not None


@pytest.mark.django_db(transaction=True)
def test_one_session_leads_until_its_connection_ends() -> None:
    role = f"role-{ids.uuid7()}"
    release, leading = threading.Event(), threading.Event()

    def lead() -> bool:
        won = try_lead(role)
        leading.set()
        release.wait(30)
        return won

    leader = Other(lead)
    assert leading.wait(30)
    assert try_lead(role) is False
    assert try_lead(role + "-another") is True
    release.set()
    assert leader.join() is True
    assert wait_until(lambda: try_lead(role), 30, "leadership falls free with its connection")
    connection.close()
