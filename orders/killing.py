"""The kill switch: a latched halt, then the end of everything in its scope is asked for."""

from __future__ import annotations

from dataclasses import dataclass

from execution_project.common.actors import Actor
from orders.canceling import cancel_scope
from risk.models import TradingState
from risk.trading_state import halt


@dataclass(frozen=True, slots=True)
class Killed:
    """The latched state, and how many orders were asked to end."""

    state: TradingState
    cancels_requested: int


def kill(scope_kind: str, scope_key: str, *, reason: str, by: Actor) -> Killed:
    """Latch the scope in a transaction of its own, then ask for the end of every order in it.

    Once the latch stands, nothing unclaimed goes out, whatever becomes of the cancels; killing again asks again for
    those that a crash left out. Raises ``Problem`` (403) without the right.
    """
    state = halt(scope_kind, scope_key, reason=reason, by=by, latched=True)
    return Killed(state, cancel_scope(scope_kind, scope_key, by=by, reason=reason))
