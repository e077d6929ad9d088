"""Errors as ``application/problem+json`` (RFC 9457) with a stable ``code`` that programs branch on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Problem(Exception):
    """An answer to the client: HTTP status, stable code, a sentence that says what to do, and members of its own."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        errors: list[dict[str, str]] | None = None,
        headers: Mapping[str, str] | None = None,
        members: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = errors or []
        self.headers = dict(headers or {})
        self.members = dict(members or {})

    def document(self, request: Any = None) -> dict[str, Any]:
        """The problem document."""
        body: dict[str, Any] = {
            "type": f"urn:exec:problem:{self.code.lower()}",
            "title": self.code.replace("_", " ").capitalize(),
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            "request_id": getattr(request, "request_id", ""),
        }
        if self.errors:
            body["errors"] = self.errors
        body.update(self.members)
        return body
