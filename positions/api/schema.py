"""The operations of positions as the API's schema shows them."""

from __future__ import annotations

from drf_spectacular.utils import PolymorphicProxySerializer

from execution_project.common.api.schema import AFTER, LIMIT, WITH_PAGES, operation, parameter
from positions.aggregates import GROUPINGS
from positions.api.documents import FillsSerializer, PositionsSerializer, PositionSumsSerializer
from positions.api.moments import AS_OF

_OF_ONE = (
    parameter("account", "Of this account only."),
    parameter("symbol", "Of this symbol only, as the exchange writes it."),
    parameter("strategy", "Of this strategy only."),
)

POSITIONS = operation(
    "listPositions",
    "Positions, or sums over them",
    tag="Books",
    parameters=(
        *_OF_ONE,
        parameter(
            "aggregate",
            "Instead, on one page (without limit and after): sums per group and asset, and totals per group in the"
            " reporting currency.",
            enum=[*GROUPINGS],
        ),
        AS_OF,
        LIMIT,
        AFTER,
    ),
    answers={
        200: (
            PolymorphicProxySerializer(
                component_name="PositionsOrSums",
                serializers=[PositionsSerializer, PositionSumsSerializer],
                resource_type_field_name=None,
            ),
            "A page of positions; with `aggregate` the sums.",
        )
    },
    problems=WITH_PAGES,
)

FILLS = operation(
    "listFills",
    "Fills, last booked first",
    tag="Books",
    parameters=(
        *_OF_ONE,
        parameter("order", "Of this order only.", format="uuid"),
        parameter("exchange_order", "Of this order only, by the id that the exchange gave it."),
        parameter("traded_after", "Traded at this time or later.", format="date-time"),
        parameter("traded_before", "Traded before this time.", format="date-time"),
        LIMIT,
        AFTER,
    ),
    answers={200: (FillsSerializer, "A page of fills.")},
    problems=WITH_PAGES,
)
