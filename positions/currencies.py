"""The reporting currency is fixed once books are open: whether any fact is valued in another one."""

from __future__ import annotations

from django.conf import settings

from positions.models import BookedRate, EquitySeries, Posting


def other_currencies() -> list[str]:
    """The currencies besides EXEC_REPORTING_CURRENCY in which something is valued; none while all is well.

    A change leaves what was booked before it behind, so the first of each kind of fact tells, and no table is read
    through.
    """
    found = set(EquitySeries.objects.values_list("currency", flat=True).distinct())
    for model in (Posting, BookedRate):
        first = model._default_manager.order_by("pk").values_list("currency", flat=True).first()
        found |= set() if first is None else {first}
    return sorted(found - {settings.EXEC_REPORTING_CURRENCY})
