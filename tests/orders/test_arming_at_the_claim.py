"""A live account that is not armed sends no order: the claim denies it, whatever was accepted before."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, cast

import pytest

from exchanges.adapters import ExchangeAdapter
from execution_project.common import clock
from execution_project.common.installation import prefix
from orders.claiming import claim
from orders.models import Attempt, Command, Order
from tests.factories import AccountFactory, whole_order

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("flag", [False, True])
def test_an_order_of_an_unarmed_live_account_is_denied_unsent(settings: Any, flag: bool) -> None:
    settings.EXEC_LIVE_TRADING = flag
    account = AccountFactory(mode="live", rest_url="https://api.binance.com")
    order = whole_order(account=account, status="pending", valid_until=clock.now() + timedelta(minutes=1))
    row = order.exchange_orders.get()
    row.client_order_id = prefix() + row.client_order_id[2:]
    row.save()
    command = Command.objects.filter(order=order).first() or Command.objects.create(
        order=order,
        exchange_order=row,
        kind="submit",
        requested_by="x",
        rung_at=clock.now(),
        created_at=clock.now(),
    )
    assert claim(command.id, cast(ExchangeAdapter, None), clock.now_ms(), None) is None
    ended = Order.objects.get(id=order.id)
    assert (ended.status, ended.reason) == ("denied", "NOT_ARMED")
    assert ("EXEC_LIVE_TRADING" if not flag else "arm_live") in ended.detail
    assert not Attempt.objects.exists()
