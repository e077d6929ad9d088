"""Orders in the admin, with what was sent for them."""

from __future__ import annotations

from execution_project.common.read_only_admin import show
from orders.models import Attempt, Command, ExchangeOrder, Order

show(
    Order,
    *("created_at", "account", "instrument", "side", "type", "status", "quantity", "filled_quantity", "id"),
    search=("id", "idempotency_key"),
    filters=("status", "side", "type"),
)
show(
    ExchangeOrder,
    *("client_order_id", "exchange_order_id", "generation", "reported_status", "cumulative_quantity", "end_proof"),
    search=("client_order_id", "exchange_order_id", "order__id"),
)
show(Command, "created_at", "kind", "status", "fence", "not_before", "requested_by", "order", search=("order__id",))
show(Attempt, "claimed_at", "kind", "outcome", "code", "message", "worker", "answered_at", search=("command__id",))
