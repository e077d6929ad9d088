"""How our own admin pages print amounts and words, and which colour a mode has."""

from __future__ import annotations

from decimal import Decimal

from django import template

from exchanges.models import Mode
from execution_project.back_office.bar import TONE_OF_MODE
from execution_project.common.money import plain as plain_text
from execution_project.common.money import round_down

register = template.Library()
_EIGHT_PLACES = Decimal("0.00000001")


@register.filter
def plain(value: Decimal | None) -> str:
    """An exact decimal without trailing zeros or exponent; a dash for None."""
    return "–" if value is None else plain_text(value)


@register.filter
def short(value: Decimal | None) -> str:
    """The same, cut after eight places towards zero."""
    return "–" if value is None else plain_text(round_down(value, _EIGHT_PLACES))


@register.filter
def words(code: str) -> str:
    """``lift_latch`` as ``lift latch``."""
    return code.replace("_", " ")


@register.filter
def tone(mode: str) -> str:
    """The colour that a mode has on every page: live red, sandbox amber, paper blue."""
    return TONE_OF_MODE[Mode(mode)]
