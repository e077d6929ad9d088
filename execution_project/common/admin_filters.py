"""List filters that an index answers: by time, and by the values of an indexed column."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib.admin import SimpleListFilter
from django.contrib.admin.options import IncorrectLookupParameters
from django.db import connection, models
from django.http import HttpRequest

from execution_project.common import clock
from execution_project.common.ids import first_uuid7_of

_SPANS = {
    "1h": ("last hour", timedelta(hours=1)),
    "24h": ("last 24 hours", timedelta(hours=24)),
    "7d": ("last 7 days", timedelta(days=7)),
    "30d": ("last 30 days", timedelta(days=30)),
}
_MONTH_OR_DAY = re.compile(r"([0-9]{4})-([0-9]{2})(?:-([0-9]{2}))?", re.ASCII)


def _next_month(first: datetime) -> datetime:
    return (first + timedelta(days=32)).replace(day=1)


def _period(value: str) -> tuple[datetime, datetime] | None:
    """The month or day that a value names."""
    match = _MONTH_OR_DAY.fullmatch(value)
    if match is None:
        return None
    year, month, day = match.groups()
    try:
        start = datetime(int(year), int(month), int(day or 1), tzinfo=UTC)
        return start, start + timedelta(days=1) if day else _next_month(start)
    except (ValueError, OverflowError):
        return None


class TimeFilter(SimpleListFilter):
    """Spans, months, and the days of a chosen month. Choices come from the calendar, never from the table."""

    title = "time"
    parameter_name = "when"
    field = "id"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The spans, this month and the one before; of a chosen month its days, of a chosen day its neighbours."""
        today = clock.now().replace(hour=0, minute=0, second=0, microsecond=0)
        this_month = today.replace(day=1)
        choices = [(value, label) for value, (label, _) in _SPANS.items()]
        days = [today, today - timedelta(days=1)]
        months = {this_month, (this_month - timedelta(days=1)).replace(day=1)}
        chosen = _period(self.value() or "")
        if chosen is not None:
            months.add(chosen[0].replace(day=1))
            if chosen[1] - chosen[0] > timedelta(days=1):
                days = [chosen[0] + timedelta(days=n) for n in reversed(range((chosen[1] - chosen[0]).days))]
            else:
                days = [chosen[0] + timedelta(days=n) for n in (1, 0, -1)]
        choices += [(f"{day:%Y-%m-%d}", f"{day:%a %Y-%m-%d}") for day in days if day <= today]
        return choices + [(f"{month:%Y-%m}", f"{month:%B %Y}") for month in sorted(months, reverse=True)]

    def queryset(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> models.QuerySet[Any]:
        """The rows of the span; raises ``IncorrectLookupParameters`` for what names none."""
        value = self.value()
        if not value:
            return queryset
        if value in _SPANS:
            start, end = clock.now() - _SPANS[value][1], None
        else:
            period = _period(value)
            if period is None:
                raise IncorrectLookupParameters
            start, end = period
        by_id = isinstance(queryset.model._meta.get_field(self.field), models.UUIDField)
        bound: Callable[[datetime], object] = first_uuid7_of if by_id else lambda at: at
        queryset = queryset.filter(**{f"{self.field}__gte": bound(start)})
        return queryset if end is None else queryset.filter(**{f"{self.field}__lt": bound(end)})


def by_time(field: str, title: str = "time") -> type[TimeFilter]:
    """A time filter over an indexed column: a time, or a time-ordered id."""
    return type("TimeFilter", (TimeFilter,), {"field": field, "title": title})


# One index probe per value instead of a scan over all rows.
_DISTINCT = """
WITH RECURSIVE v AS (
  (SELECT {column} AS value FROM {table} ORDER BY {column} LIMIT 1)
  UNION ALL
  SELECT (SELECT t.{column} FROM {table} t WHERE t.{column} > v.value ORDER BY t.{column} LIMIT 1)
    FROM v WHERE v.value IS NOT NULL
)
SELECT value FROM v WHERE value IS NOT NULL
"""


class ValueFilter(SimpleListFilter):
    """The values of a column that leads an index."""

    field = ""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """What the column holds."""
        meta = model_admin.model._meta
        names = {
            "column": connection.ops.quote_name(meta.get_field(self.field).column),
            "table": connection.ops.quote_name(meta.db_table),
        }
        with connection.cursor() as cursor:
            cursor.execute(_DISTINCT.format(**names))
            return [(str(value), str(value)) for (value,) in cursor.fetchall()]

    def queryset(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> models.QuerySet[Any]:
        """The rows with the chosen value."""
        return queryset.filter(**{self.field: self.value()}) if self.value() else queryset


def by_value(field: str, title: str = "") -> type[ValueFilter]:
    """A filter over the values of a column that leads an index."""
    options = {"field": field, "parameter_name": field, "title": title or field.replace("_", " ")}
    return type("ValueFilter", (ValueFilter,), options)


class ChoiceFilter(SimpleListFilter):
    """Named conditions, written so that an index answers each."""

    conditions: dict[str, tuple[str, models.Q]] = {}

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The conditions by name."""
        return [(value, label) for value, (label, _) in self.conditions.items()]

    def queryset(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> models.QuerySet[Any]:
        """The rows that meet the chosen condition; raises ``IncorrectLookupParameters`` for an unknown one."""
        value = self.value()
        if not value:
            return queryset
        if value not in self.conditions:
            raise IncorrectLookupParameters
        return queryset.filter(self.conditions[value][1])


def by_condition(parameter: str, title: str, conditions: dict[str, tuple[str, models.Q]]) -> type[ChoiceFilter]:
    """A filter of named conditions: parameter value → (label, condition)."""
    return type(
        "ChoiceFilter", (ChoiceFilter,), {"parameter_name": parameter, "title": title, "conditions": conditions}
    )
