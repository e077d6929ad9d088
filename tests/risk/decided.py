"""Stored decisions as the gate writes them, for tests of what reads them."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from execution_project.common import clock, ids
from risk.models import Decision
from tests.waiting import wait_until


def control(name: str, outcome: str = "pass", scope: str = "", **values: Any) -> dict[str, Any]:
    """What one control said; ``scope`` as ``account:main``."""
    inputs = {"limit_scope": scope, "limit_version": 1, "enforcement": "BLOCK"} if scope else {}
    quiet = outcome == "pass"
    said = {"number": 4, "control": name, "outcome": outcome, "code": "" if quiet else name.upper(), "detail": ""}
    return {**said, "observed": "2", "limit": "1", "headroom": "-1", "inputs": inputs, "microseconds": 3, **values}


def decided(
    account: str, strategy: str, at: datetime | None = None, *results: dict[str, Any], **values: Any
) -> Decision:
    """One decision of mode sandbox on an order worth 7; accepted unless a control says breach. Its id is of a
    millisecond of its own, so that decisions sort as they were made."""
    before = clock.now_ms()
    wait_until(lambda: clock.now_ms() > before, 5, "the next millisecond", every=0.001)
    known: dict[str, Any] = {
        "order_id": ids.uuid7(),
        "accepted": all(each["outcome"] != "breach" for each in results),
        "results": list(results),
        "inputs": {},
        "gate_seq": 0,
        "decided_at": at or clock.now(),
        "actor": "key:test",
        "mode": "sandbox",
        "exchange": "binance",
        "account_name": account,
        "strategy": strategy,
        "symbol": "BTCUSDT",
        "side": "BUY",
        "notional": Decimal(7),
    }
    return Decision.objects.create(**{**known, **values})
