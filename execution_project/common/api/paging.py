"""Lists by pages: keyset paging with an opaque cursor, without OFFSET and without COUNT.

A page costs the same wherever it is, and rows that arrive meanwhile move no row to another page.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any, TypeVar, cast

from django.core.exceptions import ValidationError
from django.db.models import Field, Model, Q, QuerySet

from execution_project.common.api.query import invalid, limit_of

M = TypeVar("M", bound=Model)


def _cursor(model: type[Model], value: Any) -> str:
    return base64.urlsafe_b64encode(f"{model._meta.label_lower}:{value}".encode()).decode().rstrip("=")


def _read(model: type[Model], name: str, cursor: str) -> Any:
    """The key's value that a cursor stands for; raises ``Problem`` 400 for what no page of this list has answered."""
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        label, _, text = base64.b64decode(padded, altchars=b"-_", validate=True).decode("utf-8").partition(":")
        value = cast("Field[Any, Any]", model._meta.get_field(name)).to_python(text)
    except (ValueError, binascii.Error, ValidationError):
        value = None
    if value is None or label != model._meta.label_lower or _cursor(model, value) != cursor:
        raise invalid("after", "it takes the 'next' of the page before, from the same list.")
    return value


def page(queryset: QuerySet[M], query: Mapping[str, str], *, key: str = "-id") -> tuple[list[M], str | None]:
    """One page of ``limit`` rows after the cursor ``after``, and the cursor of the next page or None at the end.

    ``key`` is a unique, not nullable column of the model that orders the list; a leading minus turns it round.
    """
    name = key.removeprefix("-")
    after = query.get("after")
    rows = queryset.order_by(key)
    if after is not None:
        lookup = "lt" if key.startswith("-") else "gt"
        rows = rows.filter(**{f"{name}__{lookup}": _read(queryset.model, name, after)})
    limit = limit_of(query)
    found = list(rows[: limit + 1])
    return found[:limit], _cursor(queryset.model, getattr(found[limit - 1], name)) if len(found) > limit else None


def searched_page(walked: QuerySet[M], wanted: Q, query: Mapping[str, str], *, most: int) -> tuple[list[M], str | None]:
    """Like ``page``, newest id first, for what no index finds: looks at ``most`` rows of ``walked`` and ends there.

    A page may so hold fewer than ``limit`` rows, or none, and still have a next one. ``walked`` has to be in an index
    by id as it is.
    """
    after = query.get("after")
    rows = walked.order_by("-id")
    if after is not None:
        rows = rows.filter(id__lt=_read(walked.model, "id", after))
    last = list(rows.values_list("id", flat=True)[most - 1 : most])
    looked_at = rows.filter(id__gte=last[0]) if last else rows
    limit = limit_of(query)
    found = list(looked_at.filter(wanted)[: limit + 1])
    if len(found) > limit:
        return found[:limit], _cursor(walked.model, found[limit - 1].pk)
    return found, _cursor(walked.model, last[0]) if last else None
