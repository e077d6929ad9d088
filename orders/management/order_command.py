"""What commands about one order share: finding it by any of its ids."""

from __future__ import annotations

from execution_project.common.management_command import EngineCommand, Refused
from orders.explaining import find_orders
from orders.models import Order

ID_HELP = "order id, client order id or the exchange's order id"


class OrderCommand(EngineCommand):
    """A command that names one order."""

    def order(self, text: str) -> Order:
        """The order of this id; raises ``Refused`` when there is none, or more than one."""
        found = find_orders(text)
        if not found:
            raise Refused(
                "UNKNOWN_ORDER",
                f"There is no order {text!r}: neither an order id, a client order id nor an exchange's.",
            )
        if len(found) > 1:
            ids = ", ".join(f"{order.id} ({order.account.name})" for order in found)
            raise Refused("AMBIGUOUS_ORDER", f"More than one order has this id; name one by its order id: {ids}.")
        return found[0]
