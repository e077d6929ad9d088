"""Sums over positions and holdings, across exchanges too. Modes are never added together.

Positions: quantities are added within one asset and money within one quote asset; across quote assets money is added in
the reporting currency, each quote asset at its mark. Holdings are in the reporting currency already. A sum of which a
part is not known is not known, and says what it lacks.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal, localcontext
from typing import Any

from execution_project.common.money import CONTEXT, round_down
from positions.marks import Rate
from positions.shown import ZERO, ShownHolding, ShownPosition, rates_of
from positions.valuation import Key, name_of

Group = dict[str, str | None]

# What each grouping groups by: member of the group → how a row says it. "asset" is the base asset of positions.
GROUPINGS: Mapping[str, Mapping[str, Callable[[Any], str | None]]] = {
    "instrument": {
        "exchange": lambda row: row.account.exchange,
        "symbol": lambda row: row.instrument.symbol,
    },
    "asset": {"asset": lambda row: row.instrument.base_asset},
    "account": {"account": lambda row: row.account.name},
    "exchange": {"exchange": lambda row: row.account.exchange},
    "strategy": {"strategy": lambda row: None if row.strategy is None else row.strategy.name},
    "all": {},
}
HOLDING_GROUPINGS = {
    **{name: GROUPINGS[name] for name in ("account", "exchange", "strategy", "all")},
    "asset": {"asset": lambda row: row.asset},
}


@dataclass(slots=True)
class Sums:
    """One group in one asset: the net quantity where it is the base asset, the money where it is the quote asset.

    None: no position of the group has that asset, or a part of the sum is not known (``missing`` says which).
    """

    group: Group
    mode: str
    asset: str
    net_quantity: Decimal | None = None
    cost: Decimal | None = None
    realised_pnl: Decimal | None = None
    fees_in_quote: Decimal | None = None
    fees: Decimal | None = None
    unrealised_pnl: Decimal | None = None
    missing: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Totals:
    """One group in the reporting currency: the money of its positions, each quote asset at its mark."""

    group: Group
    mode: str
    realised_pnl: Decimal | None = ZERO
    fees: Decimal | None = ZERO
    unrealised_pnl: Decimal | None = ZERO
    missing: list[str] = field(default_factory=list)

    @property
    def before_fees(self) -> Decimal | None:
        """Realised and unrealised."""
        return plus(self.realised_pnl, self.unrealised_pnl)

    @property
    def after_fees(self) -> Decimal | None:
        """The same less all fees."""
        return None if self.before_fees is None or self.fees is None else self.before_fees - self.fees


@dataclass(slots=True)
class HoldingSums:
    """One group of holdings, in the reporting currency. Quantities only where the group is one asset.

    ``quantity`` is what the ledger has at the exchanges, ``in_suspense`` the part of it that was sold unseen
    (negative). ``share``: of the value of everything of that mode in the answer, in per cent with two decimals.
    """

    group: Group
    mode: str
    quantity: Decimal | None = None
    in_suspense: Decimal | None = None
    cost: Decimal | None = ZERO
    realised_pnl: Decimal = ZERO
    currency_effect: Decimal = ZERO
    value: Decimal | None = ZERO
    unrealised_pnl: Decimal | None = ZERO
    pending: int = 0
    share: Decimal | None = None
    missing: list[str] = field(default_factory=list)

    @property
    def average_cost(self) -> Decimal | None:
        """Cost per unit of one asset, suspense included."""
        if not self.quantity or self.cost is None:
            return None
        return round_down(CONTEXT.divide(self.cost, self.quantity))


def plus(one: Decimal | None, other: Decimal | None) -> Decimal | None:
    """The sum of what is known; what is not known makes it unknown."""
    return None if one is None or other is None else one + other


def sum_positions(positions: Sequence[ShownPosition], grouping: str) -> list[Sums]:
    """Sums per (group, mode, asset), sorted by these; ``grouping`` is a key of ``GROUPINGS``."""
    found: dict[tuple[Any, ...], Sums] = {}

    def of(row: Any, asset: str) -> Sums:
        group = _group(row, GROUPINGS[grouping])
        return found.setdefault((*_order(group), row.account.mode, asset), Sums(group, row.account.mode, asset))

    for shown in positions:
        row = shown.row
        base = of(row, row.instrument.base_asset)
        base.net_quantity = (base.net_quantity or ZERO) + row.net_quantity
        quote = of(row, row.instrument.quote_asset)
        first = quote.cost is None
        quote.cost = (quote.cost or ZERO) + row.cost
        quote.realised_pnl = (quote.realised_pnl or ZERO) + row.realised_pnl
        quote.fees_in_quote = (quote.fees_in_quote or ZERO) + row.fees_in_quote
        quote.fees = plus(ZERO if first else quote.fees, shown.fees)
        quote.unrealised_pnl = plus(ZERO if first else quote.unrealised_pnl, shown.unrealised)
        _lacks(quote.missing, shown.missing)
    return [found[key] for key in sorted(found)]


def total_positions(
    positions: Sequence[ShownPosition], grouping: str, *, as_of: datetime | None = None
) -> list[Totals]:
    """Totals per (group, mode) in the reporting currency, sorted by these, at the marks of now or of a moment."""
    rates = _rates_of_quotes(positions, as_of)
    found: dict[tuple[Any, ...], Totals] = {}
    for shown in positions:
        row = shown.row
        group = _group(row, GROUPINGS[grouping])
        total = found.setdefault((*_order(group), row.account.mode), Totals(group, row.account.mode))
        key = (row.account.exchange, row.instrument.quote_asset)
        rate = rates[row.account.mode].get(key)
        amounts = {"realised_pnl": row.realised_pnl, "fees": shown.fees, "unrealised_pnl": shown.unrealised}
        for name, amount in amounts.items():
            setattr(total, name, plus(getattr(total, name), _at(amount, rate)))
        _lacks(total.missing, shown.missing)
        if rate is None and any(amounts.values()):
            _lacks(total.missing, [f"mark of {name_of(key)}"])
    return [found[key] for key in sorted(found)]


def _rates_of_quotes(positions: Iterable[ShownPosition], as_of: datetime | None) -> dict[str, dict[Key, Rate]]:
    keys: dict[str, set[Key]] = defaultdict(set)
    for shown in positions:
        keys[shown.row.account.mode].add((shown.row.account.exchange, shown.row.instrument.quote_asset))
    return {mode: rates_of(mode, wanted, as_of) for mode, wanted in keys.items()}


def _at(amount: Decimal | None, rate: Rate | None) -> Decimal | None:
    """An amount at a rate; nothing is nothing at any rate."""
    if amount is None or not amount:
        return amount
    if rate is None:
        return None
    with localcontext(CONTEXT):
        return round_down(amount * rate.price)


def sum_holdings(holdings: Sequence[ShownHolding], grouping: str) -> list[HoldingSums]:
    """Sums per (group, mode), sorted by these; ``grouping`` is a key of ``HOLDING_GROUPINGS``."""
    found: dict[tuple[Any, ...], HoldingSums] = {}
    whole: dict[str, Decimal | None] = defaultdict(lambda: ZERO)
    for shown in holdings:
        row, mode = shown.row, shown.row.account.mode
        group = _group(row, HOLDING_GROUPINGS[grouping])
        sums = found.setdefault((*_order(group), mode), HoldingSums(group, mode))
        if grouping == "asset":
            sums.quantity = (sums.quantity or ZERO) + row.quantity
            sums.in_suspense = (sums.in_suspense or ZERO) + (row.quantity if row.in_suspense else ZERO)
        sums.cost = plus(sums.cost, shown.cost)
        sums.realised_pnl += row.realised_pnl
        sums.currency_effect += row.currency_effect
        sums.value = plus(sums.value, shown.value)
        sums.unrealised_pnl = plus(sums.unrealised_pnl, shown.unrealised)
        sums.pending += row.pending
        _lacks(sums.missing, shown.missing)
        whole[mode] = plus(whole[mode], shown.value)
    for sums in found.values():
        everything = whole[sums.mode]
        if sums.value is not None and everything is not None and everything > 0:
            with localcontext(CONTEXT):
                sums.share = round_down(sums.value * 100 / everything, Decimal("0.01"))
    return [found[key] for key in sorted(found)]


def _group(row: Any, members: Mapping[str, Callable[[Any], str | None]]) -> Group:
    return {member: of(row) for member, of in members.items()}


def _order(group: Group) -> tuple[tuple[bool, str], ...]:
    """Sorts groups by their values, those without one last."""
    return tuple((value is None, value or "") for value in group.values())


def _lacks(missing: list[str], words: Iterable[str]) -> None:
    missing.extend(word for word in words if word not in missing)
