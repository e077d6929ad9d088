"""Commands that end what is unknown and what differs: one person proposes, another one decides."""

from __future__ import annotations

import pwd
from decimal import Decimal

import pytest

from execution_project.common import ids
from execution_project.common.models import Approval, Event
from orders.models import Break, Order
from positions.models import Holding
from tests.commands import row_counts, run
from tests.factories import AbsenceEvidenceFactory, AccountFactory, BreakFactory, lost_order, whole_order

pytestmark = pytest.mark.django_db(transaction=True)
REASON = ("--reason", "the exchange's support says so")


def somebody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    account = pwd.struct_passwd(("rita", "x", 4711, 4711, "", "/", "/bin/sh"))
    monkeypatch.setattr(pwd, "getpwuid", lambda _uid: account)


def test_an_unknown_order_is_ended_by_two_users_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    order = lost_order()
    before = row_counts()
    rehearsed = run("resolve_order", order.id, "--outcome", "rejected", *REASON, "--dry-run")
    assert (rehearsed.code, row_counts()) == (0, before)
    assert "The order ends rejected: the exchange never accepted it." in rehearsed.out
    proposed = run("resolve_order", order.id, "--outcome", "rejected", *REASON, "--json")
    assert proposed.code == 3
    assert "a second person has to approve it" in proposed.err
    approval = proposed.document["approval"]
    assert approval["consequences"][0] == "The order ends rejected: the exchange never accepted it."
    [listed, count] = run("approvals", "--json").documents
    assert (listed["id"], listed["subject"], count) == (approval["id"], str(order.id), {"proposals": 1})
    assert "What is reserved for it is released" in run("approvals").out

    own = run("approve", approval["id"], *REASON, "--json")
    assert (own.code, own.document["problem"]["code"]) == (1, "APPROVAL_OWN_REQUEST")
    somebody_else(monkeypatch)
    before = row_counts()
    rehearsed = run("approve", approval["id"], *REASON, "--dry-run")
    assert (rehearsed.code, row_counts(), Approval.objects.get().approved) == (0, before, None)
    assert "The order ends rejected" in rehearsed.out
    said = run("approve", approval["id"], "--reason", "seen it too")
    assert (said.code, said.out) == (0, f"Order {order.id} was resolved by hand and is rejected.\n")
    assert Order.objects.get().status == "rejected"
    granted = Event.objects.get(kind="approval.granted")
    assert (granted.actor, granted.cause) == ("command:rita", "approve: seen it too")
    assert run("approvals").out == "0 open proposals.\n"
    again = run("approve", approval["id"], *REASON, "--json")
    assert (again.code, again.document["problem"]["code"]) == (1, "APPROVAL_DECIDED")


def test_what_cannot_be_resolved_is_refused_and_proposes_nothing() -> None:
    known, closed = whole_order(status="open"), whole_order(status="closed_unverified")
    before = row_counts()
    for order, outcome, code in (
        (known.id, "rejected", "NOT_UNKNOWN"),
        (closed.id, "rejected", "OUTCOME_NOT_POSSIBLE"),
        (ids.uuid7(), "rejected", "UNKNOWN_ORDER"),
    ):
        ran = run("resolve_order", order, "--outcome", outcome, *REASON, "--json")
        assert (ran.code, ran.document["problem"]["code"]) == (1, code)
    assert run("resolve_order", known.id, "--outcome", "filled", *REASON).code == 1
    assert row_counts() == before


def test_a_refused_proposal_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    order = lost_order()
    run("resolve_order", order.id, "--outcome", "canceled", *REASON)
    approval = Approval.objects.get()
    somebody_else(monkeypatch)
    before = row_counts()
    assert "Would refuse" in run("refuse", approval.id, "--dry-run").out
    assert row_counts() == before
    assert run("refuse", approval.id, "--json").document["approved"] is False
    assert Order.objects.get().status == "submit_unknown"
    for name in ("approve", "refuse"):
        ran = run(name, approval.id, "--reason", "x", "--json")
        assert ran.document["problem"]["code"] == "APPROVAL_DECIDED"
        ran = run(name, ids.uuid7(), "--reason", "x", "--json")
        assert (ran.code, ran.document["problem"]["code"]) == (1, "UNKNOWN_APPROVAL")
        assert "`approvals` lists them" in run(name, "nonsense", "--reason", "x").err


def test_what_was_granted_and_failed_is_carried_out_again(monkeypatch: pytest.MonkeyPatch) -> None:
    row = BreakFactory(kind="balance_mismatch", subject="USDT", difference=Decimal(5))
    approval = run("resolve_break", row.id, *REASON, "--json").document["approval"]["id"]
    somebody_else(monkeypatch)
    Break.objects.update(difference=Decimal(6))
    failed = run("approve", approval, *REASON, "--json")
    assert (failed.code, failed.document["problem"]["code"]) == (1, "BREAK_CHANGED")
    assert "granted, not carried out" in run("approvals").out
    Break.objects.update(difference=Decimal(5))
    assert "Its difference is booked as a transfer." in run("approve", approval, *REASON, "--again").out
    assert (Break.objects.get().status, Holding.objects.get().quantity) == ("resolved", Decimal(5))


def test_breaks_are_a_table_and_open_ones_are_told() -> None:
    assert (run("breaks").code, run("breaks").out) == (0, "0 breaks, 0 of them open.\n")
    row = BreakFactory(account=AccountFactory(name="main"), subject="BTCUSDT 77")
    BreakFactory(status="suspected")
    other = BreakFactory(status="acknowledged", owner="night desk")
    ran = run("breaks")
    assert ran.code == 3
    heading, newest, older, count = ran.out.splitlines()
    assert heading.split()[:4] == ["id", "opened_at", "age", "account"]
    assert newest.startswith(str(other.id)) and newest.endswith("night desk")
    assert "BTCUSDT 77" in older and older.index("main") == heading.index("account")
    assert count == "2 breaks, 2 of them open."
    assert [each.get("id") for each in run("breaks", "--account", "main", "--json").documents] == [str(row.id), None]
    assert run("breaks", "--status", "acknowledged", "--json").documents[0]["id"] == str(other.id)
    assert run("breaks", "--status", "resolved").code == 0
    assert run("breaks", "--account", "nobody", "--json").document["problem"]["code"] == "UNKNOWN_ACCOUNT"


def test_a_mild_break_ends_with_a_reason() -> None:
    row = BreakFactory()
    before = row_counts()
    assert "Would resolve unknown_order" in run("resolve_break", row.id, *REASON, "--dry-run").out
    assert (row_counts(), Break.objects.get().status) == (before, "open")
    short = run("resolve_break", row.id, "--reason", "x", "--json")
    assert (short.code, short.document["problem"]["code"]) == (1, "INVALID_REASON")
    assert run("resolve_break", row.id, *REASON, "--json").document["status"] == "resolved"
    assert run("resolve_break", row.id, *REASON, "--json").document["problem"]["code"] == "BREAK_RESOLVED"
    assert "`breaks` lists them" in run("resolve_break", "nonsense", *REASON).err


def test_a_severe_break_is_only_proposed() -> None:
    row = BreakFactory(severity="critical")
    before = row_counts()
    assert "Would propose" in run("resolve_break", row.id, *REASON, "--dry-run").out
    assert row_counts() == before
    ran = run("resolve_break", row.id, *REASON)
    assert ran.code == 3
    assert "No books change" in ran.out
    assert (Break.objects.get().status, Approval.objects.get().act) == ("open", "resolve_break")


def test_an_explained_order_shows_its_evidence() -> None:
    order = lost_order()
    row = order.exchange_orders.get()
    AbsenceEvidenceFactory(exchange_order=row, at=0)
    AbsenceEvidenceFactory(exchange_order=row, at=10)
    page = run("explain_order", order.id).out
    assert "round negative; counts" in page
    assert "round negative; does not count, less than 30 s after the one before" in " ".join(page.split())
    assert "open_orders: HTTP 200, 2 characters" in page
    [first, _] = run("explain_order", order.id, "--json").document["evidence"]
    assert (first["counts"], first["answers"][0]["body"]) == (True, "[]")
