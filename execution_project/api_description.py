"""The API's own description: the OpenAPI document, and pages that show it without anything from elsewhere.

Both are for everybody who reaches the server, as docs/openapi.json is: they tell nothing about accounts or orders.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.views.generic import View
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.views import SpectacularSwaggerSplitView


def openapi() -> dict[str, Any]:
    """The OpenAPI document of everything under /api/exec/."""
    document: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    return document


@cache
def _served() -> bytes:
    return json.dumps(openapi()).encode()


class SchemaView(View):
    """``GET /api/exec/schema``: the OpenAPI document, put together once per process."""

    http_method_names = ["get", "head", "options"]

    def get(self, request: HttpRequest) -> HttpResponse:
        """The document as JSON."""
        return HttpResponse(_served(), content_type="application/json")


class DocsView(SpectacularSwaggerSplitView):
    """``GET /api/exec/docs``: Swagger UI from our own static files."""

    authentication_classes = []
    permission_classes = []
