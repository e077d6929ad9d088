"""How long a stream may take, be silent and live; all in seconds. Facts: docs/binance.md §7, docs/btcturk.md §6."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bounds:
    """Times of one kind of stream. The defaults suit a private stream that the server pings every 20 s."""

    ready: float = 10.0
    """From the first attempt to connect to the answer to the last subscription."""
    ping_every: float = 10.0
    silence: float = 30.0
    """Without any frame, pongs and pings included, for so long: the connection is dead, whatever the socket says."""
    data_silence: float | None = None
    """Without any data frame for so long, once there was one: the feed has stalled behind a live connection."""
    rollover: float = 23 * 3600.0
    """A connection this old gets a successor before the exchange ends it at 24 h."""
    overlap: float = 2.0
    """How long the old connection still speaks beside its successor; what comes twice is booked once."""
    first_pause: float = 0.5
    longest_pause: float = 30.0
    refused_pause: float = 60.0
    """After a refused login: repeating it soon gets an address blocked."""
    steady: float = 30.0
    """A connection that lived this long was a success: the next pause is the first again."""


BINANCE_PRIVATE = Bounds()
BTCTURK_PRIVATE = Bounds(ping_every=5.0, silence=20.0, data_silence=30.0)
# Pings are what confirms an unchanged price, so they come more often than a quote may grow old.
BINANCE_MARKET = Bounds(ping_every=1.5, silence=10.0, data_silence=60.0)
BTCTURK_MARKET = Bounds(ping_every=1.5, silence=15.0, data_silence=20.0)
