"""Every limit that may be set: which control it belongs to, its unit, where it may be set, and where it must be.

Values are in the limit's unit and never negative; 0 lets nothing through, unset means that the limit is not looked at,
except where it is mandatory. Where several scopes apply all are checked, so a narrower one never loosens a wider one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

BLOCK, WARN = "BLOCK", "WARN"
RAMP = "ramp"
EVERYWHERE = ("global", "exchange", "account", "strategy", "symbol")
BOOKS = ("global", "exchange", "account", "strategy")
SERIES = ("global", "account", "strategy")


@dataclass(frozen=True, slots=True)
class LimitSpec:
    """One kind of limit.

    ``mandatory``: scope kinds where an order is denied while it is unset. ``reducing``: whether it is looked at for
    orders that reduce exposure. ``higher_is_tighter``: a greater value lets less through. ``monitor``: a monitor looks
    at it (``risk.monitors``, ``orders.monitors``), no control of the gate.
    """

    name: str
    number: int
    unit: str
    scopes: tuple[str, ...]
    about: str
    mandatory: tuple[str, ...] = ()
    reducing: bool = False
    higher_is_tighter: bool = False
    enforcement: str = BLOCK
    window: timedelta | None = None
    monitor: bool = False


_ALL = (
    LimitSpec("permission", 1, "0 or 1", (*EVERYWHERE, "asset"), "0: nothing that increases exposure passes here."),
    LimitSpec("market_orders", 1, "0 or 1", EVERYWHERE, "0: no MARKET orders that increase exposure."),
    LimitSpec("max_order_quantity", 3, "base units", ("symbol", "asset"), "Base quantity of one order."),
    LimitSpec(
        "max_quantity_multiple",
        3,
        "multiple",
        EVERYWHERE,
        "Base quantity of one order against the median of the newest 50 that are its like; from 10 on.",
        enforcement=WARN,
    ),
    LimitSpec(
        "max_order_notional",
        4,
        "reporting currency",
        EVERYWHERE,
        "Worst value of one order.",
        mandatory=("account",),
    ),
    LimitSpec(
        "price_collar",
        5,
        "fraction",
        EVERYWHERE,
        "How far a price may lie on the aggressive side of the reference.",
        reducing=True,
    ),
    LimitSpec(
        "passive_collar",
        5,
        "fraction",
        EVERYWHERE,
        "How far a price may lie on the passive side of the reference.",
        reducing=True,
        enforcement=WARN,
    ),
    LimitSpec(
        "market_slippage", 6, "fraction", EVERYWHERE, "How deep into the stored book a MARKET order may have to reach."
    ),
    LimitSpec(
        "market_slippage_exit",
        6,
        "fraction",
        EVERYWHERE,
        "How deep into the stored book a MARKET order that reduces exposure may have to reach.",
        reducing=True,
    ),
    LimitSpec(
        "max_asset_exposure",
        8,
        "reporting currency",
        (*BOOKS, "asset"),
        "Of one asset over all its pairs: held, live buys in full, and this order.",
    ),
    LimitSpec("max_gross_exposure", 9, "reporting currency", BOOKS, "The sum of all assets' exposures but cash."),
    LimitSpec(
        "max_net_exposure", 9, "reporting currency", BOOKS, "What is held of all assets but cash, and this order."
    ),
    LimitSpec(
        "max_concentration",
        10,
        "fraction of equity",
        ("global", "account", "strategy", "asset"),
        "Exposure of one asset against equity.",
    ),
    LimitSpec(
        "max_exchange_exposure",
        11,
        "reporting currency",
        ("exchange",),
        "Cash, assets and live buys that stand at one exchange.",
    ),
    LimitSpec(
        "max_exchange_share", 11, "fraction of equity", ("exchange",), "What stands at one exchange against equity."
    ),
    # Selling USDT for TRY reduces by the rule, and is just what this one is about.
    LimitSpec(
        "max_currency_exposure",
        11,
        "reporting currency",
        ("asset",),
        "Of one cash asset but the reporting currency.",
        reducing=True,
    ),
    LimitSpec("max_working_orders", 12, "orders", EVERYWHERE, "Live exchange orders, this one included."),
    LimitSpec(
        "max_order_rate_1s",
        13,
        "decisions",
        EVERYWHERE,
        "Orders and replaces asked for within a second; reducing ones have a budget of their own, of the same size.",
        reducing=True,
        window=timedelta(seconds=1),
    ),
    LimitSpec(
        "max_order_rate_60s",
        13,
        "decisions",
        EVERYWHERE,
        "Orders and replaces asked for within a minute; reducing ones have a budget of their own, of the same size.",
        reducing=True,
        window=timedelta(seconds=60),
    ),
    LimitSpec(
        "max_turnover_1m",
        14,
        "reporting currency",
        EVERYWHERE,
        "Worst value of all orders accepted within a minute, this one included.",
        window=timedelta(minutes=1),
    ),
    LimitSpec(
        "max_turnover_1h",
        14,
        "reporting currency",
        EVERYWHERE,
        "Worst value of all orders accepted within an hour, this one included.",
        window=timedelta(hours=1),
    ),
    LimitSpec(
        "max_turnover_1d",
        14,
        "reporting currency",
        EVERYWHERE,
        "Worst value of all orders accepted within a day, this one included.",
        window=timedelta(days=1),
    ),
    LimitSpec(
        "duplicate_window",
        15,
        "seconds",
        EVERYWHERE,
        "For how long an order that looks like a live one, or like one that filled, is taken for a duplicate.",
        reducing=True,
        higher_is_tighter=True,
    ),
    LimitSpec(
        "self_match",
        18,
        "orders",
        EVERYWHERE,
        "How many of our own live orders at the exchange a new one could trade with.",
        reducing=True,
    ),
    # No caps: a loss that equals its limit breaks it.
    LimitSpec(
        "max_daily_loss",
        19,
        "reporting currency",
        SERIES,
        "Equity as the day (UTC) began, plus its flows, less equity.",
    ),
    LimitSpec(
        "max_daily_loss_fraction", 19, "fraction", SERIES, "Loss of the day against the equity with which it began."
    ),
    LimitSpec("max_drawdown", 20, "fraction", SERIES, "How far NAV has fallen from its highest ever."),
    LimitSpec(
        "max_drawdown_amount", 20, "reporting currency", SERIES, "How far equity has fallen from its highest ever."
    ),
    LimitSpec("max_quote_age", 22, "seconds", EVERYWHERE, "Age of the instrument's price.", reducing=True),
    LimitSpec("max_spread", 22, "fraction", EVERYWHERE, "(ask − bid) / mid.", reducing=True),
    LimitSpec(
        "max_mid_jump",
        22,
        "fraction per second",
        EVERYWHERE,
        "How far the mid may have moved since the quote before it.",
        reducing=True,
    ),
    LimitSpec(
        "max_divergence",
        22,
        "fraction",
        EVERYWHERE,
        "Between this price and the same asset's at another exchange.",
        reducing=True,
    ),
    LimitSpec(
        "max_repeated_executions",
        16,
        "orders",
        ("global", "strategy"),
        "Increasing orders of one strategy that filled since its books began or two persons lifted its latch.",
        monitor=True,
    ),
    LimitSpec(
        "max_rejects_60s",
        17,
        "requests",
        ("global", "exchange", "account"),
        "Requests of one account that its exchange refused within a minute.",
        monitor=True,
    ),
    LimitSpec(
        "max_unknown_60s",
        17,
        "requests",
        ("global", "exchange", "account"),
        "Requests of one account within a minute of which nobody knows what came of them.",
        monitor=True,
    ),
    LimitSpec(
        "max_losing_closes_1h",
        21,
        "orders",
        ("account", "strategy"),
        "Sales within an hour that realised a loss; then nothing increases for the cool_down.",
        monitor=True,
    ),
    LimitSpec(
        "cool_down",
        21,
        "seconds",
        ("global", "account", "strategy"),
        "How long a pause after max_losing_closes_1h lasts, at most a day; 900 where it is not set.",
        higher_is_tighter=True,
        monitor=True,
    ),
    LimitSpec(
        "max_range_1m",
        23,
        "fraction",
        ("global", "exchange", "symbol"),
        "(highest mid − lowest mid) / lowest mid of one symbol within a minute; then it pauses for volatility_pause.",
        monitor=True,
    ),
    LimitSpec(
        "volatility_pause",
        23,
        "seconds",
        ("global", "exchange", "symbol"),
        "How long a pause after max_range_1m lasts, at most a day; 300 where it is not set.",
        higher_is_tighter=True,
        monitor=True,
    ),
    LimitSpec(RAMP, 28, "fraction", ("global", "account"), "What counts of the scope's money limits; global: of all."),
)
CATALOGUE: dict[str, LimitSpec] = {spec.name: spec for spec in _ALL}
AT_THE_GATE: dict[str, LimitSpec] = {spec.name: spec for spec in _ALL if not spec.monitor}
"""Those that a control of the gate looks at, for every order."""

OF_EXPOSURE = (
    "max_asset_exposure",
    "max_gross_exposure",
    "max_net_exposure",
    "max_concentration",
    "max_exchange_exposure",
    "max_exchange_share",
    "max_currency_exposure",
)
"""Limits that need holdings and their prices."""
OF_EQUITY = ("max_concentration", "max_exchange_share")
OF_LOSS = tuple(spec.name for spec in _ALL if spec.number in {19, 20})
"""Limits that monitors watch in the series of equity, each scope in its own."""
OF_DEPTH = ("market_slippage", "market_slippage_exit")
OF_LIVE_ORDERS = (*OF_EXPOSURE, "max_working_orders")
OF_RATE = tuple(spec.name for spec in _ALL if spec.number == 13)
OF_TURNOVER = tuple(spec.name for spec in _ALL if spec.number == 14)
