"""Control 25, output equals input: what goes out for an order is what was decided, and no more of it.

It needs no limit and cannot be switched off: one unexplained exchange order latches its account.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

NUMBER = 25
CONTROL = "output_equals_input"


@dataclass(frozen=True, slots=True)
class Sent:
    """One exchange order: what it was sized at, what of it is booked, and whether it can still trade.

    In base, or in quote for an order that is sized in quote. ``approved``: the decision that it goes back to exists, is
    about this order and accepted it.
    """

    client_order_id: str
    size: Decimal
    booked: Decimal
    ended: bool
    planned: bool
    approved: bool

    @property
    def alive(self) -> bool:
        """Whether it may trade; one that is only planned takes the place of another."""
        return not self.ended and not self.planned

    @property
    def most(self) -> Decimal:
        """What it may come to: filled and leaves."""
        return max(self.size, self.booked) if self.alive else self.booked


def evaluate(
    size: Decimal | None, largest: Decimal | None, sent: Iterable[Sent], slack: Decimal = Decimal(0)
) -> str | None:
    """What is not explained about an order of this size, or None: ``Σ (filled + leaves) ≤ size`` passes.

    ``largest``: the largest size that was ever approved for it. It counts once nothing is alive, because an order that
    is made smaller may fill beyond that before the exchange hears of it. A size that is missing explains nothing.
    ``slack``: of an order sized in quote what one step of the lot is worth, for Binance takes the quantity on the grid
    whose value is nearest to what was asked for, be it a little more.
    """
    rows = list(sent)
    for row in rows:
        if not row.approved:
            return f"no accepted decision stands behind {row.client_order_id}"
    total = sum((row.most for row in rows), Decimal(0))
    bound = size
    if size is not None and largest is not None and not any(row.alive for row in rows):
        bound = max(size, largest)
    if bound is None or total > bound + slack:
        known = "an unknown size" if bound is None else f"{bound.normalize():f}"
        return f"{len(rows)} exchange orders may come to {total.normalize():f} of {known}"
    return None
