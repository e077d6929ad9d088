"""What a rehearsal does on a recorded market: orders and cancels made by chance from a seed."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from exchanges.paper.recording import Header


@dataclass(frozen=True, slots=True)
class Planned:
    """One thing to do: place an order, or cancel what was placed as number ``cancels``. ``distance``: of the limit from
    the best price of the own side, as a fraction; ``size``: as a fraction of what is shown there."""

    at: datetime
    symbol: str
    side: str
    type: str
    distance: Decimal
    size: Decimal
    cancels: int | None = None


def seeded_plan(header: Header, end: datetime, count: int, seed: int) -> list[Planned]:
    """``count`` orders spread over the recording by chance: a third at the market, the others near the best price, of
    which every second is canceled later. The same for the same seed."""
    chance = random.Random(seed)  # noqa: S311  repeatable on purpose
    begin = header.start + timedelta(seconds=5)
    span = max((end - begin).total_seconds(), 1)
    moments = sorted(chance.randrange(int(span * 1000)) for _ in range(count))
    plan: list[Planned] = []
    for number, moment in enumerate(moments, 1):
        at = begin + timedelta(milliseconds=moment)
        symbol = chance.choice(sorted(header.instruments))
        side = chance.choice(["BUY", "SELL"])
        kind = chance.choice(["MARKET", "LIMIT", "LIMIT"])
        distance = Decimal(chance.randrange(-2, 6)) / 10_000
        size = Decimal(chance.randrange(1, 100)) / 100
        plan.append(Planned(at, symbol, side, kind, distance, size))
        if kind == "LIMIT" and chance.random() < 0.5:
            later = min(at + timedelta(milliseconds=chance.randrange(500, 60_000)), end)
            plan.append(Planned(later, symbol, side, "CANCEL", distance, size, cancels=number))
    return sorted(plan, key=lambda step: (step.at, step.cancels or 0))
