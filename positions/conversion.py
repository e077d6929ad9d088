"""What one unit of an asset is worth in another, over the pairs that have a usable quote. No database, no clock.

Every hop goes to the adverse side: an asset is sold at the bid of its pair, or buys the other one at the ask. ``mid``
goes through the middle of every pair instead, for display alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, localcontext
from typing import Literal

from execution_project.common.money import CONTEXT, round_down

MAX_HOPS = 3
Side = Literal["bid", "mid"]


@dataclass(frozen=True, slots=True)
class PairQuote:
    """A pair with its best prices, both positive and not crossed, confirmed at ``at``."""

    exchange: str
    symbol: str
    base: str
    quote: str
    bid: Decimal
    ask: Decimal
    at: datetime


@dataclass(frozen=True, slots=True)
class Worth:
    """The price of one unit, over which pairs (``exchange:symbol:side``), and the time of the oldest of their quotes.

    ``at`` is None for the currency itself, which no quote stands behind.
    """

    price: Decimal
    path: tuple[str, ...] = ()
    at: datetime | None = None
    foreign_hops: int = 0


@dataclass(frozen=True, slots=True)
class _Hop:
    """One unit of ``source`` brings ``rate`` units of ``target``."""

    source: str
    target: str
    rate: Decimal
    name: str
    foreign: bool
    at: datetime


def worth_of(
    assets: Collection[str], currency: str, pairs: Iterable[PairQuote], *, exchange: str, side: Side = "bid"
) -> dict[str, Worth]:
    """What one unit of each asset is worth in ``currency``; an asset that no path reaches is not in the answer.

    Breadth first, at most three pairs. A path over pairs of ``exchange`` alone goes before any other; of equally
    short ones the one with fewer foreign pairs, then the first by name, so that the choice does not move with prices.
    Prices are rounded down to 18 decimals; one that rounds to zero is none.
    """
    hops = [hop for pair in pairs for hop in _hops(pair, exchange, side)]
    found = _search([hop for hop in hops if not hop.foreign], currency)
    if any(asset not in found for asset in assets):
        found = {**_search(hops, currency), **found}
    result = {}
    for asset in assets:
        if asset in found:
            price = round_down(found[asset].price)
            if price > 0:
                result[asset] = Worth(price, found[asset].path, found[asset].at, found[asset].foreign_hops)
    return result


def _hops(pair: PairQuote, exchange: str, side: Side) -> tuple[_Hop, _Hop]:
    name, foreign = f"{pair.exchange}:{pair.symbol}", pair.exchange != exchange
    with localcontext(CONTEXT):
        sell, buy = pair.bid, pair.ask
        if side == "mid":
            sell = buy = (pair.bid + pair.ask) / 2
        words = ("mid", "mid") if side == "mid" else ("bid", "ask")
        return (
            _Hop(pair.base, pair.quote, sell, f"{name}:{words[0]}", foreign, pair.at),
            _Hop(pair.quote, pair.base, 1 / buy, f"{name}:{words[1]}", foreign, pair.at),
        )


def _search(hops: list[_Hop], currency: str) -> dict[str, Worth]:
    """Backwards from the currency, ring by ring."""
    found = {currency: Worth(Decimal(1))}
    ring = {currency}
    for _ in range(MAX_HOPS):
        reached: dict[str, tuple[tuple[int, str, str], Worth]] = {}
        for hop in hops:
            if hop.target not in ring or hop.source in found:
                continue
            beyond = found[hop.target]
            rank = (beyond.foreign_hops + hop.foreign, hop.target, hop.name)
            if hop.source not in reached or rank < reached[hop.source][0]:
                with localcontext(CONTEXT):
                    price = hop.rate * beyond.price
                oldest = hop.at if beyond.at is None else min(hop.at, beyond.at)
                reached[hop.source] = (rank, Worth(price, (hop.name, *beyond.path), oldest, rank[0]))
        ring = set(reached)
        found |= {asset: worth for asset, (_, worth) in reached.items()}
    return found
