"""One GET of the API in a test."""

from __future__ import annotations

from typing import Any

from django.test import Client

from tests.factories import api_key


def read(path: str, *, key: str | None = None, status: int = 200, **query: Any) -> dict[str, Any]:
    """The document that ``/api/exec/<path>`` answers to this query, with a key that reads all unless one is given."""
    answer = Client().get(f"/api/exec/{path}", query, headers={"Authorization": f"Bearer {key or api_key('read')}"})
    document: dict[str, Any] = answer.json()
    assert answer.status_code == status, document
    return document


def pages(path: str, member: str, *, key: str | None = None, **query: Any) -> list[list[dict[str, Any]]]:
    """All pages of a list from the first to the last."""
    found: list[list[dict[str, Any]]] = []
    after: dict[str, str] = {}
    while True:
        document = read(path, key=key, **query, **after)
        found.append(document[member])
        if document["next"] is None:
            return found
        after = {"after": document["next"]}
