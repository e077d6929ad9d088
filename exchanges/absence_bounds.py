"""How long an exchange may still execute a request that it did not answer, and how often it must then say "no".

The bounds of a proof of absence (docs/binance.md §3.2, docs/btcturk.md §3). ``EXEC_ABSENCE_BOUNDS`` in the settings may
name others per exchange; a live account refuses any that are lower than these. The simulator announces its own, and
accounts that are there use those, and so do paper accounts theirs (``PAPER``).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import requests
from django.conf import settings

from exchanges.models import Account, Exchange, Mode

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
ASK_TIMEOUT_S = 2.0


class LowerBounds(ValueError):
    """The settings promise less waiting than a live account may rely on."""


@dataclass(frozen=True, slots=True)
class AbsenceBounds:
    """``quiet_ms``: what must pass after the last moment at which the request may have been taken (Binance: stamp +
    recvWindow; BTCTurk: send_by) before an answer counts; ``rounds`` of "no", ``round_gap_ms`` after each other.
    """

    quiet_ms: int
    round_gap_ms: int
    rounds: int

    @property
    def gap(self) -> timedelta:
        """Least time between two rounds that count."""
        return timedelta(milliseconds=self.round_gap_ms)

    def as_json(self) -> dict[str, int]:
        """For evidence."""
        return asdict(self)

    def is_below(self, other: AbsenceBounds) -> bool:
        """Whether any of them is lower than the other's."""
        return any(getattr(self, field.name) < getattr(other, field.name) for field in fields(self))


LEAST: dict[str, AbsenceBounds] = {
    # The exchange's own limit for an order is 10 s; reads may lag behind it.
    Exchange.BINANCE.value: AbsenceBounds(quiet_ms=10_000, round_gap_ms=30_000, rounds=2),
    # Requests hang for 60 to 120 s there and are executed all the same.
    Exchange.BTCTURK.value: AbsenceBounds(quiet_ms=180_000, round_gap_ms=30_000, rounds=3),
}
# The paper exchange executes what it takes before it answers, or never; the rounds are those of the exchange.
PAPER = {name: AbsenceBounds(quiet_ms=1_000, round_gap_ms=1_000, rounds=least.rounds) for name, least in LEAST.items()}
# What each exchange's part of the simulator calls its quiet time.
_ANNOUNCED_QUIET = {Exchange.BINANCE.value: "engine_timeout_ms", Exchange.BTCTURK.value: "send_by_ms"}


def configured(exchange: str) -> AbsenceBounds:
    """The settings' bounds of an exchange, else the least that are safe. Raises ``LowerBounds`` when they are no
    bounds."""
    least = LEAST[exchange]
    given = getattr(settings, "EXEC_ABSENCE_BOUNDS", {}).get(exchange)
    return least if given is None else _read(given, "quiet_ms")


def bounds_of(account: Account) -> AbsenceBounds:
    """The bounds of an account; one on a loopback host asks there, so it is called outside a transaction.

    Raises ``LowerBounds`` for a live account whose settings are lower than ``LEAST``.
    """
    if account.mode == Mode.PAPER:
        return PAPER[account.exchange]
    bounds = configured(account.exchange)
    if account.mode == Mode.LIVE:
        if bounds.is_below(LEAST[account.exchange]):
            raise LowerBounds(
                f"EXEC_ABSENCE_BOUNDS for {account.exchange} is {bounds.as_json()}: a live account needs at least"
                f" {LEAST[account.exchange].as_json()}."
            )
        return bounds
    announced = _announced(account) if urlsplit(account.rest_url).hostname in LOOPBACK else None
    return bounds if announced is None else announced


def _announced(account: Account) -> AbsenceBounds | None:
    """What the simulator at the account's host announces, or None when none answers there."""
    try:
        with requests.Session() as session:
            session.trust_env = False
            answer = session.get(f"{account.rest_url}/sim/health", timeout=ASK_TIMEOUT_S, allow_redirects=False)
        given = answer.json()["bounds"][account.exchange] if answer.status_code == 200 else None
        return None if given is None else _read(given, _ANNOUNCED_QUIET[account.exchange])
    except (requests.RequestException, ValueError, KeyError, TypeError):
        return None


def _read(given: Any, quiet: str) -> AbsenceBounds:
    values: list[int] = []
    for name in (quiet, "round_gap_ms", "rounds"):
        value = given.get(name) if isinstance(given, dict) else None
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise LowerBounds(f"EXEC_ABSENCE_BOUNDS: {name} is {value!r}; it must be a whole number from 1 on.")
        values.append(value)
    return AbsenceBounds(*values)
