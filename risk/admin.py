"""The gate in the admin."""

from __future__ import annotations

from execution_project.common.read_only_admin import show
from risk.models import Decision, Limit, Reservation, TradingState

show(TradingState, "scope_kind", "scope_key", "state", "latched", "reason", "changed_by", "changed_at")
show(Limit, "control", "mode", "scope_kind", "scope_key", "version", "value", "set_by", "set_at")
show(Decision, "decided_at", "order_id", "accepted", "gate_seq", "actor", search=("order_id",))
show(Reservation, "order_id", "account_name", "asset", "amount", "exposure", "updated_at", search=("order_id",))
