"""Dust: what is held and too little to be sold, by the least that the pairs of its asset take."""

from __future__ import annotations

from django.db.models import (
    BooleanField,
    Case,
    DecimalField,
    Exists,
    ExpressionWrapper,
    F,
    OuterRef,
    Q,
    QuerySet,
    Value,
    When,
)
from django.db.models.fields.json import KeyTextTransform, KeyTransform
from django.db.models.functions import Cast, Coalesce, Greatest

from exchanges.models import Instrument
from execution_project.common.money import DECIMAL_PLACES, MAX_DIGITS
from positions.models import Holding

_NUMBER = DecimalField(max_digits=MAX_DIGITS, decimal_places=DECIMAL_PLACES)


def with_dust(rows: QuerySet[Holding]) -> QuerySet[Holding]:
    """The same rows, each with ``is_dust``: more than nothing, and every trading pair that sells the asset at its
    account's exchange asks for a greater quantity, or for a greater value than it has at the pair's last bid.

    What no pair sells (a currency that is only ever spent) is no dust, nor is what a missing bid keeps from being
    judged.
    """
    pairs = Instrument.objects.filter(
        exchange=OuterRef("account__exchange"),
        mode=OuterRef("account__mode"),
        base_asset=OuterRef("asset"),
        is_trading=True,
    )
    value = ExpressionWrapper(OuterRef("quantity") * F("quote__bid"), output_field=DecimalField())
    sells = pairs.annotate(
        least=_filter("LOT_SIZE", "minQty"),
        least_value=Greatest(_filter("NOTIONAL", "minNotional"), _filter("MIN_NOTIONAL", "minNotional")),
    ).filter(Q(quote__bid__isnull=True) | Q(least_value__lte=value), least__lte=OuterRef("quantity"))
    return rows.annotate(
        is_dust=Case(
            When(Q(quantity__gt=0) & Exists(pairs) & ~Exists(sells), then=Value(True)),
            default=Value(False),
            output_field=BooleanField(),
        )
    )


def _filter(name: str, field: str) -> Coalesce:
    """A bound of a pair's filters (``exchanges.filters``), zero where there is none."""
    return Coalesce(Cast(KeyTextTransform(field, KeyTransform(name, "filters")), _NUMBER), Value(0, _NUMBER))
