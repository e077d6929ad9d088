"""Overriding what denied an order: two persons, named limits, ten minutes, once."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from exchanges.models import Account, Quote
from execution_project.common import clock
from execution_project.common.actors import Actor
from execution_project.common.approvals import consequences, decide_and_carry_out
from execution_project.common.models import Approval, Event
from execution_project.common.problems import Problem
from execution_project.common.rights import EVERYTHING, OF_GROUP
from orders.models import Order
from orders.overriding import propose_override
from risk.controls.catalogue import CATALOGUE
from risk.limits import tighten_or_set
from risk.models import Decision, Reservation
from risk.overriding import why_never
from risk.trading_state import halt
from tests.commands import run
from tests.factories import BY, api_key, funded_account, whole_order
from tests.orders.test_orders_api import call
from tests.orders.test_placing import ask

pytestmark = pytest.mark.django_db
D = Decimal
RITA, OTTO = (Actor(f"user:{name}", "admin", rights=EVERYTHING) for name in ("rita", "otto"))
REASON = "one client's rebalancing, agreed with the desk"
NOTIONAL = "max_order_notional"


@pytest.fixture
def account() -> Account:
    account = funded_account(USDT="100000")
    tighten_or_set(NOTIONAL, "sandbox", "global", "", D("50"), reason="test", by=BY)
    return account


def denied(account: Account, key: str = "one", **changes: object) -> Order:
    order = ask(account, key, **changes).order
    assert order.status == "denied", order.reason
    return order


def overridden(order: Order, *controls: str) -> tuple[str, Order | None]:
    """What approving says, and the order that was placed."""
    approval = propose_override(order.id, controls or (NOTIONAL,), reason=REASON, by=RITA)
    said = decide_and_carry_out(approval.id, approved=True, by=OTTO)
    return said, Order.objects.filter(idempotency_key=f"override-{order.id}").first()


def test_a_denied_order_is_placed_once_past_the_limit_that_denied_it(account: Account) -> None:
    order = denied(account, strategy=None, quantity=D("0.001"))
    approval = propose_override(order.id, [NOTIONAL], reason=REASON, by=RITA)
    assert approval.expires_at - approval.requested_at == timedelta(minutes=10)
    assert any("global allows 50" in line for line in consequences(approval))
    with pytest.raises(Problem, match="cannot approve"):
        decide_and_carry_out(approval.id, approved=True, by=RITA)
    said = decide_and_carry_out(approval.id, approved=True, by=OTTO)
    placed = Order.objects.get(idempotency_key=f"override-{order.id}")
    assert (placed.status, str(placed.id) in said) == ("pending", True)
    assert (placed.side, placed.type, placed.quantity, placed.price) == (
        *(order.side, order.type, order.quantity),
        order.price,
    )
    decision = Decision.objects.get(id=placed.decision_id)
    assert decision.accepted
    result = next(row for row in decision.results if row["control"] == NOTIONAL)
    assert (result["outcome"], result["code"], result["limit"]) == ("overridden", "MAX_ORDER_NOTIONAL", "50")
    assert decision.inputs["override"] == {
        "order": str(order.id),
        "controls": [NOTIONAL],
        "approval": str(approval.id),
        "asked_by": "user:rita",
        "approved_by": "user:otto",
        "reason": REASON,
    }
    assert Reservation.objects.get(order_id=placed.id).amount > 0
    event = Event.objects.get(kind="order.overridden")
    assert (event.subject_id, event.actor, event.evidence["order"]) == (str(order.id), "user:otto", str(placed.id))
    assert Approval.objects.get(id=approval.id).used_at is not None
    assert Order.objects.get(id=order.id).status == "denied"
    # Once: neither this approval nor another one places it again.
    with pytest.raises(Problem, match="overridden before"):
        propose_override(order.id, [NOTIONAL], reason=REASON, by=RITA)
    assert Order.objects.count() == 2


def test_what_is_not_named_denies_again_and_spends_the_approval(account: Account) -> None:
    order = denied(account)
    approval = propose_override(order.id, [NOTIONAL], reason=REASON, by=RITA)
    halt("account", account.name, reason="test", by=BY)
    said = decide_and_carry_out(approval.id, approved=True, by=OTTO)
    placed = Order.objects.get(idempotency_key=f"override-{order.id}")
    assert (placed.status, placed.reason) == ("denied", "TRADING_HALTED")
    assert said.startswith("Denied again")
    outcomes = {row["control"]: row["outcome"] for row in Decision.objects.get(id=placed.decision_id).results}
    assert (outcomes["trading_state"], outcomes[NOTIONAL]) == ("breach", "overridden")
    assert not Reservation.objects.exists()
    assert Approval.objects.get(id=approval.id).used_at is not None


def test_a_limit_that_is_not_named_denies_again(account: Account) -> None:
    order = denied(account)
    approval = propose_override(order.id, [NOTIONAL], reason=REASON, by=RITA)
    tighten_or_set("max_working_orders", "sandbox", "global", "", D(0), reason="test", by=BY)
    assert decide_and_carry_out(approval.id, approved=True, by=OTTO).startswith("Denied again")
    assert Order.objects.get(idempotency_key=f"override-{order.id}").reason == "MAX_WORKING_ORDERS"


def test_it_lapses_after_ten_minutes(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    approval = propose_override(denied(account).id, [NOTIONAL], reason=REASON, by=RITA)
    later = approval.expires_at
    monkeypatch.setattr(clock, "now", lambda: later)
    with pytest.raises(Problem, match="lapsed"):
        decide_and_carry_out(approval.id, approved=True, by=OTTO)
    assert Order.objects.count() == 1


def test_only_an_order_that_the_gate_denied_and_by_exactly_the_limits_named(account: Account) -> None:
    tighten_or_set("permission", "sandbox", "global", "", D(1), reason="test", by=BY)
    order = denied(account)
    for controls in ([], ["permission", NOTIONAL], ["max_spread"]):
        with pytest.raises(Problem, match="Name exactly what denied it: max_order_notional"):
            propose_override(order.id, controls, reason=REASON, by=RITA)
    with pytest.raises(Problem, match="at least 20"):
        propose_override(order.id, [NOTIONAL], reason="because", by=RITA)
    with pytest.raises(Problem, match="change_limits"):
        propose_override(order.id, [NOTIONAL], reason=REASON, by=Actor("user:tom", "x", rights=OF_GROUP["trader"]))
    with pytest.raises(Problem, match="the gate denied"):
        propose_override(whole_order(account=account).id, [NOTIONAL], reason=REASON, by=RITA)
    funds = denied(account, "funds", quantity=D(5))
    with pytest.raises(Problem, match=r"funds .INSUFFICIENT_FUNDS. is never overridden"):
        propose_override(funds.id, ["funds", NOTIONAL], reason=REASON, by=RITA)
    tighten_or_set("permission", "sandbox", "global", "", D(0), reason="test", by=BY)
    closed = denied(account, "closed")
    with pytest.raises(Problem, match=r"permission .NOT_PERMITTED. is never overridden"):
        propose_override(closed.id, ["permission", NOTIONAL], reason=REASON, by=RITA)
    Quote.objects.all().delete()
    with pytest.raises(Problem, match="never overridden"):
        propose_override(denied(account, "unpriced").id, [NOTIONAL], reason=REASON, by=RITA)


def test_nothing_that_is_no_limit_and_nothing_unknown_is_overridable() -> None:
    for control in ("trading_state", "health", "venue_filters", "reduce_only", "funds", "permission", "market_orders"):
        assert why_never(control, "X", known=True) is not None
    assert why_never(NOTIONAL, "LIMIT_NOT_SET", known=True) is not None
    free = [name for name in CATALOGUE if why_never(name, "X", known=True) is None]
    assert NOTIONAL in free
    assert [name for name in free if why_never(name, "X", known=False) is None] == []


def test_it_is_proposed_at_the_api_and_by_command(account: Account) -> None:
    order, key = denied(account), api_key("operate")
    path, body = f"order/{order.id}/override", {"controls": [NOTIONAL], "reason": REASON}
    status, document, _ = call("POST", path, body, key=key)
    assert (status, document["approval"]["act"], document["approval"]["subject"]) == (
        *(202, "override_order"),
        str(order.id),
    )
    assert call("POST", path, {**body, "controls": ["max_spread"]}, key=key)[1]["code"] == "NOT_OVERRIDABLE"
    for wrong, pointer in (({**body, "controls": []}, "/controls"), ({**body, "reason": "short"}, "/reason")):
        status, problem, _ = call("POST", path, wrong, key=key)
        assert (status, problem["errors"][0]["pointer"]) == (400, pointer)
    assert call("POST", path, body, key=api_key("operate", accounts=[]))[1]["code"] == "UNKNOWN_ORDER"
    proposed = run("override_order", order.id, NOTIONAL, "--reason", REASON, "--json")
    assert proposed.code == 3
    assert "Past: The order is worth" in " ".join(proposed.document["approval"]["consequences"])
    assert Order.objects.count() == 1
