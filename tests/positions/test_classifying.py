"""What was unexplained becomes what it was, by two persons; corrections and busts of fills take back and post anew."""

from __future__ import annotations

import threading
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from django.db.models import Sum

from exchanges.models import Account
from exchanges.reports import Fee
from execution_project.common.actors import Actor
from execution_project.common.approvals import consequences, decide_and_carry_out
from execution_project.common.locking import ordered
from execution_project.common.models import Approval, Event
from execution_project.common.problems import Problem
from execution_project.common.rights import EVERYTHING
from positions.classifying import Classification, classify, in_transit_of, propose_classification
from positions.correcting import Corrected, bust, correct_fill, propose_correction
from positions.models import Fill, FillCorrection, Holding, LedgerEntry, Position, Posting, PostingKind
from positions.posting import book_transfer
from positions.rates import missing_rates
from positions.suspense import oversold, unexplained
from tests.commands import run
from tests.factories import BY, AccountFactory
from tests.positions.books import book, everything, held, mark, pair, posted, suspense, text, trade
from tests.positions.test_restating import differences
from tests.threads import run_together

pytestmark = pytest.mark.django_db
D = Decimal
SECOND = Actor("user:second", "a test", rights=EVERYTHING)
REASON = "seen in the exchange's history"


def transfer(account: Account, asset: str, amount: str, seconds: float = 0) -> Posting:
    row: Posting = posted(account, "transfer", asset, amount, seconds=seconds)
    return row


def classified(row: Posting, kind: str, **values: Any) -> Posting:
    approval = propose_classification(row.id, Classification(PostingKind(kind), **values), reason=REASON, by=BY)
    decide_and_carry_out(approval.id, approved=True, by=SECOND)
    posting = Posting.objects.get(classifies=row)
    assert posting.approval_id == approval.id
    return posting


def balanced(*accounts: Account) -> None:
    for account in accounts:
        assert differences(account) == []


def balance(account: Account, asset: str, book_of: str = "exchange") -> Decimal:
    rows = LedgerEntry.objects.filter(account=account, asset=asset, book=book_of)
    return D(rows.aggregate(sum=Sum("amount"))["sum"] or 0)


def test_an_unclassified_transfer_waits_in_suspense_and_a_deposit_is_a_flow() -> None:
    account = AccountFactory()
    mark("BTC", "60000")
    with ordered() as locks:
        book_transfer(locks, account, "BTC", D("0.5"), reference="approval 1", by=BY)
    row = Posting.objects.get()
    assert [(item.asset, item.quantity, item.posting) for item in unexplained(account)] == [("BTC", D("0.5"), row)]
    assert Event.objects.get(kind="suspense.limit_exceeded").evidence["without_value"] == ["BTC"], "no mark of now"
    became = classified(row, "deposit", value=D(31000))
    assert (became.kind, became.amount, became.value) == ("deposit", D("0.5"), 31000)
    assert held(account, "BTC") == ("0.5", "31000", "62000", "0")
    assert unexplained(account) == []
    assert (balance(account, "BTC"), balance(account, "BTC", "transfers"), balance(account, "BTC", "external")) == (
        D("0.5"),
        0,
        D("-0.5"),
    )
    balanced(account)


def test_a_withdrawal_leaves_at_its_mark_and_its_network_fee_is_an_expense() -> None:
    account = AccountFactory()
    mark("BTC", "60000")
    posted(account, "deposit", "BTC", "2", value=D(100000))
    classified(transfer(account, "BTC", "-1.001", 10), "withdrawal", network_fee=D("0.001"))
    # 1 leaves at 60,000; with the fee 1.001 × 50,000 = 50,050 of cost are gone
    assert held(account, "BTC") == ("0.999", "49950", "50000", "9950")
    assert balance(account, "BTC", "fees") == D("0.001")
    balanced(account)


def test_an_own_transfer_takes_its_cost_along_and_counts_while_under_way() -> None:
    account, other = AccountFactory(), AccountFactory()
    posted(account, "deposit", "BTC", "2", value=D(100000))
    sent = classified(transfer(account, "BTC", "-1.001", 10), "own_transfer", network_fee=D("0.001"))
    assert sent.value == -50000
    assert held(account, "BTC") == ("0.999", "49950", "50000", "-50")
    assert balance(account, "BTC", "transit") == 1
    assert in_transit_of(sent) == 1
    came = transfer(other, "BTC", "0.4", 20)
    with pytest.raises(Problem, match="Name the posting by which it left"):
        propose_classification(came.id, Classification(PostingKind.OWN_TRANSFER), reason=REASON, by=BY)
    classified(came, "own_transfer", other=sent.id)
    assert held(other, "BTC") == ("0.4", "20000", "50000", "0")
    assert in_transit_of(sent) == D("0.6")
    too_much = transfer(other, "BTC", "0.7", 30)
    with pytest.raises(Problem, match=r"Only 0\.6 BTC"):
        propose_classification(
            too_much.id, Classification(PostingKind.OWN_TRANSFER, other=sent.id), reason=REASON, by=BY
        )
    balanced(account, other)


def test_dust_is_disposed_of_at_the_value_of_what_was_received() -> None:
    account = AccountFactory()
    mark("BNB", "600")
    posted(account, "deposit", "ETH", "0.001", value=D(4))
    gone, came = transfer(account, "ETH", "-0.001", 10), transfer(account, "BNB", "0.005", 10)
    approval = propose_classification(gone.id, Classification(PostingKind.DUST, other=came.id), reason=REASON, by=BY)
    decide_and_carry_out(approval.id, approved=True, by=SECOND)
    # 0.005 × 600 = 3 for what cost 4
    assert held(account, "BNB") == ("0.005", "3", "600", "0")
    assert held(account, "ETH") == ("0", "0", "-", "-1")
    assert (balance(account, "ETH", "dust"), balance(account, "BNB", "dust")) == (D("0.001"), D("-0.005"))
    balanced(account)


def test_a_deposit_said_to_be_earlier_explains_what_was_sold_unseen() -> None:
    account = AccountFactory()
    book(account, pair("BTC"), trade(10, "SELL", "1", "300"))
    assert oversold(account) == {"BTC": 1}
    row = transfer(account, "BTC", "1", 60)
    assert suspense(account, "BTC") == ("0", "0")
    classified(row, "deposit", value=D(250), effective_at=trade(5, "BUY", "1", "1").traded_at)
    assert held(account, "BTC") == ("0", "0", "-", "50")
    assert oversold(account) == {}
    balanced(account)


@pytest.mark.parametrize(
    ("amount", "kind", "values", "said"),
    [
        ("-1", "deposit", {}, "that is no deposit"),
        ("-1", "airdrop", {}, "that is no airdrop"),
        ("1", "withdrawal", {}, "that is no withdrawal"),
        ("1", "transfer", {}, "Say what it was"),
        ("1", "deposit", {"network_fee": D(1)}, "network fee"),
        ("-1", "withdrawal", {"network_fee": D(2)}, "network fee"),
        ("1", "deposit", {"value": D(-1)}, "positive amount"),
        ("-1", "dust", {}, "name the posting of what was received"),
        ("-1", "withdrawal", {"other": UUID(int=1)}, "Another posting belongs to dust"),
    ],
)
def test_what_does_not_fit_is_refused(amount: str, kind: str, values: dict[str, Any], said: str) -> None:
    row = transfer(AccountFactory(), "BTC", amount)
    before = Posting.objects.count()
    with pytest.raises(Problem, match=said) as refused:
        propose_classification(row.id, Classification(PostingKind(kind), **values), reason=REASON, by=BY)
    assert refused.value.code == "INVALID_CLASSIFICATION"
    assert Posting.objects.count() == before


def test_nobody_classifies_alone_nor_twice() -> None:
    account = AccountFactory()
    row = transfer(account, "USDT", "10")
    approval = propose_classification(row.id, Classification(PostingKind.DEPOSIT), reason=REASON, by=BY)
    assert "becomes a deposit" in consequences(approval)[0]
    with pytest.raises(Problem, match="cannot approve"):
        decide_and_carry_out(approval.id, approved=True, by=BY)
    assert Posting.objects.count() == 1
    decide_and_carry_out(approval.id, approved=True, by=SECOND)
    with pytest.raises(Problem, match="classified or taken back already"):
        propose_classification(row.id, Classification(PostingKind.REBATE), reason=REASON, by=BY)
    assert consequences(approval) == ["Nothing: It was classified or taken back already."]
    assert held(account, "USDT") == ("10", "10", "1", "0")


def test_the_command_lists_what_is_unexplained_and_proposes() -> None:
    account = AccountFactory(name="main")
    row = transfer(account, "USDT", "10")
    listed = run("classify_transfer")
    assert (listed.code, f"main 10 USDT, worth 10: posting {row.id}" in listed.out) == (3, True)
    refused = run("classify_transfer", str(row.id))
    assert (refused.code, "--as" in refused.err) == (2, True)
    said = run("classify_transfer", str(row.id), "--as", "deposit", "--reason", REASON, "--dry-run")
    assert "Would be proposed" in said.out
    assert "becomes a deposit" in said.out
    said = run("classify_transfer", str(row.id), "--as", "deposit", "--reason", REASON)
    assert (said.code, "Asked for approval" in said.out) == (3, True)


# ------------------------------------------------------------------------------------------------- corrections of fills


def test_a_busted_fill_counts_for_nothing_and_its_legs_are_reversed() -> None:
    account, twin = AccountFactory(), AccountFactory()
    btc = pair("BTC")
    for each in (account, twin):
        posted(each, "deposit", "USDT", "1000", seconds=-1)
        book(each, btc, trade(1, "BUY", "1", "100"), trade(3, "SELL", "0.5", "150"))
    (gone,) = book(account, btc, trade(2, "BUY", "1", "200", "0.1 USDT"))
    approval = propose_correction(gone, bust(gone), reason="the exchange took it back", by=BY)
    assert "becomes nothing" in consequences(approval)[0]
    decide_and_carry_out(approval.id, approved=True, by=SECOND)
    assert everything(account)["holdings"] == everything(twin)["holdings"]
    assert (
        LedgerEntry.objects.filter(fill=gone).values("asset", "book").annotate(sum=Sum("amount")).exclude(sum=0).count()
        == 0
    )
    assert Fill.objects.get(id=gone.id).quantity == 1, "the fact stays"
    row = Position.objects.get(account=account)
    assert (row.net_quantity, text(row.realised_pnl), row.fees_in_quote) == (D("0.5"), "25", 0)
    assert Event.objects.get(kind="fill.busted").evidence["was"]["quantity"] == "1"
    balanced(account)


def test_a_corrected_fill_counts_as_it_was_corrected() -> None:
    account = AccountFactory()
    mark("BNB", "600")
    posted(account, "deposit", "USDT", "1000", seconds=-1)
    posted(account, "deposit", "BNB", "1", seconds=-1, value=D(600))
    (fill,) = book(account, pair("BTC"), trade(1, "BUY", "1", "100", "0.1 USDT"))
    to = Corrected(D(90), D(1), D(90), (Fee("BNB", D("0.01")),))
    approval = propose_correction(fill, to, reason="the exchange corrected its price", by=BY)
    decide_and_carry_out(approval.id, approved=True, by=SECOND)
    assert held(account, "BTC") == ("1", "96", "96", "0")
    assert held(account, "USDT")[0] == "910"
    assert held(account, "BNB")[0] == "0.99"
    balanced(account)
    with pytest.raises(Problem, match="stands like this already"):
        propose_correction(fill, to, reason="the exchange corrected its price", by=BY)
    approval = propose_correction(fill, bust(fill), reason="and then took it back", by=BY)
    decide_and_carry_out(approval.id, approved=True, by=SECOND)
    assert Holding.objects.filter(account=account, asset="BTC").get().quantity == 0
    balanced(account)


def test_a_bust_lacks_no_rate_and_two_corrections_in_a_row_take_back_what_stands() -> None:
    account = AccountFactory()
    (fill,) = book(account, pair("BTC", "TRY"), trade(1, "BUY", "1", "100"))
    for price in (D(90), D(80)):
        wanted = propose_correction(fill, Corrected(price, D(1), price, ()), reason="its price was another", by=BY)
        decide_and_carry_out(wanted.id, approved=True, by=SECOND)
    assert balance(account, "TRY") == -80
    balanced(account)
    assert [(row.asset, row.facts) for row in missing_rates(account)] == [("TRY", 1)]
    gone = propose_correction(fill, bust(fill), reason="and then took it back", by=BY)
    decide_and_carry_out(gone.id, approved=True, by=SECOND)
    assert missing_rates(account) == []
    assert (balance(account, "TRY"), balance(account, "BTC")) == (0, 0)
    balanced(account)


def proposed(*arguments: str) -> Any:
    """What a proposal by the command wants, and its answer."""
    ran = run("correct_fill", *arguments, "--json")
    assert ran.code == 3, ran
    (document,) = ran.documents
    return Approval.objects.get(id=document["approval"]["id"]).parameters


def test_the_command_corrects_what_is_named_and_keeps_the_rest() -> None:
    account = AccountFactory(name="main")
    (fill,) = book(account, pair("BTC"), trade(1, "BUY", "1", "100", "0.1 USDT", "0.02 USDT tax"))
    name, why = str(fill.id), ("--reason", REASON)
    before = everything(account)
    for wrong, words in (
        (["correct", "--price", "90", *why], "--quote-quantity"),
        (["correct", "--fee", "BNB:1", *why], "ASSET=AMOUNT"),
        (["correct", "--fee", "BNB=1e3", *why], "no exponent"),
        (["correct", "--fee", "BNB=1", "--no-fee", *why], "not allowed with"),
        (["correct", "--price", "-1", "--quote-quantity", "1", *why], "has a price and a quantity"),
        (["correct", *why], "stands like this already"),
        (["bust", "--price", "90", *why], "takes the whole fill back"),
        (["bust", "--reason", "short"], "10 to 400 characters"),
    ):
        refused = run("correct_fill", name, *wrong)
        assert refused.code in {1, 2}, wrong
        assert words in refused.err, wrong
    unknown = run("correct_fill", "01990000-0000-7000-8000-000000000000", "bust", *why)
    assert (unknown.code, "There is no fill" in unknown.err) == (1, True)
    dry = run("correct_fill", name, "bust", *why, "--dry-run")
    assert (dry.code, "Would be proposed" in dry.out) == (0, True)
    assert not Approval.objects.exists()
    fees = [["USDT", "0.1", "fee"], ["USDT", "0.02", "tax"]]
    assert proposed(name, "correct", "--price", "90", "--quote-quantity", "90", *why) == {
        "price": "90",
        "quantity": "1",
        "quote_quantity": "90",
        "fees": fees,
        "stood": {"price": "100", "quantity": "1", "quote_quantity": "100", "fees": fees},
    }
    assert proposed(name, "correct", "--fee", "BNB=0.01", "--fee", "TRY=2:tax", *why)["fees"] == [
        ["BNB", "0.01", "fee"],
        ["TRY", "2", "tax"],
    ]
    assert proposed(name, "correct", "--no-fee", *why)["fees"] == []
    assert proposed(name, "bust", *why)["quantity"] == "0"
    assert everything(account) == before, "nothing changes before a second person approves"


def test_a_missing_rate_is_listed_and_given() -> None:
    account = AccountFactory(name="main")
    book(account, pair("BTC", "TRY"), trade(1, "BUY", "1", "3000000"), trade(2, "BUY", "1", "3000000"))
    listed = run("give_rate")
    assert (listed.code, listed.out.strip()) == (3, "main TRY: 2 facts, 2026-05-01T00:00:01Z to 2026-05-01T00:00:02Z")
    for wrong, code in (
        (("main", "TRY"), 2),
        (("main", "TRY", "0.03"), 2),
        (("main", "TRY", "0", "--reason", "x"), 1),
        (("main", "BTC", "1", "--reason", "x"), 1),
    ):
        assert run("give_rate", *wrong).code == code, wrong
    dry = run("give_rate", "main", "TRY", "0.03", "--reason", "the bank's list", "--dry-run")
    assert (dry.code, dry.out.strip()) == (0, "1 TRY would be 0.03 USDT in 2 facts of main that lacked it.")
    assert run("give_rate", "main").code == 3
    given = run("give_rate", "main", "TRY", "0.03", "--reason", "the bank's list")
    assert (given.code, given.out.strip()) == (0, "1 TRY is 0.03 USDT in 2 facts of main that lacked it.")
    assert held(account, "BTC") == ("2", "180000", "90000", "0")
    assert run("give_rate", "main").out.strip() == "No fact lacks a rate."
    assert Event.objects.get(kind="rate.given").evidence["reason"] == "the bank's list"
    balanced(account)


def test_a_correction_proposed_twice_is_made_once() -> None:
    account = AccountFactory()
    posted(account, "deposit", "USDT", "1000")
    (fill,) = book(account, pair("BTC"), trade(1, "BUY", "2", "100"))
    to = Corrected(D(100), D(1), D(100), ())
    first, second = (propose_correction(fill, each, reason=REASON, by=BY) for each in (to, bust(fill)))
    decide_and_carry_out(first.id, approved=True, by=SECOND)
    with pytest.raises(Problem) as refused:
        decide_and_carry_out(second.id, approved=True, by=SECOND)
    assert (refused.value.status, refused.value.code) == (409, "FILL_CHANGED")
    assert FillCorrection.objects.count() == 1
    balanced(account)


@pytest.mark.django_db(transaction=True)
def test_corrections_at_the_same_time_leave_balanced_legs() -> None:
    account = AccountFactory()
    posted(account, "deposit", "USDT", "1000")
    (fill,) = book(account, pair("BTC"), trade(1, "BUY", "2", "100"))
    barrier = threading.Barrier(2)

    def correct(quantity: str) -> str:
        to = Corrected(D(100), D(quantity), D(quantity) * 100, ())
        with ordered() as locks:
            barrier.wait(10)
            try:
                correct_fill(locks, fill, to, reason=REASON, approval_id=None, by=BY)
            except Problem as problem:
                return problem.code
        return "done"

    found = run_together([partial(correct, "1"), partial(correct, "3")])
    assert set(found) <= {"done", "FILL_CHANGED"}
    assert "done" in found
    balanced(account)


@pytest.mark.django_db(transaction=True)
def test_two_arrivals_at_the_same_time_do_not_both_take_what_is_under_way() -> None:
    account = AccountFactory()
    posted(account, "deposit", "BTC", "2", value=D(100000))
    sent = classified(transfer(account, "BTC", "-1", 10), "own_transfer")
    arrivals = [transfer(AccountFactory(), "BTC", "0.7", 20) for _ in range(2)]
    barrier = threading.Barrier(2)

    def arrive(row: Posting) -> str:
        with ordered() as locks:
            barrier.wait(10)
            to = Classification(PostingKind.OWN_TRANSFER, other=sent.id)
            try:
                classify(locks, row.id, to, reason=REASON, approval_id=None, by=BY)
            except Problem as problem:
                return problem.code
        return "done"

    assert sorted(run_together([partial(arrive, row) for row in arrivals])) == ["INVALID_CLASSIFICATION", "done"]
    assert in_transit_of(sent) == D("0.3")
