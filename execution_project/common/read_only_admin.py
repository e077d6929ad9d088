"""The admin shows; acts are views of their own. No row is added, changed or deleted through a model page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.db import models
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from execution_project.common.money import MoneyField, plain


class ReadOnlyAdmin(ModelAdmin):  # type: ignore[misc]  # django-unfold has no types
    """A list and a page of values, for staff with the view permission; no count over the whole table."""

    list_per_page = 50
    show_full_result_count = False
    actions = None

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never."""
        return False


def _plain_column(name: str) -> Callable[[Any], str]:
    @admin.display(description=name.replace("_", " "), ordering=name)
    def column(row: Any) -> str:
        value = getattr(row, name)
        return "–" if value is None else plain(value)

    return column


def show(model: type[models.Model], *columns: str, search: tuple[str, ...] = (), filters: tuple[str, ...] = ()) -> None:
    """Register a read-only page for ``model`` with these columns, exact-match search fields and filters."""
    related = tuple(name for name in columns if getattr(model._meta.get_field(name), "many_to_one", False))
    options = {
        "list_display": [
            _plain_column(name) if isinstance(model._meta.get_field(name), MoneyField) else name for name in columns
        ],
        "list_display_links": (columns[0],),
        "search_fields": tuple(f"{name}__exact" for name in search),
        "list_filter": filters,
        "list_select_related": related,
        "ordering": ("-pk",),
    }
    admin.site.register(model, type(f"{model.__name__}Admin", (ReadOnlyAdmin,), options))
