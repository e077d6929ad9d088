"""JSON of an exchange as exact values: decimals instead of floats, and an error instead of a guess. Pure."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any, NoReturn


class Unparsable(Exception):
    """An answer without the shape that it must have. The text names the field, never a value."""

    reason = "unparsable"


class Mismatch(Unparsable):
    """A well-formed answer about something else than what was asked."""

    reason = "mismatch"


def decode(content: bytes) -> Any:
    """JSON with decimals instead of floats. Raises ``Unparsable``, also for NaN and for a name given twice."""
    try:
        return json.loads(
            content.decode("utf-8"),
            parse_float=Decimal,
            parse_constant=_no_constant,
            object_pairs_hook=_object,
        )
    except (ValueError, RecursionError):
        pass
    raise Unparsable("not JSON")  # outside the handler: the decoder's error holds the whole body


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    named = dict(pairs)
    if len(named) != len(pairs):
        raise ValueError("a name given twice")
    return named


def record(body: Any) -> dict[str, Any]:
    """``body`` as an object, or ``Unparsable``."""
    if not isinstance(body, dict):
        raise Unparsable("not an object")
    return body


def records(body: Any) -> list[dict[str, Any]]:
    """``body`` as a list of objects, or ``Unparsable``."""
    if not isinstance(body, list):
        raise Unparsable("not a list")
    return [record(item) for item in body]
