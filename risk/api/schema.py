"""The operations of risk as the API's schema shows them."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiSerializerFieldExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiExample

from exchanges.models import Exchange, Mode
from execution_project.common.api.schema import AFTER, LIMIT, WITH_PAGES, operation, parameter
from risk.api.documents import (
    SCOPE_SCHEMA,
    AccountsSerializer,
    BalancesSerializer,
    ProposalSerializer,
    StartSerializer,
    StateOfScopeSerializer,
)


class ScopeFieldSchema(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    """A scope in requests and answers."""

    target_class = "risk.api.documents.ScopeField"

    def map_serializer_field(self, auto_schema: AutoSchema, direction: str) -> dict[str, Any]:
        """``"global"`` or an object with one member."""
        return SCOPE_SCHEMA


ACCOUNTS = operation(
    "listAccounts",
    "Accounts with trading state and freshness",
    tag="Accounts",
    parameters=(
        parameter("account", "This account only."),
        parameter("exchange", "At this exchange only.", enum=Exchange.values),
        parameter("mode", "Of this mode only.", enum=Mode.values),
        LIMIT,
        AFTER,
    ),
    answers={200: (AccountsSerializer, "A page of accounts, oldest first.")},
    problems=WITH_PAGES,
)

BALANCES = operation(
    "listBalances",
    "Balances as the exchange reported them",
    tag="Accounts",
    parameters=(
        parameter("account", "Of this account only."),
        parameter("asset", "Of this asset only."),
        parameter("zero", "`false` leaves out what is zero.", enum=["true", "false"]),
        LIMIT,
        AFTER,
    ),
    answers={200: (BalancesSerializer, "A page of balances.")},
    problems=WITH_PAGES,
)

START = operation(
    "start",
    "Lift a halt",
    tag="Control",
    request=StartSerializer,
    answers={
        200: (StateOfScopeSerializer, "The plain halt is lifted; orders halted while pending stay dead."),
        202: (ProposalSerializer, "A latch: nothing is lifted yet, a second person has to approve this proposal."),
    },
    problems=("SCOPE_NOT_ALLOWED", "NOT_LATCHED"),
    examples=(
        OpenApiExample(
            "One account", value={"scope": {"account": "main"}, "reason": "prices are back"}, request_only=True
        ),
    ),
)
