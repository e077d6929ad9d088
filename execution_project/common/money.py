"""Exact amounts: a NUMERIC(38,18) field that refuses floats, and decimals as plain strings at the API.

A float anywhere in money is a defect. 40 digits inside, 18 decimals stored, rounding only where a caller says so.
"""

from __future__ import annotations

import re
from decimal import ROUND_DOWN, ROUND_UP, Context, Decimal, DefaultContext, getcontext, localcontext
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.db import models

MAX_DIGITS = 38
DECIMAL_PLACES = 18
QUANTUM = Decimal(1).scaleb(-DECIMAL_PLACES)
CONTEXT = Context(prec=60)
# Plain sums and differences anywhere are exact too; Python's 28 digits would round amounts that the columns hold.
DefaultContext.prec = getcontext().prec = CONTEXT.prec
_PLAIN = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?", re.ASCII)
WHOLE_DIGITS = MAX_DIGITS - DECIMAL_PLACES


class NotPlainDecimal(ValueError):
    """The text is not a plain decimal number that the engine stores exactly."""


def parse_decimal(text: object) -> Decimal:
    """Read a plain decimal string: ASCII digits, optional sign and point, ≤ 20 whole digits and ≤ 18 decimals.

    Raises ``NotPlainDecimal`` with a sentence for the client; numbers, exponents, underscores and blanks are refused.
    """
    if not isinstance(text, str):
        raise NotPlainDecimal('Send decimals as JSON strings, e.g. "0.001", never as numbers.')
    if len(text) > MAX_DIGITS + 3 or not _PLAIN.fullmatch(text):
        raise NotPlainDecimal("Not a plain decimal: ASCII digits with an optional point, no exponent, no blanks.")
    value = Decimal(text)
    _, digits, exponent = value.as_tuple()
    decimals = -int(exponent)
    if decimals > DECIMAL_PLACES:
        raise NotPlainDecimal(f"At most {DECIMAL_PLACES} decimals.")
    if len(digits) - decimals > WHOLE_DIGITS:
        raise NotPlainDecimal(f"At most {WHOLE_DIGITS} digits before the point.")
    return value


def plain(value: Decimal) -> str:
    """The shortest plain text of an exact decimal: no exponent, no trailing zeros."""
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in {"-0", ""} else text


def plain_or_none(value: Decimal | None) -> str | None:
    """``plain`` that lets None through."""
    return None if value is None else plain(value)


def round_down(value: Decimal, quantum: Decimal = QUANTUM) -> Decimal:
    """The nearest multiple of ``quantum`` towards zero."""
    with localcontext(CONTEXT):
        return (value / quantum).to_integral_value(ROUND_DOWN) * quantum


def round_up(value: Decimal, quantum: Decimal = QUANTUM) -> Decimal:
    """The nearest multiple of ``quantum`` away from zero."""
    with localcontext(CONTEXT):
        return (value / quantum).to_integral_value(ROUND_UP) * quantum


def _fits(value: Decimal) -> bool:
    """Whether the column holds exactly this value."""
    if not value.is_finite() or value.adjusted() >= WHOLE_DIGITS:
        return False
    return value == value.quantize(QUANTUM, context=CONTEXT)


if TYPE_CHECKING:
    _DecimalField = models.DecimalField[Any, Any]
else:
    _DecimalField = models.DecimalField


class MoneyField(_DecimalField):
    """NUMERIC(38,18) that accepts ``Decimal``, ``int`` and plain strings, and nothing else."""

    description = "Exact amount"

    def __init__(self, *args: Any, **options: Any) -> None:
        options["max_digits"] = MAX_DIGITS
        options["decimal_places"] = DECIMAL_PLACES
        super().__init__(*args, **options)

    def deconstruct(self) -> tuple[str, str, Any, Any]:
        """Leave the fixed digits out of migrations."""
        name, path, args, options = super().deconstruct()
        options.pop("max_digits", None)
        options.pop("decimal_places", None)
        return name, path, args, options

    def to_python(self, value: Any) -> Decimal | None:
        """The exact value; raises ``ValidationError`` on a float or on text that is not a plain decimal."""
        if value is None or isinstance(value, Decimal):
            return value
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise ValidationError(f"{type(value).__name__} is not an exact amount.", code="inexact")
        if isinstance(value, int):
            return Decimal(value)
        try:
            return parse_decimal(value)
        except NotPlainDecimal as error:
            raise ValidationError(str(error), code="invalid") from error

    def get_db_prep_save(self, value: Any, connection: Any) -> Any:
        """Refuse what the column could not hold exactly, instead of letting the database round it."""
        if hasattr(value, "as_sql"):
            return super().get_db_prep_save(value, connection)
        exact = self.to_python(value)
        if exact is not None and not _fits(exact):
            raise ValidationError(f"{exact} does not fit NUMERIC({MAX_DIGITS},{DECIMAL_PLACES}).", code="precision")
        return super().get_db_prep_save(exact, connection)
