"""JSON bodies without surprises: an object, no duplicate members, no NaN."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import IO, Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser

from execution_project.common.problems import Problem

MAX_BODY = 64 * 1024


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    body = dict(pairs)
    if len(body) != len(pairs):
        raise ParseError("A member is given twice.")
    return body


def _constant(name: str) -> Any:
    raise ParseError(f"{name} is not JSON.")


class StrictJSONParser(BaseParser):
    """``application/json`` whose top level is an object."""

    media_type = "application/json"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """The body; raises ``ParseError`` with a sentence, ``Problem`` 413 beyond 64 KiB."""
        whole = stream.read(MAX_BODY + 1)
        if len(whole) > MAX_BODY:
            raise Problem(413, "BODY_TOO_LARGE", f"A body has at most {MAX_BODY} bytes.")
        try:
            body = json.loads(whole.decode("utf-8"), object_pairs_hook=_object, parse_constant=_constant)
        except (ValueError, RecursionError) as error:
            raise ParseError(f"The body is not JSON: {error}") from error
        if not isinstance(body, dict):
            raise ParseError("The body must be a JSON object.")
        return body
