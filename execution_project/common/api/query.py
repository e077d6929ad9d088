"""Query strings without surprises: known names, each given once, and values that the database takes."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from uuid import UUID

from rest_framework.request import Request

from execution_project.common.problems import Problem

PAGE = 100
MAX_PAGE = 1000
LONGEST = 512
# The names that ``paging.page`` understands.
PAGING = ("limit", "after")

_RFC3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def invalid(name: str, sentence: str) -> Problem:
    """The problem of a parameter that cannot be used; the sentence says what it takes."""
    return Problem(400, "INVALID_PARAMETER", f"{name}: {sentence}")


def read_query(request: Request, names: Collection[str]) -> dict[str, str]:
    """The query's parameters, all of them among ``names``.

    Raises ``Problem`` 400: ``UNKNOWN_PARAMETER``; ``INVALID_PARAMETER`` for one that is given twice, holds a NUL or is
    longer than 512 characters; ``INVALID_LIMIT`` for a ``limit`` that is not a whole number from 1 to 1000.
    """
    unknown = sorted(set(request.query_params) - set(names))
    if unknown:
        known = f"It takes {', '.join(names)}." if names else "It takes none."
        listed = ", ".join(repr(name[:LONGEST]) for name in unknown[:10])
        raise Problem(400, "UNKNOWN_PARAMETER", f"There is no parameter {listed} here. {known}")
    query: dict[str, str] = {}
    for name, values in request.query_params.lists():
        if len(values) != 1:
            raise invalid(name, "give it once.")
        if "\x00" in values[0]:
            raise invalid(name, "it holds a NUL character.")
        if len(values[0]) > LONGEST:
            raise invalid(name, f"it has more than {LONGEST} characters.")
        query[name] = values[0]
    limit_of(query)
    return query


def limit_of(query: Mapping[str, str]) -> int:
    """``limit``, 100 when not given; raises ``Problem`` 400 ``INVALID_LIMIT``."""
    text = query.get("limit", str(PAGE))
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(MAX_PAGE)) and 1 <= int(text) <= MAX_PAGE):
        raise Problem(400, "INVALID_LIMIT", f"limit is a whole number from 1 to {MAX_PAGE}.")
    return int(text)


def uuid_of(query: Mapping[str, str], name: str) -> UUID | None:
    """The id under ``name``, in its canonical form with hyphens; None when not given; raises ``Problem`` 400."""
    text = query.get(name)
    if text is None:
        return None
    if not _UUID.fullmatch(text):
        raise invalid(name, "it takes an id such as 0198c0de-0000-7000-8000-000000000000.")
    return UUID(text)


def time_of(query: Mapping[str, str], name: str) -> datetime | None:
    """The RFC 3339 time under ``name``, aware, UTC; None when not given; raises ``Problem`` 400."""
    text = query.get(name)
    if text is None:
        return None
    # A plus sign that was not escaped arrives as a blank.
    text = text.replace(" ", "+")
    if _RFC3339.fullmatch(text):
        # Right by its shape, it may still name a 31st of February, or a time before the year 1 in UTC.
        with suppress(ValueError, OverflowError):
            return datetime.fromisoformat(text.upper()).astimezone(UTC)
    raise invalid(name, "it takes an RFC 3339 time such as 2026-01-31T12:00:00Z.")


def choice_of(query: Mapping[str, str], name: str, choices: Collection[str]) -> str | None:
    """The value under ``name``, one of ``choices``; None when not given; raises ``Problem`` 400."""
    text = query.get(name)
    if text is not None and text not in choices:
        raise invalid(name, f"it takes one of {', '.join(choices)}.")
    return text


def choices_of(query: Mapping[str, str], name: str, choices: Collection[str]) -> list[str] | None:
    """The values under ``name``, separated by commas, each one of ``choices``; None when not given."""
    text = query.get(name)
    if text is None:
        return None
    words = text.split(",")
    if any(word not in choices for word in words):
        raise invalid(name, f"it takes one or more of {', '.join(choices)}, separated by commas.")
    return words


def flag_of(query: Mapping[str, str], name: str) -> bool | None:
    """``true`` or ``false`` under ``name``; None when not given; raises ``Problem`` 400."""
    text = choice_of(query, name, ("true", "false"))
    return None if text is None else text == "true"
