"""Pure inventory arithmetic: what each fact moves of each asset and at what value, and the fold of an asset's holdings.

Rules (docs/risk-controls.md §5). All values are in the reporting currency. The values of one fill sum to zero: what
was given is worth what was taken. So profit is never made or lost by book-keeping: cost − realised profit of all
holdings is what flowed in. No database, no clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, Decimal

from exchanges.reports import Fee
from execution_project.common.money import CONTEXT, QUANTUM, plain

ZERO = Decimal(0)
CURRENCIES = frozenset({"TRY", "USDT"})
"""What one pays with: profit on spending them is the currency effect."""


def cut(value: Decimal) -> Decimal:
    """18 decimals, the rest dropped: a part of a cost is never more than the cost."""
    return value.quantize(QUANTUM, ROUND_DOWN, CONTEXT)


def worth(quantity: Decimal, rate: Decimal) -> Decimal:
    """The value of a signed quantity at a rate, to 18 decimals."""
    return CONTEXT.multiply(quantity, rate).quantize(QUANTUM, ROUND_HALF_EVEN, CONTEXT)


@dataclass(frozen=True, slots=True)
class Move:
    """What one fact does to one asset.

    ``quantity`` signed; ``value`` what it adds to the cost of what is held, signed likewise, None while not known.
    ``is_pending``: a rate that the value needs is missing. ``explains``: a posting, which settles what is in suspense.
    ``is_income``: comes in at its value as profit (airdrop, rebate).
    """

    asset: str
    quantity: Decimal
    value: Decimal | None
    role: str
    is_pending: bool = False
    explains: bool = False
    is_income: bool = False


def rates_needed(base: str, quote: str, fees: Iterable[Fee], currency: str) -> set[str]:
    """The assets of a fill whose rates value it: the quote's, and of fees in a third asset theirs."""
    third = {fee.asset for fee in fees} - {base, quote, currency}
    return third if currency in {base, quote} else third | {quote}


def moves_of_fill(
    side: str,
    base: str,
    quote: str,
    quantity: Decimal,
    quote_quantity: Decimal,
    fees: Sequence[Fee],
    rates: Mapping[str, Decimal],
    currency: str,
) -> list[Move]:
    """What a fill moves, its base, its quote and each fee's asset; the values sum to zero when all rates are known.

    The quote's rate values both sides, and the rate of a fee's asset its disposal; the base's value is the rest, so
    that fees go into its cost or out of its proceeds. Where the base is the currency itself, the quote's value is the
    rest.
    ``rates``: currency per unit; the currency's own is 1.
    """
    sign = 1 if side == "BUY" else -1
    amounts = {base: sign * quantity, quote: -sign * quote_quantity}
    for fee in fees:
        amounts[fee.asset] = amounts.get(fee.asset, ZERO) - fee.amount
    rest = quote if base == currency else base
    anchor = base if base == currency else quote
    values: dict[str, Decimal | None] = {}
    for asset, amount in amounts.items():
        if asset != rest:
            rate = Decimal(1) if asset == currency else rates.get(asset)
            values[asset] = None if rate is None else worth(amount, rate)
    lacking = any(value is None for value in values.values())
    known = sum((value for value in values.values() if value is not None), ZERO)
    values[rest] = None if values[anchor] is None else -known
    touched = {base if quantity else "", quote if quote_quantity else "", *(fee.asset for fee in fees if fee.amount)}
    return [
        Move(
            asset,
            amount,
            values[asset],
            "base" if asset == base else "quote" if asset == quote else "fee",
            is_pending=values[asset] is None or (asset == rest and lacking),
        )
        for asset, amount in amounts.items()
        if asset in touched and (amount or values[asset])
    ]


@dataclass(slots=True)
class Holder:
    """What one strategy, or nobody (unallocated), or suspense has of an asset; negative: borrowed, or sold unseen."""

    quantity: Decimal = ZERO
    cost: Decimal = ZERO
    realised: Decimal = ZERO
    currency_effect: Decimal = ZERO
    pending: int = 0

    @property
    def average(self) -> Decimal | None:
        """Cost per unit, or None when nothing is held or a value is pending."""
        if not self.quantity or self.pending:
            return None
        return cut(CONTEXT.divide(self.cost, self.quantity))


@dataclass(frozen=True, slots=True)
class Disposal:
    """What a holding gave up (``strategy`` None: unallocated), for what, and what that realised."""

    strategy: int | None
    quantity: Decimal
    proceeds: Decimal
    cost: Decimal
    is_pending: bool = False

    @property
    def realised(self) -> Decimal:
        """Proceeds less cost."""
        return self.proceeds - self.cost


@dataclass(frozen=True, slots=True)
class Taken:
    """What a strategy took out of unallocated, at average cost."""

    strategy: int
    quantity: Decimal
    cost: Decimal


@dataclass(slots=True)
class Outcome:
    """What folding one move came to, besides the new numbers. ``oversold``: went to suspense."""

    disposals: list[Disposal] = field(default_factory=list)
    taken: Taken | None = None
    oversold: Decimal = ZERO


@dataclass(slots=True)
class InventoryState:
    """All holdings of one asset in one account."""

    holders: dict[int | None, Holder] = field(default_factory=dict)
    suspense: Holder = field(default_factory=Holder)

    @property
    def held(self) -> Decimal:
        """What the account has by its explained facts: all holdings without suspense, never negative."""
        return sum((holder.quantity for holder in self.holders.values()), ZERO)

    @property
    def balance(self) -> Decimal:
        """What the ledger says is at the exchange."""
        return self.held + self.suspense.quantity

    def apply(self, move: Move, strategy: int | None) -> Outcome:
        """Fold one move of a strategy (None: of nobody) in; facts come in the order of their moments.

        A disposal takes what the strategy has, then what is unallocated; the rest is borrowed from other strategies
        (its holding turns negative). What exceeds everything that the account has goes to suspense with its proceeds;
        only a posting takes it out again: a later purchase explains nothing.
        """
        outcome = Outcome()
        holder = self.holders.get(strategy)
        if holder is None:
            holder = self.holders[strategy] = Holder()
        holder.pending += move.is_pending
        quantity, value = move.quantity, move.value
        before = holder.realised
        if quantity > 0 and move.explains and self.suspense.quantity < 0:
            quantity, value = self._settle(quantity, value, outcome)
        elif quantity < 0:
            quantity, value = self._cover(holder, strategy, quantity, value, outcome)
        if quantity or value:
            _trade(holder, strategy, quantity, value, outcome)
        if move.is_income and move.value:
            holder.realised += move.value
            outcome.disposals.append(Disposal(strategy, ZERO, move.value, ZERO))
        if move.role == "quote" and move.asset in CURRENCIES:
            holder.currency_effect += holder.realised - before
        return outcome

    def _settle(self, quantity: Decimal, value: Decimal | None, outcome: Outcome) -> tuple[Decimal, Decimal | None]:
        """What comes in by a posting first explains what was sold unseen."""
        settled = min(quantity, -self.suspense.quantity)
        worth_of_it = None if value is None else _share(value, settled, quantity)
        proceeds = -_share(self.suspense.cost, settled, -self.suspense.quantity)
        self.suspense.quantity += settled
        self.suspense.cost += proceeds
        if not self.suspense.quantity:
            self.suspense.pending = 0
        cost = proceeds if worth_of_it is None else worth_of_it
        nobody = self.holders.setdefault(None, Holder())
        nobody.realised += proceeds - cost
        outcome.disposals.append(Disposal(None, settled, proceeds, cost, worth_of_it is None))
        return quantity - settled, None if value is None or worth_of_it is None else value - worth_of_it

    def _cover(
        self, holder: Holder, strategy: int | None, quantity: Decimal, value: Decimal | None, outcome: Outcome
    ) -> tuple[Decimal, Decimal | None]:
        """Put what nobody has into suspense, and fetch what the strategy lacks from unallocated."""
        beyond = -quantity - self.held
        if beyond > 0:
            part = None if value is None else _share(value, beyond, -quantity)
            self.suspense.quantity -= beyond
            self.suspense.cost += part or ZERO
            self.suspense.pending += value is None
            outcome.oversold = beyond
            quantity += beyond
            value = None if value is None or part is None else value - part
        lacking = -quantity - holder.quantity
        nobody = self.holders.get(None)
        if strategy is not None and lacking > 0 and nobody is not None and nobody.quantity > 0:
            taken = min(lacking, nobody.quantity)
            cost = _share(nobody.cost, taken, nobody.quantity)
            nobody.quantity -= taken
            nobody.cost -= cost
            _trade(holder, strategy, taken, cost, outcome)
            outcome.taken = Taken(strategy, taken, cost)
        return quantity, value

    def as_document(self) -> dict[str, list[list[str | int | None]]]:
        """The state as JSON, decimals as strings."""
        rows = [[strategy, *_numbers(holder)] for strategy, holder in self.holders.items()]
        return {"holders": sorted(rows, key=lambda row: str(row[0])), "suspense": [_numbers(self.suspense)]}

    @classmethod
    def of_document(cls, document: Mapping[str, list[list[str | int | None]]]) -> InventoryState:
        """The state that ``as_document`` wrote."""
        holders = {}
        for strategy, *numbers in document["holders"]:
            holders[None if strategy is None else int(strategy)] = _holder(numbers)
        return cls(holders, _holder(document["suspense"][0]))


def _numbers(holder: Holder) -> list[str | int | None]:
    amounts = (holder.quantity, holder.cost, holder.realised, holder.currency_effect)
    return [*(plain(amount) for amount in amounts), holder.pending]


def _holder(numbers: list[str | int | None]) -> Holder:
    quantity, cost, realised, effect, pending = (str(number) for number in numbers)
    return Holder(Decimal(quantity), Decimal(cost), Decimal(realised), Decimal(effect), int(pending))


def _share(whole: Decimal, part: Decimal, of: Decimal) -> Decimal:
    """The part of an amount that goes with a part of a quantity; all of it goes with all."""
    return whole if part == of else cut(CONTEXT.divide(CONTEXT.multiply(whole, part), of))


def _trade(holder: Holder, strategy: int | None, quantity: Decimal, value: Decimal | None, outcome: Outcome) -> None:
    """Average cost, signed: what goes with the holding adds cost, what goes against it realises, the rest opens anew.

    An unknown value moves at average cost, so that nothing is realised by a guess.
    """
    held = holder.quantity
    if not quantity:
        # A fee took the whole of it: what was paid is lost, what was received is won.
        holder.realised -= value or ZERO
        outcome.disposals.append(Disposal(strategy, ZERO, -(value or ZERO), ZERO))
        return
    if not held or (held > 0) == (quantity > 0):
        if value is None:
            value = _share(holder.cost, quantity, held) if held else ZERO
        holder.quantity += quantity
        holder.cost += value
        return
    closing = min(abs(held), abs(quantity))
    removed = _share(holder.cost, closing, abs(held))
    if value is None:
        closed, opened = -removed, ZERO
    else:
        closed = _share(value, closing, abs(quantity))
        opened = value - closed
    holder.quantity += quantity
    holder.cost += opened - removed
    holder.realised -= closed + removed
    proceeds, cost = (-closed, removed) if held > 0 else (-removed, closed)
    outcome.disposals.append(Disposal(strategy, closing, proceeds, cost, value is None))


def moves_of_posting(
    kind: str,
    asset: str,
    amount: Decimal,
    network_fee: Decimal,
    value: Decimal | None,
    rate: Decimal | None,
) -> Move:
    """What a posting moves. ``value`` where it was given exactly, else by the rate; the network fee has no value: it is
    an expense. Comes in at its value: deposits as a flow, airdrops and rebates as income."""
    if value is None and rate is not None:
        value = worth(amount + network_fee, rate)
    return Move(
        asset,
        amount,
        value,
        "posting",
        is_pending=value is None,
        explains=True,
        is_income=kind in {"airdrop", "rebate"},
    )
