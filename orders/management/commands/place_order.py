"""``manage.py place_order --account A --symbol S …``: one order, as ``POST /api/exec/order`` takes it."""

from __future__ import annotations

import argparse
import hashlib
import json
import re
from typing import Any
from uuid import uuid4

from django.core.management.base import CommandParser

from exchanges.management.account_command import AccountCommand
from execution_project.common.actors import Actor, command
from execution_project.common.management_command import Partly, Refused
from orders.api.documents import order_document
from orders.api.serializers import PlaceOrderSerializer
from orders.api.waiting import wait_until_decided
from orders.lifecycle import UNDECIDED, OrderStatus
from orders.management.order_page import request_line, state_line
from orders.models import Order
from orders.placing import OrderRequest, place, rehearse
from risk.api.decision_documents import decision_document

MAX_WAIT_S = 600
TEXTS = ("account", "symbol", "side", "type", "quantity", "quote_quantity", "price", "stop_price", "time_in_force")
FLAGS = {"reduce_only": "only reduce what is held", "round": "onto the exchange's grid, never to your disadvantage"}
_KEY = re.compile(r"[\x21-\x7e]{1,255}")


def idempotency_key(text: str) -> str:
    """1 to 255 visible ASCII characters; raises ``ArgumentTypeError``."""
    if not _KEY.fullmatch(text):
        raise argparse.ArgumentTypeError("1 to 255 visible ASCII characters.")
    return text


def seconds(text: str) -> int:
    """Whole seconds from 0 to 600; raises ``ArgumentTypeError``."""
    if not (text.isascii() and text.isdigit() and int(text) <= MAX_WAIT_S):
        raise argparse.ArgumentTypeError(f"{text!r} is not whole seconds from 0 to {MAX_WAIT_S}.")
    return int(text)


class Command(AccountCommand):
    """Passes the gate like any order; the running engine sends it. The same key with the same options orders once."""

    help = (
        "Place an order. Run again with the same --idempotency-key and the same options when in doubt whether it was"
        " placed: it is placed at most once. --dry-run prints the gate's decision."
    )
    writes = True

    def add_arguments(self, parser: CommandParser) -> None:
        """The members of the API's body, the key, and how long to wait for the exchange."""
        required = {"account", "symbol", "side", "type"}
        for name in (*TEXTS, "strategy"):
            parser.add_argument(f"--{name.replace('_', '-')}", required=name in required)
        parser.add_argument("--valid-for", type=int, metavar="SECONDS", help="to be sent within; 1 to 86400")
        for name, text in FLAGS.items():
            parser.add_argument(f"--{name.replace('_', '-')}", action="store_true", help=text)
        parser.add_argument("--idempotency-key", type=idempotency_key, help="default: a new one, which is printed")
        parser.add_argument("--wait", type=seconds, default=0, metavar="SECONDS", help="for the exchange; 0 to 600")

    def handle(self, *args: Any, **options: Any) -> None:
        """Validate as the API does, then place or rehearse."""
        body = {name: options[name] for name in (*TEXTS, "strategy", "valid_for") if options[name] is not None}
        body |= {name: True for name in FLAGS if options[name]}
        serializer = PlaceOrderSerializer(data=body)
        serializer.is_valid(raise_exception=True)
        by = command("place_order")
        if self.dry_run:
            self._rehearse(serializer.request(), by)
            return
        key = options["idempotency_key"] or f"command-{uuid4()}"
        if options["idempotency_key"] is None:
            # Before anything is stored: whoever is cut off here knows the key to ask again with.
            self.stderr.write(f"idempotency key {key}")
        canonical = json.dumps(body, sort_keys=True, separators=(",", ":")).encode()
        placed = place(
            serializer.request(),
            idempotency_key=key,
            body_hash=hashlib.sha256(canonical).hexdigest(),
            account=self.account(body["account"]),
            by=by,
        )
        if not placed.decision.accepted:
            members = {"order": order_document(placed.order), "decision": decision_document(placed.decision)}
            raise Refused(placed.order.reason, f"Denied: {placed.order.detail}", members=members)
        self._tell(wait_until_decided(placed.order.id, options["wait"]) or placed.order, placed.replayed)
        if options["wait"]:
            _judge(Order.objects.get(id=placed.order.id), options["wait"])

    def _rehearse(self, request: OrderRequest, by: Actor) -> None:
        verdict = rehearse(request, account=self.account(request.account), by=by)
        document = {**decision_document(verdict.decision), "id": None}
        if not verdict.accepted:
            first = verdict.breaches[0]
            raise Refused(first["code"], f"Would be denied: {first['detail']}", members={"decision": document})
        self.answer(document, "Would be accepted: every control passes.")

    def _tell(self, order: Order, replayed: bool) -> None:
        document = order_document(order)
        said = f"Order {order.id}{' (placed before)' if replayed else ''}"
        self.answer({**document, "replayed": replayed}, f"{said}: {request_line(document)}, {state_line(document)}.")


def _judge(order: Order, waited: int) -> None:
    """The end of a command that waited. Raises ``Refused`` for an order that came to nothing, ``Partly`` when it is not
    known yet what became of it."""
    if order.status in {OrderStatus.DENIED, OrderStatus.REJECTED}:
        raise Refused(order.reason or str(order.status).upper(), f"The order is {order.status}: {order.detail}")
    if order.status in {*UNDECIDED, OrderStatus.SUBMIT_UNKNOWN}:
        raise Partly(f"The order is {order.status} after {waited} s: follow it with explain_order {order.id}.")
