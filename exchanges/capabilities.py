"""What each exchange can do, as data. What it cannot is refused with a clear error, never emulated."""

from __future__ import annotations

from dataclasses import dataclass

from exchanges.models import Exchange


@dataclass(frozen=True, slots=True)
class Capabilities:
    """Order types with their times in force (None: the type has none), quote sizing, fees, and what has no way back."""

    order_types: dict[str, frozenset[str | None]]
    quote_quantity_sides: frozenset[str]
    quote_quantity_only_sides: frozenset[str]
    buy_fee_in_quote: bool
    refusals: dict[str, str]


CAPABILITIES: dict[str, Capabilities] = {
    Exchange.BINANCE.value: Capabilities(
        order_types={
            "MARKET": frozenset({None}),
            "LIMIT": frozenset({"GTC", "IOC", "FOK"}),
            "LIMIT_MAKER": frozenset({None}),
            "STOP_LOSS_LIMIT": frozenset({"GTC", "IOC", "FOK"}),
        },
        quote_quantity_sides=frozenset({"BUY", "SELL"}),
        quote_quantity_only_sides=frozenset(),
        # The fee of a buy comes out of the base asset received, or out of BNB (docs/binance.md §2).
        buy_fee_in_quote=False,
        refusals={},
    ),
}
