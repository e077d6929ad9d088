"""One control API for both exchanges: which of them a call under /sim/ means."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from exchanges.simulator.btcturk_control import BtcturkControl
from exchanges.simulator.control import Control

BTCTURK = "/sim/btcturk"


class Controls:
    """Sends a control call to the exchange it names, or whose account or symbol it names; Binance's otherwise."""

    def __init__(self, binance: Control, btcturk: BtcturkControl) -> None:
        self.binance = binance
        self.btcturk = btcturk

    def handle(self, method: str, path: str, query: Mapping[str, str], raw_body: bytes) -> tuple[int, Any]:
        """Carry out one control call; HTTP status and JSON body."""
        body = _object(raw_body)
        if path.rstrip("/") == BTCTURK:
            return self.btcturk.handle(method, "/sim/settings", query, raw_body)
        if path.startswith(BTCTURK + "/"):
            return self._one(self.btcturk, method, "/sim" + path.removeprefix(BTCTURK), query, raw_body, body)
        exchange = query.get("exchange") or body.get("exchange")
        if exchange not in (None, "binance", "btcturk"):
            return 400, {"error": "exchange is binance or btcturk"}
        parts = path.strip("/").split("/")[1:]
        if exchange is None and (both := self._both(method, "/".join(parts), query, raw_body)) is not None:
            return 200, both
        btcturk = exchange == "btcturk" or (exchange is None and self._means_btcturk(parts, query, body))
        return self._one(self.btcturk if btcturk else self.binance, method, path, query, raw_body, body)

    def _one(
        self, control: Control, method: str, path: str, query: Mapping[str, str], raw_body: bytes, body: dict[str, Any]
    ) -> tuple[int, Any]:
        other = self.binance if control is self.btcturk else self.btcturk
        if method == "POST" and path.rstrip("/") == "/sim/accounts" and str(body.get("name")) in other.venue.accounts:
            return 409, {"error": "the other exchange has an account of that name"}
        return control.handle(method, path, query, raw_body)

    def _both(self, method: str, name: str, query: Mapping[str, str], raw_body: bytes) -> Any:
        """Calls that mean the whole simulator; None for all others."""
        call = f"{method} {name}"
        if call not in (
            "GET health",
            "GET counters",
            "GET accounts",
            "POST reset",
            "POST market/freeze",
            "POST market/unfreeze",
            "POST market/tick",
            "DELETE faults",
        ):
            return None
        _, second = self.btcturk.handle(method, f"/sim/{name}", query, raw_body)
        _, first = self.binance.handle(method, f"/sim/{name}", query, raw_body)
        if call == "DELETE faults":
            return second
        if call == "GET health":
            own = {"symbols": second["symbols"], "accounts": second["accounts"]}
            return {**first, "pending": first["pending"] + second["pending"], "btcturk": own}
        if call == "GET counters":
            counts = dict(first["client_order_ids"])
            for client_id, count in second["client_order_ids"].items():
                known = counts.get(client_id, {"received": 0, "executed": 0})
                counts[client_id] = {key: known[key] + count[key] for key in known}
            return {"client_order_ids": counts, "calls": {**first["calls"], **second["calls"]}}
        if call == "GET accounts":
            return first + second
        if call == "POST market/tick":
            return {**first, "btcturk": second["markets"]}
        return first

    def _means_btcturk(self, parts: list[str], query: Mapping[str, str], body: dict[str, Any]) -> bool:
        venue = self.btcturk.venue
        named = parts[1] if len(parts) > 1 else None
        account = named if parts[0] == "accounts" else query.get("account") or body.get("account")
        if parts[0] == "faults":
            return False
        if account is not None:
            return str(account) in venue.accounts
        symbol = named if parts[0] == "market" else query.get("symbol") or body.get("symbol")
        return str(symbol) in venue.markets and str(symbol) not in self.binance.venue.markets


def _object(raw_body: bytes) -> dict[str, Any]:
    """The JSON object of a body; empty for anything else, which the exchange's own control answers for."""
    try:
        found = json.loads(raw_body) if raw_body else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
