"""The fold of holdings against an accountant in fractions, over thousands of fills with every kind of fee."""

from __future__ import annotations

import os
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction

import pytest

from exchanges.reports import Fee
from positions.costing import InventoryState, Move, moves_of_fill, moves_of_posting
from positions.fifo import Lots
from tests.positions.oracle import SUSPENSE, Accountant, Flow, Trade

D = Decimal
ULP = Fraction(1, 10**18)
ROUNDS = max(1, int(os.environ.get("PROOF_ROUNDS", "0")) // 20)
PAIRS = (("BTC", "USDT"), ("ETH", "BTC"), ("BTC", "TRY"), ("USDT", "TRY"), ("BNB", "USDT"), ("ETH", "USDT"))
PRICES = {"BTC": 60000, "ETH": 3000, "BNB": 600, "TRY": 0.03, "USDT": 1}  # only to draw sizes that make sense
START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Fact:
    """One fact in both languages: its moves for the engine, a trade or a flow for the accountant."""

    moves: tuple[Move, ...]
    strategy: int | None
    told: Trade | Flow


def amount(chance: random.Random, around: float, places: int = 8) -> Decimal:
    return D(round(around * chance.uniform(0.2, 2) * 10**places) + 1).scaleb(-places)


def fact(chance: random.Random, at: int) -> Fact:
    """A fill or, one in thirty, a deposit or withdrawal; sizes and prices in the exchange's own decimals."""
    rates = {asset: amount(chance, PRICES[asset], 12) for asset in ("BTC", "ETH", "BNB", "TRY")}
    if chance.randrange(30) == 0 or at < 3:
        asset = chance.choice([*PRICES])
        moved = amount(chance, 5000 / PRICES[asset]) * (-1 if chance.randrange(4) == 0 and at > 2 else 1)
        move = moves_of_posting("deposit", asset, moved, D(0), None, D(1) if asset == "USDT" else rates[asset])
        assert move.value is not None
        return Fact((move,), None, Flow(at, asset, Fraction(moved), Fraction(move.value)))
    base, quote = chance.choice(PAIRS)
    side, strategy = chance.choice(["BUY", "SELL"]), chance.choice([None, 1, 2])
    size = amount(chance, 500 / PRICES[base])
    quote_size = amount(chance, float(size) * PRICES[base] / PRICES[quote])
    received, got = (base, size) if side == "BUY" else (quote, quote_size)
    fees: list[Fee] = []
    kind = chance.randrange(6)
    if kind == 0:
        fees = [Fee(received, (got / 1000).quantize(D("1E-8")))]
    elif kind in {1, 2}:
        fees = [Fee("BNB", amount(chance, 0.0005))]
    elif kind == 3:
        fees = [Fee(quote, amount(chance, float(quote_size) / 1000)), Fee(quote, amount(chance, 0.001), "tax")]
    elif kind == 4:
        fees = [Fee("BNB", -amount(chance, 0.0001))]  # a rebate
    moves = moves_of_fill(side, base, quote, size, quote_size, fees, rates, "USDT")
    deductions = tuple((fee.asset, Fraction(fee.amount), fee.kind) for fee in fees)
    exact = {asset: Fraction(rate) for asset, rate in rates.items()}
    told = Trade(at, strategy, side, base, quote, Fraction(size), Fraction(quote_size), deductions, exact)
    return Fact(tuple(moves), strategy, told)


def stream(seed: int, length: int) -> list[Fact]:
    chance = random.Random(seed)
    return [fact(chance, at) for at in range(length)]


def fold(facts: Sequence[Fact]) -> dict[str, InventoryState]:
    return fold_and_count(facts)[0]


def fold_and_count(facts: Sequence[Fact]) -> tuple[dict[str, InventoryState], dict[str, int]]:
    """The states, and how often something went to suspense, was fetched from unallocated, or was borrowed."""
    states: dict[str, InventoryState] = defaultdict(InventoryState)
    seen = {"oversold": 0, "taken": 0, "borrowed": 0}
    for each in facts:
        for move in each.moves:
            outcome = states[move.asset].apply(move, each.strategy)
            seen["oversold"] += outcome.oversold > 0
            seen["taken"] += outcome.taken is not None
            seen["borrowed"] += states[move.asset].holders[each.strategy].quantity < 0
    return states, seen


def told(facts: Sequence[Fact]) -> Accountant:
    accountant = Accountant("USDT")
    for each in facts:
        if isinstance(each.told, Trade):
            accountant.trade(each.told)
        else:
            accountant.flow(each.told)
    return accountant


@pytest.mark.parametrize("seed", range(2 * ROUNDS))
def test_thousands_of_fills_agree_with_an_accountant_in_fractions(seed: int) -> None:
    facts = stream(seed, 3000)
    states, seen = fold_and_count(facts)
    accountant = told(facts)
    # Each fact rounds a few times by at most one unit of the 18th decimal; sizes of coins scale nothing beyond it.
    allowed = ULP * 40 * len(facts)
    for asset, state in states.items():
        assert Fraction(state.balance) == accountant.units(asset), asset
        owners = {owner for of, owner in accountant.stocks if of == asset} - {SUSPENSE}
        assert {owner for owner, holder in state.holders.items() if holder.quantity} <= owners
        for owner, holder in state.holders.items():
            stock = accountant.stocks[asset, owner]
            assert Fraction(holder.quantity) == stock.units, (asset, owner)
            assert abs(Fraction(holder.cost) - stock.units * stock.price) <= allowed, (asset, owner)
            assert abs(Fraction(holder.realised) - accountant.profit[asset, owner]) <= allowed, (asset, owner)
        unseen = accountant.stocks[asset, SUSPENSE]
        assert Fraction(state.suspense.quantity) == unseen.units
        assert abs(Fraction(state.suspense.cost) - unseen.units * unseen.price) <= allowed
    assert min(seen.values()) > 10, f"a stream without them proves less: {seen}"


@pytest.mark.parametrize("seed", range(3))
def test_what_flowed_in_is_all_in_cost_and_profit_to_the_last_digit(seed: int) -> None:
    facts = stream(seed, 1500)
    states = fold(facts)
    in_books = D(0)
    for state in states.values():
        for holder in (*state.holders.values(), state.suspense):
            in_books += holder.cost - holder.realised
    flowed = sum((move.value or D(0) for each in facts if isinstance(each.told, Flow) for move in each.moves), D(0))
    assert in_books == flowed
    assert states["USDT"].held + states["USDT"].suspense.quantity == sum(
        (holder.cost for holder in (*states["USDT"].holders.values(), states["USDT"].suspense)), D(0)
    ), "one unit of the currency costs one"


@pytest.mark.parametrize("seed", range(3))
def test_average_cost_and_first_in_first_out_have_the_same_total(seed: int) -> None:
    facts = stream(seed, 1500)
    states = fold(facts)
    lots: dict[str, Lots] = defaultdict(Lots)
    realised: dict[str, Decimal] = defaultdict(Decimal)
    for each in facts:
        for move in each.moves:
            for disposal in lots[move.asset].apply(move, START):
                assert disposal.realised is not None
                realised[move.asset] += disposal.realised
    for asset, state in states.items():
        everybody = (*state.holders.values(), state.suspense)
        cost, profit = sum((h.cost for h in everybody), D(0)), sum((h.realised for h in everybody), D(0))
        assert lots[asset].quantity == state.balance
        assert lots[asset].cost - realised[asset] == cost - profit, asset


@pytest.mark.parametrize("seed", range(5))
def test_a_kept_state_goes_on_as_if_it_had_never_been_kept(seed: int) -> None:
    facts = stream(seed, 300)
    whole = fold(facts)
    states = fold(facts[:150])
    states = defaultdict(
        InventoryState, {asset: InventoryState.of_document(state.as_document()) for asset, state in states.items()}
    )
    for each in facts[150:]:
        for move in each.moves:
            states[move.asset].apply(move, each.strategy)
    assert {asset: state.as_document() for asset, state in states.items()} == {
        asset: state.as_document() for asset, state in whole.items()
    }


@pytest.mark.parametrize("seed", range(5))
def test_a_fill_that_comes_in_pieces_leaves_what_it_leaves_whole(seed: int) -> None:
    """Quantities and totals to the last digit; average cost to the rounding of its pieces."""
    chance = random.Random(seed)
    whole: list[Fact] = stream(seed, 200)
    pieces: list[Fact] = []
    for each in whole:
        if not isinstance(each.told, Trade):
            pieces.append(each)
            continue
        halves = [
            tuple(
                Move(m.asset, q, v, m.role)
                for m, q, v in (
                    (m, m.quantity / 2 if half else m.quantity - m.quantity / 2, (m.value or D(0)) / 2)
                    for m in each.moves
                )
            )
            for half in (False, True)
        ]
        chance.shuffle(halves)
        pieces += [Fact(half, each.strategy, each.told) for half in halves]
    one, other = fold(whole), fold(pieces)
    for asset, state in one.items():
        assert state.balance == other[asset].balance
        assert state.suspense.quantity == other[asset].suspense.quantity
        for owner, holder in state.holders.items():
            assert holder.quantity == other[asset].holders[owner].quantity
            assert abs(holder.cost - other[asset].holders[owner].cost) < D("1E-12")
            assert abs(holder.realised - other[asset].holders[owner].realised) < D("1E-12")
