"""The symbols on offer and the moving market behind them: a random walk from a seed, in whole ticks."""

from __future__ import annotations

import random
from decimal import Decimal

from exchanges.matching import Level
from exchanges.simulator.filters import SymbolRules

DEPTH_LEVELS = 20
TICK_SECONDS = 0.25

D = Decimal

SYMBOLS: tuple[SymbolRules, ...] = (
    SymbolRules(
        symbol="BTCUSDT",
        base="BTC",
        quote="USDT",
        start_price=D("60000.00"),
        tick=D("0.01"),
        min_price=D("0.01"),
        max_price=D("1000000.00"),
        step=D("0.00001"),
        min_quantity=D("0.00001"),
        max_quantity=D("9000.00000"),
        market_min_quantity=D(0),
        market_max_quantity=D("120.00000"),
        market_step=D(0),
        min_notional=D("5.00"),
        max_notional=D("9000000.00"),
        depth_quantity=D("2.00000"),
    ),
    SymbolRules(
        symbol="ETHUSDT",
        base="ETH",
        quote="USDT",
        start_price=D("3000.00"),
        tick=D("0.01"),
        min_price=D("0.01"),
        max_price=D("1000000.00"),
        step=D("0.0001"),
        min_quantity=D("0.0001"),
        max_quantity=D("9000.0000"),
        market_min_quantity=D(0),
        market_max_quantity=D("2500.0000"),
        market_step=D(0),
        min_notional=D("5.00"),
        max_notional=D("9000000.00"),
        depth_quantity=D("30.0000"),
    ),
    SymbolRules(
        symbol="BNBUSDT",
        base="BNB",
        quote="USDT",
        start_price=D("600.00"),
        tick=D("0.01"),
        min_price=D("0.01"),
        max_price=D("100000.00"),
        step=D("0.001"),
        min_quantity=D("0.001"),
        max_quantity=D("900000.000"),
        market_min_quantity=D(0),
        market_max_quantity=D("5000.000"),
        market_step=D(0),
        min_notional=D("5.00"),
        max_notional=D("9000000.00"),
        depth_quantity=D("50.000"),
    ),
    SymbolRules(
        symbol="ETHBTC",
        base="ETH",
        quote="BTC",
        start_price=D("0.05000"),
        tick=D("0.00001"),
        min_price=D("0.00001"),
        max_price=D("922327.00000"),
        step=D("0.0001"),
        min_quantity=D("0.0001"),
        max_quantity=D("100000.0000"),
        market_min_quantity=D(0),
        market_max_quantity=D("1500.0000"),
        market_step=D(0),
        min_notional=D("0.00010000"),
        max_notional=D("9000000.00000000"),
        depth_quantity=D("20.0000"),
    ),
)


def ladder(rules: SymbolRules, bid: Decimal, ask: Decimal, quantity: Decimal) -> tuple[list[Level], list[Level]]:
    """Equal levels one tick apart on both sides, best first."""
    bids = [(bid - rules.tick * n, quantity) for n in range(DEPTH_LEVELS) if bid - rules.tick * n > 0]
    return bids, [(ask + rules.tick * n, quantity) for n in range(DEPTH_LEVELS)]


class Walk:
    """Random walk of one symbol's mid price. The same seed gives the same sequence of books."""

    def __init__(self, rules: SymbolRules, seed: int) -> None:
        self._rules = rules
        self._random = random.Random(f"{seed}:{rules.symbol}")
        self._anchor = self._mid = int(rules.start_price / rules.tick)

    def recenter(self, price: Decimal) -> None:
        """Go on from `price`, and stay around it."""
        self._anchor = self._mid = max(2, int(price / self._rules.tick))

    def step(self) -> tuple[list[Level], list[Level]]:
        """Move once and return the new displayed depth (bids, asks), best first."""
        self._move()
        return self.depth()

    def _move(self) -> None:
        stride = max(1, self._mid // 20_000)
        # The walk leans back to where it started, so that a demo left running for days keeps sane prices.
        lean = (self._anchor - self._mid) // 2_000
        self._mid = max(2, self._mid + self._random.randint(-stride, stride) + lean)

    def depth(self) -> tuple[list[Level], list[Level]]:
        """Displayed depth (bids, asks) around where the walk stands, best first, in fresh sizes."""
        gap = max(1, self._mid // 10_000)
        bids: list[Level] = []
        asks: list[Level] = []
        for n in range(DEPTH_LEVELS):
            if (below := self._mid - n * gap - 1) > 0:
                bids.append((below * self._rules.tick, self._size(n)))
            asks.append(((self._mid + n * gap) * self._rules.tick, self._size(n)))
        return bids, asks

    def _size(self, level: int) -> Decimal:
        share = Decimal(self._random.randint(30, 170) * (level + 4)) / 400
        step = self._rules.step
        return max(step, self._rules.depth_quantity * share // step * step)
