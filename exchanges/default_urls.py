"""Where the exchanges listen, per mode (docs/binance.md §1, docs/btcturk.md §1)."""

from __future__ import annotations

from typing import NamedTuple

from exchanges.models import Exchange, Mode


class Urls(NamedTuple):
    """Of the REST API, and of the private stream."""

    rest: str
    ws: str


# BTCTurk has no sandbox: an account of that mode names the simulator's URL.
DEFAULT_URLS: dict[tuple[str, str], Urls] = {
    (Exchange.BINANCE.value, Mode.LIVE.value): Urls(
        "https://api.binance.com", "wss://ws-api.binance.com:443/ws-api/v3"
    ),
    (Exchange.BINANCE.value, Mode.SANDBOX.value): Urls(
        "https://testnet.binance.vision", "wss://ws-api.testnet.binance.vision/ws-api/v3"
    ),
    (Exchange.BTCTURK.value, Mode.LIVE.value): Urls("https://api.btcturk.com", "wss://ws-feed-pro.btcturk.com"),
}
