"""The operations of risk as the API's schema shows them."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiSerializerFieldExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiExample, PolymorphicProxySerializer

from exchanges.models import Exchange, Mode
from execution_project.common.api.approvals import ProposalSerializer
from execution_project.common.api.schema import AFTER, LIMIT, WITH_PAGES, WITH_QUERY, operation, parameter
from positions.api.moments import AS_OF
from risk.api.decision_documents import DecisionsSerializer
from risk.api.documents import (
    SCOPE_SCHEMA,
    AccountsSerializer,
    BalancesSerializer,
    PastBalancesSerializer,
    StartSerializer,
    StateOfScopeSerializer,
)
from risk.api.limit_documents import (
    LIMIT_SCOPE_SCHEMA,
    LimitSerializer,
    LimitsSerializer,
    RiskSerializer,
    SetLimitSerializer,
)
from risk.controls.catalogue import CATALOGUE
from risk.models import DecisionKind


class ScopeFieldSchema(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    """A scope in requests and answers."""

    target_class = "risk.api.documents.ScopeField"

    def map_serializer_field(self, auto_schema: AutoSchema, direction: str) -> dict[str, Any]:
        """``"global"`` or an object with one member."""
        return SCOPE_SCHEMA


class LimitScopeFieldSchema(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    """The scope of a limit in requests and answers."""

    target_class = "risk.api.limit_documents.LimitScopeField"

    def map_serializer_field(self, auto_schema: AutoSchema, direction: str) -> dict[str, Any]:
        """``"global"`` or an object with one member."""
        return LIMIT_SCOPE_SCHEMA


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
    "Balances as the exchange reported them, or as the ledger has them of a moment",
    tag="Accounts",
    parameters=(
        parameter("account", "Of this account only."),
        parameter("asset", "Of this asset only."),
        parameter("zero", "`false` leaves out what is zero.", enum=["true", "false"]),
        AS_OF,
        parameter(
            "as_known_at",
            "With `as_of`: by what had been booked by this moment, instead of all that is known today.",
            format="date-time",
        ),
        LIMIT,
        AFTER,
    ),
    answers={
        200: (
            PolymorphicProxySerializer(
                component_name="BalancesNowOrThen",
                serializers=[BalancesSerializer, PastBalancesSerializer],
                resource_type_field_name=None,
            ),
            "A page of balances; with `as_of` the ledger's sums, without limit and after.",
        )
    },
    problems=WITH_PAGES,
)

START = operation(
    "start",
    "Lift a halt",
    tag="Control",
    request=StartSerializer,
    answers={
        200: (StateOfScopeSerializer, "The plain halt is lifted; orders halted while pending stay dead."),
        202: (
            ProposalSerializer,
            "A latch: nothing is lifted yet, a second person has to approve this proposal, which lifts by one stage.",
        ),
    },
    problems=("SCOPE_NOT_ALLOWED", "NOT_LATCHED", "REASON_TOO_SHORT", "LATCH_HELD"),
    examples=(
        OpenApiExample(
            "One account", value={"scope": {"account": "main"}, "reason": "prices are back"}, request_only=True
        ),
    ),
)

LIMITS = operation(
    "listLimits",
    "Limits that count now",
    tag="Risk",
    parameters=(
        parameter("control", "Of this name only.", enum=list(CATALOGUE)),
        parameter("mode", "Of this mode only.", enum=Mode.values),
        LIMIT,
        AFTER,
    ),
    answers={200: (LimitsSerializer, "A page of limits.")},
    problems=WITH_PAGES,
)

SET_LIMIT = operation(
    "setLimit",
    "Set or tighten a limit, or propose to loosen it",
    tag="Risk",
    request=SetLimitSerializer,
    answers={
        200: (LimitSerializer, "It is set; every decision from now on is by it."),
        202: (ProposalSerializer, "It would get looser: a second person has to approve this proposal."),
    },
    problems=(
        "SCOPE_NOT_ALLOWED",
        "LIMIT_SCOPE",
        "WRONG_MODE",
        "EXPIRY_PASSED",
        "REASON_TOO_SHORT",
        "LIMIT_NOT_LOOSER",
    ),
    examples=(
        OpenApiExample(
            "One asset over all exchanges",
            value={
                "control": "max_asset_exposure",
                "scope": {"asset": "BTC"},
                "mode": "live",
                "value": "250000",
                "reason": "a quarter of equity",
            },
            request_only=True,
        ),
    ),
)

RISK = operation(
    "getRisk",
    "Limits, usage and headroom, trading states and standing kills",
    tag="Risk",
    parameters=(parameter("mode", "Of this mode; live when not given.", enum=Mode.values),),
    answers={200: (RiskSerializer, "Every limit that counts, in the order of the controls.")},
    problems=WITH_QUERY,
)

DECISIONS = operation(
    "listDecisions",
    "Decisions of the gate",
    tag="Risk",
    parameters=(
        parameter("account", "Of this account only."),
        parameter("symbol", "Of this symbol only."),
        parameter("strategy", "Of this strategy only."),
        parameter("order", "On this order only.", format="uuid"),
        parameter("accepted", "`false`: only what was denied.", enum=["true", "false"]),
        parameter("kind", "On orders or on replaces only.", enum=DecisionKind.values),
        LIMIT,
        AFTER,
    ),
    answers={200: (DecisionsSerializer, "A page of decisions, newest first.")},
    problems=WITH_PAGES,
)
