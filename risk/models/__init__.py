"""May we: trading state, limits, decisions, reservations and the exposure row. Risk reads no order."""

from risk.models.alerts import Alert, AlertKind, AlertSeverity
from risk.models.circuits import Circuit
from risk.models.decisions import Decision, DecisionKind, DecisionSum
from risk.models.kill import (
    Flatten,
    FlattenItem,
    FlattenState,
    FlattenStatus,
    KillEpisode,
    KillSweep,
    KillVerdict,
)
from risk.models.limits import Enforcement, Limit, LimitScopeKind
from risk.models.pauses import MidWindow, Pause
from risk.models.reservations import Exposure, Reservation
from risk.models.state import ScopeKind, State, TradingState

__all__ = [
    "Alert",
    "AlertKind",
    "AlertSeverity",
    "Circuit",
    "Decision",
    "DecisionKind",
    "DecisionSum",
    "Enforcement",
    "Exposure",
    "Flatten",
    "FlattenItem",
    "FlattenState",
    "FlattenStatus",
    "KillEpisode",
    "KillSweep",
    "KillVerdict",
    "Limit",
    "LimitScopeKind",
    "MidWindow",
    "Pause",
    "Reservation",
    "ScopeKind",
    "State",
    "TradingState",
]
