"""A recorded market made by chance from a seed, for rehearsals."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from exchanges.paper.recording import Event, Header, Kind, Levels, Writer

START = datetime(2026, 1, 5, 12, tzinfo=UTC)
FACTS = {
    "base_asset": "BTC",
    "quote_asset": "USDT",
    "status": "TRADING",
    "is_trading": True,
    "base_precision": 8,
    "quote_precision": 8,
    "order_types": ["LIMIT", "MARKET"],
    "quote_quantity_allowed": True,
    "filters": {
        "LOT_SIZE": {"minQty": "0.00001", "maxQty": "9000", "stepSize": "0.00001"},
        "PRICE_FILTER": {"minPrice": "0.01", "maxPrice": "1000000", "tickSize": "0.01"},
        "NOTIONAL": {"minNotional": "5", "applyMinToMarket": True},
    },
}


def write_recording(path: Path, seconds: int, seed: int = 1) -> int:
    """A walking book of five levels a second, and a public trade every other second; how many lines."""
    chance = random.Random(seed)
    header = Header("binance", "sandbox", START, {"BTCUSDT": FACTS})
    middle = Decimal(60_000)
    with Writer(path, header) as writer:
        for second in range(seconds):
            at = START + timedelta(seconds=second)
            middle += Decimal(chance.randrange(-500, 501)) / 100
            bids, asks = (_side(chance, middle, sign) for sign in (-1, 1))
            writer.write(Event(Kind.DEPTH, at, "BTCUSDT", bids, asks))
            if chance.random() < 0.5:
                side = chance.choice(["BUY", "SELL"])
                price = (asks if side == "BUY" else bids)[chance.randrange(2)][0]
                size = Decimal(chance.randrange(1, 200)) / 100
                later = at + timedelta(milliseconds=500)
                writer.write(Event(Kind.TRADE, later, "BTCUSDT", price=price, quantity=size, aggressor=side))
        return writer.lines


def _side(chance: random.Random, middle: Decimal, sign: int) -> Levels:
    return tuple(
        (middle + sign * (Decimal(5) + level * 5), Decimal(chance.randrange(5, 200)) / 100) for level in range(5)
    )
