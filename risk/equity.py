"""Equity as the controls need it: what everything of a mode is worth in the reporting currency."""

from __future__ import annotations

from decimal import Decimal

from django.conf import settings

from execution_project.common import clock
from positions.models import EquitySeries
from risk.inputs import MAX_EQUITY_AGE


def equity_of(mode: str) -> Decimal | None:
    """Equity of all accounts of a mode in the reporting currency; None while it is not known, or not of this minute.

    Whatever is measured against an equity that is not known is denied.
    """
    series = EquitySeries.objects.filter(
        mode=mode,
        account__isnull=True,
        strategy__isnull=True,
        currency=settings.EXEC_REPORTING_CURRENCY,
        last_at__gte=clock.now() - MAX_EQUITY_AGE,
    )
    return series.values_list("last_equity", flat=True).first()
