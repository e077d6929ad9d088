"""The admin shows; acts are views of their own. No row is added, changed or deleted through a model page.

Lists stay flat however large a table grows: no count beyond a cap, the newest first by key, no sorting by columns
without an index, and a search that takes whole ids and asks an index for each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db import models
from django.db.models import Q
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.functional import cached_property
from unfold.admin import ModelAdmin
from unfold.views import ChangeList

from execution_project.common.actors import Actor, staff
from execution_project.common.admin_values import (
    BADGED,
    NONE,
    Button,
    Document,
    Facts,
    Section,
    badge,
    cut,
    field_value,
    link,
    link_to,
    moment,
    name_of,
    short_id,
    wrapping,
    yes_no,
)
from execution_project.common.rights import Right

COUNT_CAP = 5000
_LONG = 160  # texts of fields this wide may wrap
_FIELD_LOOKUPS = ("__exact", "__isnull", "__id__exact")


def actor_of(request: HttpRequest, cause: str) -> Actor:
    """Whoever sits at the admin, with the rights that their groups give."""
    return staff(request.user, cause, getattr(request, "request_id", ""))  # type: ignore[arg-type]  # admin_view lets in users only


def may(request: HttpRequest, right: Right) -> bool:
    """Whether whoever sits at the admin has a right; buttons without it are not shown."""
    return bool(request.user.is_active and request.user.has_perm(right.permission))


class CappedPaginator(Paginator):  # type: ignore[type-arg]
    """Counts to a cap and no further; rows beyond it are found by filter and search."""

    template_name = "exec_admin/pagination.html"

    @cached_property
    def _counted(self) -> int:
        rows: models.QuerySet[Any] = self.object_list  # type: ignore[assignment]  # the admin pages querysets only
        return rows.order_by()[: COUNT_CAP + 1].count()

    @property
    def capped(self) -> bool:
        """Whether there are more rows than were counted."""
        return self._counted > COUNT_CAP

    @cached_property
    def count(self) -> int:
        """The number of rows, at most the cap."""
        return min(self._counted, COUNT_CAP)


def _as_key(field: Any, text: str) -> object | None:
    """What a search text means for a field, or None when no row's field could hold it."""
    target = getattr(field, "target_field", field)
    if isinstance(target, models.UUIDField):
        try:
            return UUID(text)
        except ValueError:
            return None
    if isinstance(target, models.IntegerField):
        return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None
    longest = getattr(target, "max_length", None)
    return text if longest is None or len(text) <= longest else None


def _field_at(model: type[models.Model], path: str) -> Any:
    field: Any = None
    for name in path.split("__"):
        field = model._meta.get_field(name)
        model = field.related_model or model
    return field


def _column(model: type[models.Model], name: str, sortable: bool, first: bool) -> Callable[[Any], object]:
    """``first``: the column that leads to the row's page, so that nothing in it may lead elsewhere."""
    field: Any = model._meta.get_field(name)

    @admin.display(description=str(field.verbose_name), ordering=name if sortable else None)
    def column(row: Any) -> object:
        if isinstance(field, models.ForeignKey):
            return name_of(getattr(row, name)) if first else link_to(getattr(row, name))
        value = getattr(row, name)
        if value is None or value == "":
            return NONE
        if isinstance(value, bool):
            return yes_no(value)
        if isinstance(value, Decimal):
            return cut(value)
        if isinstance(value, datetime):
            return moment(value)
        if isinstance(value, list):
            return ", ".join(str(item) for item in value) or "none"
        if name == "order_id" and not first:
            return link("orders_order", value, short_id(value))
        if isinstance(value, UUID) or name == "client_order_id":
            return short_id(value)
        if name in BADGED:
            return badge(str(value))
        return wrapping(value) if isinstance(value, str) and (field.max_length or _LONG) >= _LONG else value

    column.__name__ = name
    return column


class FlatChangeList(ChangeList):  # type: ignore[misc]
    """A list that knows only as many rows as it counted: there is no whole to compare them with."""

    def get_results(self, request: HttpRequest) -> None:
        """One page of rows."""
        super().get_results(request)
        self.full_result_count = self.result_count


class ReadOnlyAdmin(ModelAdmin):  # type: ignore[misc]  # django-unfold has no types
    """A list and a page of values, for staff with the view permission.

    ``search_fields``: paths whose whole value a search may name; each must be indexed. ``search_help_text``: what these
    are, in words. ``link_filters``: lookups that links may use beside ``list_filter``. ``hidden``: fields that no page
    shows. ``small``: a table of so few rows that any column may sort it.
    """

    list_per_page = 50
    list_max_show_all = 0
    list_filter_sheet = True
    list_fullwidth = True
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    paginator = CappedPaginator
    actions = None
    ordering: Sequence[str] = ("-pk",)
    search_help_text = ""
    link_filters: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    small = False
    record_template = "exec_admin/record.html"

    class Media:
        css = {"all": ("exec_admin/pages.css",)}

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never."""
        return False

    def get_changelist(self, request: HttpRequest, **options: Any) -> type[FlatChangeList]:
        """The list's class."""
        return FlatChangeList

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        """Fields in the house's manner; what is no field stays as it is."""
        return self._columns

    @cached_property
    def _columns(self) -> list[Any]:
        names = {field.attname for field in self.model._meta.concrete_fields} | {
            field.name for field in self.model._meta.concrete_fields
        }
        return [
            _column(self.model, entry, self.small, first=not at) if isinstance(entry, str) and entry in names else entry
            for at, entry in enumerate(self.list_display)
        ]

    def get_list_display_links(self, request: HttpRequest, list_display: Sequence[Any]) -> list[Any]:
        """The first column leads to the row's page."""
        return [list_display[0]]

    def search_conditions(self, text: str) -> list[Q]:
        """One condition per field that could hold the text, each answered by an index."""
        conditions = []
        for path in self.search_fields:
            key = _as_key(_field_at(self.model, path), text)
            if key is not None:
                conditions.append(Q(**{path: key}))
        return conditions

    def get_search_results(
        self, request: HttpRequest, queryset: models.QuerySet[Any], search_term: str
    ) -> tuple[models.QuerySet[Any], bool]:
        """The rows that a whole id names, by whichever of the fields finds any; otherwise none, and a hint."""
        text = search_term.strip()
        if not text:
            return queryset, False
        rows = self.model._default_manager.all()
        found = [condition for condition in self.search_conditions(text) if rows.filter(condition).exists()]
        if not found:
            messages.info(
                request,
                f"Nothing here has exactly “{text[:100]}”. The search takes whole values: {self.search_help_text}.",
            )
            return queryset.none(), False
        matches = Q()
        for condition in found:
            matches |= Q(pk__in=rows.filter(condition).values("pk"))
        return queryset.filter(matches if len(found) > 1 else found[0]), False

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        """Only what the page itself links to: no scan, and no guessing at fields that are not shown."""
        if lookup in self.link_filters:
            return True
        fields = [entry for entry in self.list_filter if isinstance(entry, str)]
        own = {entry.parameter_name for entry in self.list_filter if not isinstance(entry, str)}
        return lookup in own | {f"{name}{suffix}" for name in fields for suffix in _FIELD_LOOKUPS}

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """One row's page. There is nothing to post to it."""
        row = self.get_object(request, object_id)
        if request.method not in {"GET", "HEAD"}:
            raise PermissionDenied
        if not self.has_view_permission(request, row):
            raise PermissionDenied
        if row is None:
            return HttpResponseRedirect(self._not_found(request, object_id))
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": row,
            "title": str(row),
            "media": self.media,
            "back": reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist"),
            "kind": self.opts.verbose_name,
            "heading": self.heading(row),
            "badges": self.badges(row),
            "buttons": self.buttons(request, row),
            "sections": self.sections(request, row),
            **self.page(request, row),
            **(extra_context or {}),
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, self.record_template, context)

    def _not_found(self, request: HttpRequest, object_id: str) -> str:
        messages.warning(request, f"There is no {self.opts.verbose_name} “{object_id[:100]}”.")
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist")

    def heading(self, row: Any) -> str:
        """What stands at the head of a row's page."""
        return str(row)

    def badges(self, row: Any) -> list[str]:
        """Labels beside the heading."""
        names = [field.name for field in self.model._meta.concrete_fields]
        return [badge(getattr(row, name)) for name in ("status", "state", "mode") if name in names]

    def buttons(self, request: HttpRequest, row: Any) -> list[Button]:
        """What whoever looks may do from here."""
        return []

    def sections(self, request: HttpRequest, row: Any) -> list[Section]:
        """The page: by default every field, JSON folded."""
        fields = [field for field in self.model._meta.concrete_fields if field.name not in self.hidden]
        documents = [field for field in fields if isinstance(field, models.JSONField)]
        facts = [
            (str(field.verbose_name), field_value(row, field.name))
            for field in fields
            if field not in documents and not isinstance(field, models.BinaryField)
        ]
        return [
            Facts("Values", facts),
            *(Document(str(field.verbose_name).capitalize(), getattr(row, field.name)) for field in documents),
        ]

    def page(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        """Further context for a page with a template of its own."""
        return {}


def show(
    model: type[models.Model],
    *columns: str,
    search: tuple[str, ...] = (),
    hint: str = "",
    filters: tuple[Any, ...] = (),
    ordering: tuple[str, ...] = ("-pk",),
    small: bool = False,
    **options: Any,
) -> None:
    """Register a read-only page for ``model`` with these columns, exact-match search fields and filters."""
    related = tuple(name for name in columns if isinstance(model._meta.get_field(name), models.ForeignKey))
    admin.site.register(
        model,
        type(
            f"{model.__name__}Admin",
            (ReadOnlyAdmin,),
            {
                "list_display": columns,
                "search_fields": search,
                "search_help_text": hint,
                "list_filter": filters,
                "list_select_related": related or False,
                "ordering": ordering,
                "small": small,
                **options,
            },
        ),
    )
