"""First in, first out, for statements: the lots of one asset in one account. Pure; no database, no clock.

Both methods end at the same total: what was paid and received is either in a cost or in a profit.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from execution_project.common.money import CONTEXT
from positions.costing import ZERO, Move, cut


@dataclass(slots=True)
class Lot:
    """What is left of one acquisition: quantity, and its cost in the reporting currency (None: pending)."""

    acquired_at: datetime
    fact: UUID | None
    quantity: Decimal
    cost: Decimal | None


@dataclass(frozen=True, slots=True)
class LotDisposal:
    """A part of a disposal, out of one lot. ``proceeds``, ``cost`` None while a rate is missing."""

    acquired_at: datetime | None
    acquired_by: UUID | None
    quantity: Decimal
    proceeds: Decimal | None
    cost: Decimal | None

    @property
    def realised(self) -> Decimal | None:
        """Proceeds less cost; None while one of them is pending."""
        return None if self.proceeds is None or self.cost is None else self.proceeds - self.cost


@dataclass(slots=True)
class Lots:
    """The open lots of an asset, oldest first, and what was sold beyond them (``unexplained``, with its proceeds)."""

    open: deque[Lot] = field(default_factory=deque)
    unexplained: deque[Lot] = field(default_factory=deque)

    @property
    def quantity(self) -> Decimal:
        """What is held, less what was sold unseen."""
        return sum((lot.quantity for lot in self.open), ZERO) - sum((lot.quantity for lot in self.unexplained), ZERO)

    @property
    def cost(self) -> Decimal:
        """The known cost of the open lots, less the proceeds of what was sold unseen."""
        held = sum((lot.cost for lot in self.open if lot.cost is not None), ZERO)
        return held - sum((lot.cost for lot in self.unexplained if lot.cost is not None), ZERO)

    def apply(self, move: Move, at: datetime, fact: UUID | None = None) -> list[LotDisposal]:
        """One more move, in the order of moments; returns what it disposed of."""
        disposals: list[LotDisposal] = []
        quantity, value = move.quantity, move.value
        if quantity > 0:
            if move.explains:
                quantity, value = self._explain(quantity, value, disposals)
            if quantity:
                self.open.append(Lot(at, fact, quantity, value))
        elif quantity < 0:
            self._dispose(-quantity, None if value is None else -value, at, fact, disposals)
        elif value:
            disposals.append(LotDisposal(None, fact, ZERO, -value, ZERO))
        if move.is_income:
            disposals.append(LotDisposal(at, fact, ZERO, move.value, ZERO))
        return disposals

    def _dispose(
        self,
        quantity: Decimal,
        proceeds: Decimal | None,
        at: datetime,
        fact: UUID | None,
        disposals: list[LotDisposal],
    ) -> None:
        while quantity and self.open:
            lot = self.open[0]
            part = min(quantity, lot.quantity)
            received, cost = _part(proceeds, part, quantity), _part(lot.cost, part, lot.quantity)
            disposals.append(LotDisposal(lot.acquired_at, lot.fact, part, received, cost))
            lot.quantity -= part
            lot.cost = _less(lot.cost, cost)
            quantity, proceeds = quantity - part, _less(proceeds, received)
            if not lot.quantity:
                self.open.popleft()
        if quantity:
            self.unexplained.append(Lot(at, fact, quantity, proceeds))

    def _explain(
        self, quantity: Decimal, value: Decimal | None, disposals: list[LotDisposal]
    ) -> tuple[Decimal, Decimal | None]:
        while quantity and self.unexplained:
            sold = self.unexplained[0]
            part = min(quantity, sold.quantity)
            cost, received = _part(value, part, quantity), _part(sold.cost, part, sold.quantity)
            disposals.append(LotDisposal(sold.acquired_at, sold.fact, part, received, cost))
            sold.quantity -= part
            sold.cost = _less(sold.cost, received)
            quantity, value = quantity - part, _less(value, cost)
            if not sold.quantity:
                self.unexplained.popleft()
        return quantity, value


def _part(whole: Decimal | None, part: Decimal, of: Decimal) -> Decimal | None:
    if whole is None or part == of:
        return whole
    return cut(CONTEXT.divide(CONTEXT.multiply(whole, part), of))


def _less(whole: Decimal | None, part: Decimal | None) -> Decimal | None:
    return None if whole is None or part is None else whole - part
