"""Placing under limits on losses: what increases is denied while the series of equity say too much, or nothing."""

from __future__ import annotations

from decimal import Decimal

import pytest

from exchanges.models import Account, Quote
from execution_project.common import clock
from orders.placing import Placed
from positions.equity import value_mode
from positions.models import EquitySeries
from risk.limits import tighten_or_set
from tests.factories import BY, StrategyFactory, funded_account
from tests.orders.test_placing import ask

pytestmark = pytest.mark.django_db
D = Decimal


@pytest.fixture
def account() -> Account:
    return funded_account(USDT="1000000", BTC="1")


def reasons(placed: Placed) -> list[str]:
    return [result["code"] for result in placed.decision.results if result["outcome"] == "breach"]


def valued() -> None:
    """Two valuations, each with a quote of its own: the second is confirmed."""
    for _ in range(2):
        Quote.objects.update(confirmed_at=clock.now())
        value_mode("sandbox")


def limit(control: str, value: str, kind: str, key: str) -> None:
    tighten_or_set(control, "sandbox", kind, key, D(value), reason="test", by=BY)


def test_equity_that_nobody_has_valued_denies_what_increases_alone(account: Account) -> None:
    limit("max_drawdown", "0.1", "account", account.name)
    assert reasons(ask(account, "a")) == ["EQUITY_UNKNOWN"]
    assert ask(account, "b", side="SELL").order.status == "pending"
    valued()
    assert ask(account, "c").order.status == "pending"


def test_a_fall_denies_before_any_monitor_has_looked(account: Account) -> None:
    StrategyFactory(name="demo")
    for kind, key in (("global", ""), ("account", account.name), ("strategy", "demo")):
        limit("max_drawdown_amount", "30000", kind, key)
    valued()
    assert ask(account, "a", strategy="demo").order.status == "pending"
    quote = Quote.objects.get()
    assert quote.bid is not None
    Quote.objects.update(bid=quote.bid / 2, ask=quote.bid / 2 + 1)
    valued()
    denied = ask(account, "b", price=D("20000"), strategy="demo")
    assert reasons(denied) == ["MAX_DRAWDOWN"]
    [result] = [each for each in denied.decision.results if each["control"] == "max_drawdown_amount"]
    assert result["observed"] == str(quote.bid / 2).rstrip("0").rstrip(".")
    observed = {scope: each["observed"] for scope, each in result["inputs"]["limits"].items()}
    assert observed == {
        "global": result["observed"],
        f"account:{account.name}": result["observed"],
        "strategy:demo": "0",
    }
    assert EquitySeries.objects.count() == 2
