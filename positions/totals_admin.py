"""Lists of the books with totals below them: of every row that matches, while these can be counted at a glance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse

from execution_project.common.admin_values import Table
from execution_project.common.read_only_admin import COUNT_CAP, ReadOnlyAdmin

TOO_MANY = f"More than {COUNT_CAP} rows match: narrow the list by its filters to see their totals, or make a statement."


class TotalsAdmin(ReadOnlyAdmin):
    """A list with totals; a list too long to be summed says so instead."""

    list_after_template = "positions/totals.html"

    def totals(self, rows: QuerySet[Any]) -> Table | None:
        """What the matching rows sum to, in a constant number of statements; None for nothing to say."""
        raise NotImplementedError

    def prepare(self, rows: Sequence[Any]) -> None:
        """Give the rows of one page what their columns need, in a constant number of statements."""

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The list; rows are prepared and summed before they are drawn."""
        response: HttpResponse = super().changelist_view(request, extra_context)
        context = getattr(response, "context_data", None) or {}
        changes = context.get("cl")
        if changes is None:
            return response
        rows = list(changes.result_list)
        self.prepare(rows)
        changes.result_list = rows
        if getattr(changes.paginator, "capped", False):
            context["totals_note"] = TOO_MANY
        elif rows:
            context["totals"] = self.totals(changes.queryset)
        return response
