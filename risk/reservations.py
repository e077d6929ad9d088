"""What a live exchange order may still consume: a function of what is not yet booked, set and never decremented."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, localcontext

from execution_project.common.money import CONTEXT, round_up

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class ReservationFacts:
    """Facts of one exchange order. ``reserve_price``: quote per base a buy costs at most; ``exposure_price``:
    reporting currency per base; ``ended``: proven that it can trade no more; ``sale_brings_exposure``: a sale's
    proceeds are not the reporting currency."""

    side: str
    quantity: Decimal | None
    quote_quantity: Decimal | None
    reserve_price: Decimal
    exposure_price: Decimal
    fee_in_quote_rate: Decimal
    booked_quantity: Decimal
    booked_quote: Decimal
    cumulative_quantity: Decimal
    ended: bool
    sale_brings_exposure: bool = False


def required(facts: ReservationFacts) -> tuple[Decimal, Decimal]:
    """(funds in the spent asset, exposure in the reporting currency) that must stay reserved; both ≥ 0.

    An ended order keeps only what the exchange reported as traded and whose trades have not arrived.
    """
    unbooked = max(facts.cumulative_quantity - facts.booked_quantity, ZERO)
    with localcontext(CONTEXT):
        if facts.ended:
            base = unbooked
        elif facts.quantity is not None:
            base = max(facts.quantity - facts.booked_quantity, unbooked, ZERO)
        else:
            left = max((facts.quote_quantity or ZERO) - facts.booked_quote, ZERO)
            base = max(left / facts.reserve_price, unbooked)
        brings = facts.side == "BUY" or facts.sale_brings_exposure
        exposure = round_up(base * facts.exposure_price) if brings else ZERO
        if facts.side == "SELL":
            return round_up(base), exposure
        if facts.quote_quantity is not None and not facts.ended:
            funds = max(facts.quote_quantity - facts.booked_quote, unbooked * facts.reserve_price)
        else:
            funds = base * facts.reserve_price
        return round_up(funds * (1 + facts.fee_in_quote_rate)), exposure
