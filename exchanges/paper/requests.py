"""Requests to the paper exchange: parameters as text, as they would stand on a wire, and their hash. Pure."""

from __future__ import annotations

import hashlib
import json
from decimal import Decimal

from exchanges.adapters import CancelInstruction, PlaceInstruction, PreparedRequest
from exchanges.paper.rules import Asked
from execution_project.common.money import plain

METHOD = "PAPER"


def placement(instruction: PlaceInstruction) -> dict[str, str]:
    """The parameters of a placement. Raises ``ValueError`` for a size or price of zero, and without one size."""
    sizes = {
        "quantity": instruction.quantity,
        "quote_quantity": instruction.quote_quantity,
        "price": instruction.price,
        "stop_price": instruction.stop_price,
    }
    given = {name: plain(value) for name, value in sizes.items() if value is not None}
    if "0" in given.values():
        raise ValueError("a size or price of zero")
    if ("quantity" in given) is ("quote_quantity" in given):
        raise ValueError("an order has one size")
    return {
        "symbol": instruction.symbol,
        "side": instruction.side,
        "type": instruction.type,
        "client_order_id": instruction.client_order_id,
        "time_in_force": instruction.time_in_force or "",
        **given,
    }


def target(instruction: CancelInstruction) -> dict[str, str]:
    """The parameters that name an order."""
    target = {"symbol": instruction.symbol, "client_order_id": instruction.client_order_id}
    if instruction.exchange_order_id is not None:
        target["exchange_order_id"] = instruction.exchange_order_id
    return target


def asked(parameters: dict[str, str]) -> Asked:
    """What a placement asks for."""

    def size(name: str) -> Decimal | None:
        return Decimal(parameters[name]) if name in parameters else None

    return Asked(
        symbol=parameters["symbol"],
        side=parameters["side"],
        type=parameters["type"],
        client_order_id=parameters["client_order_id"],
        quantity=size("quantity"),
        quote_quantity=size("quote_quantity"),
        price=size("price"),
        stop_price=size("stop_price"),
        time_in_force=parameters["time_in_force"],
    )


def hash_of(path: str, parameters: dict[str, str]) -> str:
    """SHA-256 (hex) of a request, by which an altered one is noticed."""
    whole = json.dumps({"path": path, **parameters}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(whole.encode()).hexdigest()


def prepared(path: str, parameters: dict[str, str], stamp_ms: int, recv_window_ms: int) -> PreparedRequest:
    """The request as the claim stores it."""
    return PreparedRequest(
        METHOD, path, tuple(sorted(parameters.items())), hash_of(path, parameters), stamp_ms, recv_window_ms
    )
