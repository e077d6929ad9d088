"""A desk in plain words: who holds what, what live orders may still bring, and what limits say of the next one.

Written from docs/risk-controls.md and nothing else: it imports nothing of ``risk``, knows no database, and sums orders
one by one from what was asked for and what was told of them, where the gate sums reservations and holdings.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from uuid import UUID

ZERO = Decimal(0)
CODES = {
    "max_order_notional": "MAX_ORDER_NOTIONAL",
    "max_asset_exposure": "MAX_ASSET_EXPOSURE",
    "max_gross_exposure": "MAX_GROSS_EXPOSURE",
    "max_working_orders": "MAX_WORKING_ORDERS",
    "max_turnover_1h": "MAX_TURNOVER",
}


@dataclass(frozen=True, slots=True)
class Where:
    """Where something stands; ``asset`` is the base asset."""

    exchange: str
    account: str
    strategy: str
    symbol: str
    asset: str

    def within(self, scope: str) -> bool:
        """Whether it lies in a scope like ``global`` or ``account:main``."""
        kind, _, name = scope.partition(":")
        return kind == "global" or getattr(self, kind) == name


@dataclass(frozen=True, slots=True)
class Known:
    """One order by its facts. Quantities in base; ``unit``: reporting currency per base, by its own decision.

    ``booked``: traded and in the books; ``told``: traded by the exchange's word; ``becoming``: worth of what a replace
    under way is to make of it.
    """

    where: Where
    side: str
    quantity: Decimal
    unit: Decimal
    booked: Decimal = ZERO
    told: Decimal = ZERO
    ended: bool = False
    becoming: Decimal = ZERO

    def heard(self, *, traded: Decimal = ZERO, told: Decimal = ZERO, ended: bool = False) -> Known:
        """After trades were booked, the exchange named a cumulative quantity, or said that it is over."""
        booked = self.booked + traded
        over = self.ended or ended or booked >= self.quantity
        return replace(self, booked=booked, told=max(self.told, told), ended=over)

    @property
    def open_quantity(self) -> Decimal:
        """What may still be traded, or was and is not booked."""
        unbooked = max(self.told - self.booked, ZERO)
        return unbooked if self.ended else max(self.quantity - self.booked, unbooked)

    @property
    def worth(self) -> Decimal:
        """What a buy may still bring, in the reporting currency; of a replace the greater of old and new."""
        return max(self.open_quantity * self.unit, self.becoming) if self.side == "BUY" else ZERO

    @property
    def bought(self) -> Decimal:
        """Base units that it brought into the books; a sale took them out."""
        return self.booked if self.side == "BUY" else -self.booked


@dataclass(frozen=True, slots=True)
class Asked:
    """One decision: what was asked for, and which codes the gate found broken.

    ``number``: in the order of decisions. ``worth``: worst value in the reporting currency; ``order``: of a replace
    also the order that is replaced, whose worth until then is ``own``.
    """

    number: int
    order: UUID
    where: Where
    side: str
    quantity: Decimal
    worth: Decimal
    codes: frozenset[str]
    replaces: bool = False
    own: Decimal = ZERO

    @property
    def accepted(self) -> bool:
        """Whether the gate let it pass."""
        return not self.codes

    @property
    def worth_added(self) -> Decimal:
        """What it turns over: of a replace what comes on top."""
        return max(self.worth - self.own, ZERO)


Limit = tuple[str, str, Decimal]
Range = tuple[Decimal, Decimal]


@dataclass
class Desk:
    """All accounts of one mode. ``books``: what was held before the first order; ``marks``: of each asset now."""

    books: dict[Where, Decimal]
    limits: list[Limit]
    marks: dict[str, Decimal] = field(default_factory=dict)
    orders: dict[UUID, Known] = field(default_factory=dict)
    decided: list[Asked] = field(default_factory=list)
    _before: dict[UUID, Known] = field(default_factory=dict)
    _numbers: dict[UUID, int] = field(default_factory=dict)

    def open_round(self) -> None:
        """From here on acts run side by side: nobody knows which of them an answer has seen."""
        self._before, self._numbers = dict(self.orders), {}

    def note(self, asked: Asked, becomes: Known | None) -> None:
        """A decision of this round, and what its order is from then on, if it was accepted."""
        self.decided.append(asked)
        if becomes is not None:
            self.orders[asked.order], self._numbers[asked.order] = becomes, asked.number

    def check(self, asked: Asked) -> None:
        """The gate denied what breaks a limit whatever it saw of acts beside it, and nothing else."""
        if asked.side == "SELL":
            lowest, highest = self._free(asked)
            assert asked.quantity <= highest or not asked.accepted, ("sold what is not there", asked, highest)
            assert asked.quantity > lowest or asked.accepted, ("an exit was held up", asked, lowest)
            return
        must, may = set(), set()
        for control, scope, value in self.limits:
            if asked.where.within(scope):
                lowest, highest = self._observed(control, scope, asked)
                must |= {CODES[control]} if lowest > value else set()
                may |= {CODES[control]} if highest > value else set()
        assert must <= asked.codes <= may, (asked, sorted(must), sorted(may), self.limits)

    def is_over(self, asked: Asked) -> bool:
        """Whether facts alone, without this order, stand beyond a limit on exposure that applies to it."""
        return any(
            control.endswith("exposure")
            and asked.where.within(scope)
            and self._observed(control, scope, replace(asked, worth=ZERO))[0] > value
            for control, scope, value in self.limits
        )

    def _observed(self, control: str, scope: str, asked: Asked) -> Range:
        """What a limit looks at, this order included: the least and the most that the gate may have seen."""
        if control == "max_order_notional":
            return asked.worth, asked.worth
        if control == "max_turnover_1h":
            earlier = (row for row in self.decided if row.accepted and row.number < asked.number)
            turned = sum((row.worth_added for row in earlier if row.where.within(scope)), ZERO)
            return turned + asked.worth_added, turned + asked.worth_added
        alike = control == "max_asset_exposure"
        lowest = highest = Decimal(1) if control == "max_working_orders" else max(asked.worth, asked.own)
        if control != "max_working_orders":
            held = sum(
                (
                    quantity * self.marks[where.asset]
                    for where, quantity in self.books.items()
                    if where.within(scope) and (not alike or where.asset == asked.where.asset)
                ),
                ZERO,
            )
            lowest, highest = lowest + held, highest + held
        for key, states in self._states(asked.number):
            values = [self._counted(control, scope, asked, key, state) for state in states]
            lowest, highest = lowest + min(values), highest + max(values)
        return lowest, highest

    def _counted(self, control: str, scope: str, asked: Asked, key: UUID, known: Known | None) -> Decimal:
        """What another order, or the one that is to be replaced, adds."""
        if known is None or not known.where.within(scope):
            return ZERO
        own = asked.replaces and key == asked.order
        if control == "max_working_orders":
            return Decimal(not known.ended and not own)
        if control == "max_asset_exposure" and known.where.asset != asked.where.asset:
            return ZERO
        return known.bought * self.marks[known.where.asset] + (ZERO if own else known.worth)

    def _free(self, asked: Asked) -> Range:
        """Base units of the account that no live sale has taken."""
        held = sum((q for where, q in self.books.items() if same_funds(where, asked.where)), ZERO)
        lowest = highest = held
        for _, states in self._states(asked.number):
            values = [
                ZERO
                if known is None or not same_funds(known.where, asked.where)
                else known.bought - (known.open_quantity if known.side == "SELL" else ZERO)
                for known in states
            ]
            lowest, highest = lowest + min(values), highest + max(values)
        return lowest, highest

    def _states(self, number: int) -> Iterator[tuple[UUID, list[Known | None]]]:
        """Every order as the decision of this number may have seen it: what decisions did has their order, what else
        happened in the round may have come before or after."""
        for key, now in self.orders.items():
            before = self._before.get(key)
            decided = self._numbers.get(key)
            if decided is None:
                yield key, [before, now]
            else:
                yield key, [now if decided < number else before]


def same_funds(one: Where, other: Where) -> bool:
    """Whether two things draw on the same balance."""
    return (one.account, one.asset) == (other.account, other.asset)
