"""Terms and flows: what an operator may change at the paper exchange, and what is refused with a sentence."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from exchanges.models import Account, PaperAccount, PaperFlow
from exchanges.paper.chance import armed_fault, draw, latency_of, random_fault
from exchanges.paper.flows import set_terms
from execution_project.common.actors import Actor
from execution_project.common.models import Event
from execution_project.common.problems import Problem
from execution_project.common.rights import Right
from positions.models import LedgerEntry
from positions.paper_deposits import deposit
from tests.commands import run
from tests.exchanges.paper.floors import Venue
from tests.factories import BY, AccountFactory

D = Decimal


def test_chance_is_the_same_for_the_same_seed() -> None:
    assert draw(1, 2, "x") == draw(1, 2, "x") != draw(1, 3, "x")
    assert all(0 <= draw(seed, 1, "x") < 1 for seed in range(50))
    times = [latency_of(5, number, 40, 20, 10) for number in range(100)]
    assert {time.there_ms for time in times} == set(range(40, 51))
    assert {time.back_ms for time in times} <= set(range(20, 31))
    assert latency_of(5, 1, 40, 20, 0) == latency_of(6, 9, 40, 20, 0)


def test_faults_are_used_up_one_call_at_a_time_and_by_their_rate() -> None:
    faults = [{"kind": "reject", "call": "place", "times": 2}, {"kind": "busy", "call": "any", "times": 1}]
    kind, left = armed_fault(faults, "cancel")
    assert (kind, left) == ("busy", faults[:1])
    kind, left = armed_fault(left, "place")
    assert (kind, left) == ("reject", [{"kind": "reject", "call": "place", "times": 1}])
    assert armed_fault(left, "cancel") == ("", left)
    kinds = [random_fault({"reject": "0.25", "busy": "0.5"}, 1, number) for number in range(400)]
    assert 60 < kinds.count("reject") < 140
    assert 160 < kinds.count("busy") < 240
    assert random_fault({}, 1, 1) == ""


@pytest.mark.django_db
@pytest.mark.parametrize(
    "terms",
    [
        {"taker_rate": "0.2"},
        {"tax_rate": "-1"},
        {"maker_rate": "much"},
        {"submit_ms": -1},
        {"submit_ms": 10_001},
        {"clock_offset_ms": 60_001},
        {"bnb_fees": "yes"},
        {"faults": [{"kind": "fire"}]},
        {"faults": [{"kind": "busy", "call": "place", "times": 0}]},
        {"fault_rates": {"busy": "0.6", "reject": "0.6"}},
        {"fault_rates": {"fire": "0.1"}},
        {"tiers": {"asset": "USDT", "steps": [["5", "0.1", "0.1"], ["1", "0.1", "0.1"]]}},
        {"tiers": {"asset": "USDT", "steps": [["0", "0.1", "0.2"]]}},
        {"tiers": {"asset": "USDT", "steps": [["-1", "0.1", "0.1"]]}},
        {"tiers": {"asset": "USDT", "steps": [["1e3", "0.1", "0.1"]]}},
        {"tiers": {"asset": "USDT", "steps": [["0", "0.1"]]}},
        {"tiers": {"asset": "USDT", "steps": []}},
        {"tiers": {"asset": "DOGE", "steps": [["0", "0.1", "0.1"]]}},
        {"tiers": [["0", "0.1", "0.1"]]},
        {"last_trade_number": 5},
    ],
    ids=lambda terms: "-".join(map(str, terms.items())),
)
def test_terms_that_cannot_be_are_refused_and_change_nothing(terms: dict[str, Any]) -> None:
    venue = Venue()
    before = PaperAccount.objects.values().get()
    with pytest.raises(Problem) as refused:
        set_terms(venue.account, terms, reason="x", by=BY)
    assert (refused.value.status, refused.value.code) == (400, "INVALID_PARAMETER")
    assert PaperAccount.objects.values().get() == before


@pytest.mark.django_db
def test_terms_are_recorded_and_the_reserve_follows_the_rates() -> None:
    venue = Venue("btcturk", "TRY")
    set_terms(venue.account, {"taker_rate": "0.002", "tax_rate": "0.25"}, reason="a tier", by=BY)
    assert Account.objects.get().taker_fee_rate == D("0.0025")
    assert Event.objects.get(kind="account.paper_terms").evidence["reason"] == "a tier"
    venue.place("BUY", "LIMIT", "1", "90")
    with pytest.raises(Problem, match="cancel them first"):
        set_terms(venue.account, {"taker_rate": "0.001"}, reason="x", by=BY)
    set_terms(venue.account, {"submit_ms": 7}, reason="x", by=BY)


@pytest.mark.django_db
def test_only_paper_is_made_up_and_only_with_the_right() -> None:
    sandbox, venue = AccountFactory(), Venue()
    nobody = Actor("user:nobody", "x", rights=frozenset({Right.VIEW}))
    for act in (
        lambda account, by: set_terms(account, {"submit_ms": 1}, reason="x", by=by),
        lambda account, by: deposit(account, "USDT", D(1), reason="x", by=by),
    ):
        with pytest.raises(Problem, match="only paper"):
            act(sandbox, BY)
        with pytest.raises(Problem) as refused:
            act(venue.account, nobody)
        assert refused.value.status == 403


@pytest.mark.django_db
def test_deposits_are_facts_and_no_more_goes_out_than_is_free() -> None:
    venue = Venue()
    deposit(venue.account, "USDT", D("0.5"), reason="more", by=BY)
    assert venue.balance("USDT") == (D("1000.5"), D(0))
    assert PaperFlow.objects.get().amount == D("0.5")
    assert LedgerEntry.objects.filter(kind="deposit").count() == 2
    venue.place("BUY", "LIMIT", "1", "90")
    for asset, amount, code in (
        ("USDT", "-910.6", "NOT_ENOUGH_FREE"),
        ("USDT", "0", "INVALID_PARAMETER"),
        ("DOGE", "1", "INVALID_PARAMETER"),
    ):
        with pytest.raises(Problem) as refused:
            deposit(venue.account, asset, D(amount), reason="x", by=BY)
        assert refused.value.code == code
    assert PaperFlow.objects.count() == 1


@pytest.mark.django_db
def test_the_commands_do_the_same() -> None:
    venue = Venue()
    name = venue.account.name
    out = run("paper_deposit", name, "USDT", "100", "--out", "--reason", "x", "--json")
    assert (out.code, out.document["free"]) == (0, "900")
    assert run("paper_deposit", name, "USDT", "100", "--reason", "x", "--dry-run").code == 0
    assert venue.balance("USDT")[0] == 900
    for words in (["1e3"], ["-5"], ["0"]):
        assert run("paper_deposit", name, "USDT", *words, "--reason", "x").code != 0
    ran = run(
        *("set_paper_terms", name, "--submit-ms", "3", "--bnb-fees", "on", "--fault", "busy:place:2"),
        *("--fault-rate", "reject=0.01", "--clock-offset-ms", "-5", "--reason", "x", "--json"),
    )
    assert ran.code == 0, ran.err
    row = PaperAccount.objects.get()
    assert (row.submit_ms, row.bnb_fees, row.clock_offset_ms) == (3, True, -5)
    assert (row.faults, row.fault_rates) == ([{"kind": "busy", "call": "place", "times": 2}], {"reject": "0.01"})
    assert "what to change" in run("set_paper_terms", name, "--reason", "x").err


@pytest.mark.django_db
def test_tiers_are_set_and_taken_away_by_command() -> None:
    venue = Venue("btcturk", "TRY")
    name = venue.account.name
    words = ("--tier", "0:0.001:0.002", "--tier", "1000:0.0005:0.001", "--tier-asset", "TRY")
    ran = run("set_paper_terms", name, *words, "--reason", "as at the exchange", "--json")
    assert ran.code == 0, ran.err
    said = "from 0 TRY 0.001 maker, 0.002 taker; from 1000 TRY 0.0005 maker, 0.001 taker"
    assert ran.document["terms"] == {"tiers": said}
    steps = [["0", "0.001", "0.002"], ["1000", "0.0005", "0.001"]]
    assert PaperAccount.objects.get().tiers == {"asset": "TRY", "steps": steps}
    assert Event.objects.get(kind="account.paper_terms").evidence["terms"]["tiers"]["steps"] == steps
    assert Account.objects.get().taker_fee_rate == D("0.0024"), "the gate reserves for the dearest tier"
    for refused in (
        ("--tier", "0:0.1:0.1"),
        ("--tier-asset", "TRY"),
        (*words, "--no-tiers"),
        (*words[:3], "x", *words[4:]),
    ):
        assert run("set_paper_terms", name, *refused, "--reason", "x").code != 0
    assert run("set_paper_terms", name, "--no-tiers", "--reason", "x").code == 0
    assert (PaperAccount.objects.get().tiers, Account.objects.get().taker_fee_rate) == ({}, D("0.0012"))
