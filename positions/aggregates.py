"""Sums over positions. Quantities are added within one asset, money within one quote asset, both within one mode."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db.models import QuerySet, Sum

from positions.models import Position

# What each grouping groups by: member of the group → column. "asset" is the base asset of the positions.
GROUPINGS: Mapping[str, Mapping[str, str]] = {
    "instrument": {"exchange": "account__exchange", "symbol": "instrument__symbol"},
    "asset": {"asset": "instrument__base_asset"},
    "account": {"account": "account__name"},
    "exchange": {"exchange": "account__exchange"},
    "strategy": {"strategy": "strategy__name"},
}


@dataclass(slots=True)
class Sums:
    """One group in one asset: the net quantity where it is the base asset, the money where it is the quote asset."""

    group: dict[str, str | None]
    mode: str
    asset: str
    net_quantity: Decimal | None = None
    cost: Decimal | None = None
    realised_pnl: Decimal | None = None
    fees_in_quote: Decimal | None = None


def aggregate(positions: QuerySet[Position], grouping: str) -> list[Sums]:
    """Sums per (group, mode, asset), sorted by these; ``grouping`` is a key of ``GROUPINGS``."""
    members = GROUPINGS[grouping]
    found: dict[tuple[Any, ...], Sums] = {}

    def of(row: dict[str, Any], asset: str) -> Sums:
        group = {member: row[column] for member, column in members.items()}
        key = (*((value is None, value or "") for value in group.values()), row["account__mode"], asset)
        return found.setdefault(key, Sums(group, row["account__mode"], asset))

    by = (*members.values(), "account__mode")
    # order_by() takes the model's own order out of the grouping; two of the columns may be the same.
    quantities = positions.order_by().values(*dict.fromkeys((*by, "instrument__base_asset")))
    for row in quantities.annotate(quantity=Sum("net_quantity")):
        of(row, row["instrument__base_asset"]).net_quantity = row["quantity"]
    money = {name: Sum(name) for name in ("cost", "realised_pnl", "fees_in_quote")}
    sums = positions.order_by().values(*dict.fromkeys((*by, "instrument__quote_asset")))
    for row in sums.annotate(**{f"sum_{name}": value for name, value in money.items()}):
        target = of(row, row["instrument__quote_asset"])
        for name in money:
            setattr(target, name, row[f"sum_{name}"])
    return [found[key] for key in sorted(found)]
