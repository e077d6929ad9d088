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
    replace_methods: frozenset[str]
    # A cancel names the exchange's id only; an order without one must be found first.
    cancel_needs_exchange_id: bool
    # The answer to a placement, or to a cancel, carries what became of it; else the order is asked for afterwards.
    answers_are_complete: bool
    # A request that arrives after its receive window is refused; else it may hang and be executed much later.
    refuses_late_requests: bool
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
        replace_methods=frozenset({"amend", "cancel_replace", "cancel_then_place"}),
        cancel_needs_exchange_id=False,
        answers_are_complete=True,
        refuses_late_requests=True,
        refusals={},
    ),
    Exchange.BTCTURK.value: Capabilities(
        order_types={"MARKET": frozenset({None}), "LIMIT": frozenset({"GTC"})},
        quote_quantity_sides=frozenset({"BUY"}),
        # docs/btcturk.md §2: the quantity of a market buy is an amount of quote asset, fee and tax included.
        quote_quantity_only_sides=frozenset({"BUY"}),
        buy_fee_in_quote=True,
        replace_methods=frozenset({"cancel_then_place"}),
        cancel_needs_exchange_id=True,
        answers_are_complete=False,
        refuses_late_requests=False,
        refusals={
            "STOP_LOSS_LIMIT": "A triggered stop gets a new exchange id there and could not be followed.",
            "LIMIT_MAKER": "There are no post-only orders there.",
        },
    ),
}
