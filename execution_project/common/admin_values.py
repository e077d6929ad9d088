"""How values look in the admin: plain decimals, times to the millisecond, badges, links, folded JSON.

Everything that comes from outside is text: only this module's own tags are markup, and values are escaped into them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import models
from django.urls import NoReverseMatch, reverse
from django.utils.html import escape, format_html
from django.utils.safestring import SafeString

from execution_project.common.money import plain, round_down

NONE = "–"
_EIGHT_PLACES = Decimal("0.00000001")

_TONES = {
    "red": (
        "denied rejected submit_unknown unknown HALTED breach refused auth live failed doubtful"
        " revoked banned error latched critical blocking KILL_INCOMPLETE"
    ),
    "amber": (
        "pending submitting queued claimed closed_unverified REDUCE_ONLY sandbox throttled clock not_executed not_found"
        " waiting not_trading warning warned SWEEPING"
    ),
    "green": "filled settled done ACTIVE pass accepted granted TRADING BUY trading found active VERIFIED",
    "blue": "open partially_filled paper",
}
TONES = {value: tone for tone, values in _TONES.items() for value in values.split()} | {"SELL": "red"}


BADGED = frozenset({"status", "state", "mode", "side", "severity", "verdict", "outcome", "reported_status"})


def badge(text: str, tone: str | None = None) -> str:
    """A coloured label; without a tone, the one that the word itself has everywhere in the admin."""
    if not text:
        return NONE
    return format_html('<span class="x-badge x-{}">{}</span>', tone or TONES.get(text, "gray"), text.replace("_", " "))


def moment(value: datetime | None) -> str:
    """A time in UTC to the millisecond."""
    return NONE if value is None else f"{value:%Y-%m-%d %H:%M:%S}.{value.microsecond // 1000:03d}"


def amount(value: Decimal | None, unit: str = "") -> str:
    """A plain decimal, with its asset when given."""
    if value is None:
        return NONE
    return f"{plain(value)} {unit}".rstrip()


def cut(value: Decimal | None) -> str:
    """An amount for a list: cut after eight places towards zero, the exact one on hovering."""
    if value is None:
        return NONE
    exact, seen = plain(value), plain(round_down(value, _EIGHT_PLACES))
    return exact if exact == seen else format_html('<span title="{}">{}</span>', exact, seen)


def yes_no(value: bool | None) -> str:
    """Yes, no, or a dash for not known."""
    return NONE if value is None else "yes" if value else "no"


def short_id(value: UUID | str | None) -> str:
    """The end of an id, which differs between neighbours; the whole of it on hovering."""
    if not value:
        return NONE
    text = str(value)
    return format_html('<span class="x-id" title="{}">…{}</span>', text, text[-8:]) if len(text) > 16 else text


def wrapping(text: str) -> str:
    """Words that may wrap inside a table, where nothing else does."""
    return format_html('<span class="x-text">{}</span>', text) if text else NONE


def code(text: str) -> str:
    """An id or a name to be read letter by letter."""
    return format_html('<code class="x-code">{}</code>', text) if text else NONE


def anchor(href: str, label: object) -> str:
    """A link to an address of ours."""
    return format_html('<a class="x-link" href="{}">{}</a>', href, label)


def page_of(model: str, pk: Any) -> str | None:
    """The address of one row's page; ``model`` is ``app_model``. None where the admin has no such page."""
    try:
        return reverse(f"admin:{model}_change", args=[pk])
    except NoReverseMatch:
        return None


def link(model: str, pk: Any, text: object) -> str:
    """A link to one row's page."""
    href = None if pk is None else page_of(model, pk)
    return escape(text) if href is None else anchor(href, text)


def link_to(row: models.Model | None) -> str:
    """A link to a related row by its own text. An account comes with its mode, so that no list mixes paper and live
    unseen."""
    return NONE if row is None else _with_mode(row, link(f"{row._meta.app_label}_{row._meta.model_name}", row.pk, row))


def name_of(row: models.Model | None) -> str:
    """The same without the link, for a column that leads to its own row's page."""
    return NONE if row is None else _with_mode(row, escape(row))


def _with_mode(row: models.Model, named: str) -> str:
    return joined([named, badge(str(row.mode))]) if row._meta.label == "exchanges.Account" else named  # type: ignore[attr-defined]


def pretty(document: Any) -> str:
    """JSON to be read by people; keys in the order in which they are stored."""
    return json.dumps(document, indent=2, ensure_ascii=False, default=str)


def readable(document: Any) -> Any:
    """The same with JSON that stands inside as text taken apart; fractions stay the text they were."""
    if isinstance(document, dict):
        return {key: readable(value) for key, value in document.items()}
    if isinstance(document, list):
        return [readable(value) for value in document]
    if isinstance(document, str) and document[:1] in {"{", "["}:
        try:
            return json.loads(document, parse_float=str)
        except (ValueError, RecursionError):
            return document
    return document


def folded(document: Any, label: str = "evidence") -> str:
    """JSON behind a click, or a dash when there is none."""
    if not document:
        return NONE
    return format_html(
        '<details class="x-fold"><summary>{}</summary><pre>{}</pre></details>', label, pretty(readable(document))
    )


def joined(parts: Sequence[str]) -> str:
    """Parts that are markup already or plain text, with a blank in between."""
    return SafeString(" ".join(part if isinstance(part, SafeString) else escape(part) for part in parts if part))


@dataclass(frozen=True, slots=True)
class Facts:
    """A section of a page: names and their values."""

    title: str
    rows: Sequence[tuple[str, object]]
    kind: str = field(default="facts", init=False)


@dataclass(frozen=True, slots=True)
class Table:
    """A section of a page: rows under headings; ``note`` stands below, ``empty`` in place of no rows."""

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[object]]
    note: str = ""
    empty: str = "None."
    kind: str = field(default="table", init=False)


@dataclass(frozen=True, slots=True)
class Document:
    """A section of a page: folded JSON."""

    title: str
    document: Any
    kind: str = field(default="document", init=False)

    @property
    def text(self) -> str:
        """The document, indented."""
        return pretty(self.document)


@dataclass(frozen=True, slots=True)
class Button:
    """A link to a view that asks before it acts."""

    label: str
    href: str
    tone: str = "plain"


Section = Facts | Table | Document


def field_value(row: models.Model, name: str) -> object:
    """One field of a row as the admin shows it everywhere."""
    column = row._meta.get_field(name)
    if isinstance(column, models.ForeignKey):
        return link_to(getattr(row, column.name))
    value = getattr(row, name)
    if value is None or value == "":
        return NONE
    if isinstance(value, bool):
        return yes_no(value)
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, datetime):
        return moment(value)
    if isinstance(value, UUID):
        return code(str(value))
    if isinstance(value, list):
        return ", ".join(str(item) for item in value) or "none"
    if name in BADGED:
        return badge(str(value))
    return value
