"""How the API describes itself (OpenAPI 3.1): one decorator for operations, and the schemas of what all of them share.

The serializers of answers feed the description and validate nothing at run time; a test holds answers against them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from drf_spectacular.extensions import OpenApiAuthenticationExtension, OpenApiSerializerFieldExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    OpenApiResponse,
    PolymorphicProxySerializer,
    extend_schema,
)
from rest_framework.serializers import BaseSerializer

from execution_project.common.api.errors import CONTENT_TYPE
from execution_project.common.api.query import LONGEST, MAX_PAGE, PAGE
from execution_project.common.problem_codes import STATUS_OF

Handler = TypeVar("Handler", bound=Callable[..., Any])
Answer = tuple[Any, str]

EVERYWHERE = (
    "NOT_AUTHENTICATED",
    "INVALID_API_KEY",
    "MISSING_SCOPE",
    "NOT_ACCEPTABLE",
    "THROTTLED",
    "INTERNAL_ERROR",
    "DATABASE_UNAVAILABLE",
)
WITH_BODY = ("MALFORMED_BODY", "INVALID_REQUEST", "BODY_TOO_LARGE", "UNSUPPORTED_MEDIA_TYPE")
WITH_QUERY = ("UNKNOWN_PARAMETER", "INVALID_PARAMETER")
WITH_PAGES = (*WITH_QUERY, "INVALID_LIMIT")

DECIMAL = r"^-?(0|[1-9][0-9]{0,19})(\.[0-9]{1,18})?$"
# At least one digit that is not zero.
POSITIVE_DECIMAL = r"^(?=.*[1-9])(0|[1-9][0-9]{0,19})(\.[0-9]{1,18})?$"

PROBLEM: dict[str, Any] = {
    "type": "object",
    "description": "RFC 9457; branch on `code`.",
    "properties": {
        "type": {"type": "string", "description": "`urn:exec:problem:` and the code in lower case"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "A sentence that says what is wrong."},
        "code": {"type": "string", "description": "Stable."},
        "request_id": {"type": "string", "description": "As in the header X-Request-Id and in the engine's log."},
        "errors": {
            "type": "array",
            "description": "The fields at fault, where fields are.",
            "items": {
                "type": "object",
                "properties": {
                    "pointer": {"type": "string", "description": "JSON pointer into the body"},
                    "code": {"type": "string"},
                    "detail": {"type": "string"},
                },
                "required": ["pointer", "code", "detail"],
            },
        },
    },
    "required": ["type", "title", "status", "detail", "code", "request_id"],
}


def parameter(name: str, description: str, *, enum: Sequence[str] | None = None, **schema: Any) -> OpenApiParameter:
    """A query parameter, given at most once; ``schema``: members beside ``type: string``."""
    limits: dict[str, Any] = {} if enum or "format" in schema else {"maxLength": LONGEST}
    listed = {"enum": list(enum)} if enum else {}
    return OpenApiParameter(name, {"type": "string", **limits, **listed, **schema}, description=description)


def header(name: str, description: str, *, required: bool = False, **schema: Any) -> OpenApiParameter:
    """A request header; ``schema``: members beside ``type: string``."""
    return OpenApiParameter(
        name, {"type": "string", **schema}, OpenApiParameter.HEADER, required=required, description=description
    )


LIMIT = OpenApiParameter(
    "limit",
    {"type": "integer", "minimum": 1, "maximum": MAX_PAGE, "default": PAGE},
    description="Rows per page.",
)
AFTER = parameter("after", "The `next` of the page before; the other parameters stay the same.")


def problem_responses(codes: Sequence[str], members: Mapping[str, Any] | None = None) -> dict[Any, Any]:
    """Responses by (status, content type) for these codes; ``members``: more of the 422 document than all have."""
    statuses: dict[int, list[str]] = {}
    for code in dict.fromkeys(codes):
        statuses.setdefault(STATUS_OF[code], []).append(code)
    responses: dict[Any, Any] = {}
    for status, listed in sorted(statuses.items()):
        narrowed: dict[str, Any] = {"code": {"enum": sorted(listed)}, "status": {"const": status}}
        if status == 422 and members:
            narrowed.update(members)
        responses[status, CONTENT_TYPE] = OpenApiResponse(
            response={"allOf": [{"$ref": "#/components/schemas/Problem"}, {"properties": narrowed}]},
            description=", ".join(sorted(listed)),
        )
    return responses


def operation(
    name: str,
    summary: str,
    *,
    tag: str,
    answers: Mapping[int, Answer],
    problems: Sequence[str] = (),
    denied: Mapping[str, Any] | None = None,
    request: type[BaseSerializer[Any]] | None = None,
    parameters: Sequence[OpenApiParameter] = (),
    examples: Sequence[OpenApiExample] = (),
    throttled: bool = True,
    also: Mapping[int, Any] | None = None,
    etag: Sequence[int] = (),
) -> Callable[[Handler], Handler]:
    """Describe one method of a view: ``name`` is the operation's id, its docstring the description.

    ``answers``: status → (serializer, a sentence). ``problems``: codes beside those that every operation may answer.
    ``denied``: members that a 422 problem carries beside the common ones. ``throttled``: whether a key's rate counts.
    ``also``: status → another serializer whose document the answer may be. ``etag``: statuses that carry an ETag.
    """
    codes = [code for code in EVERYWHERE if throttled or code != "THROTTLED"]
    codes += [*(WITH_BODY if request is not None else ()), *problems]
    responses = problem_responses(codes, denied)
    for status, (serializer, sentence) in answers.items():
        if also and status in also:
            serializer = PolymorphicProxySerializer(
                component_name=f"{name[0].upper()}{name[1:]}Answer",
                serializers=[serializer, also[status]],
                resource_type_field_name=None,
            )
        key = status if serializer is None else (status, "application/json")
        responses[key] = OpenApiResponse(response=serializer, description=sentence)
    if etag:
        parameters = [*parameters, OpenApiParameter("ETag", str, OpenApiParameter.HEADER, response=list(etag))]
    decorate = extend_schema(
        operation_id=name,
        summary=summary,
        tags=[tag],
        request=request,
        responses=responses,
        parameters=list(parameters),
        examples=list(examples),
    )

    def described(handler: Handler) -> Handler:
        result: Handler = decorate(handler)
        return result

    return described


class BearerKey(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """The API key as the schema's security scheme."""

    target_class = "execution_project.common.api.authentication.ApiKeyAuthentication"
    name = "apiKey"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        """Bearer authentication."""
        return {"type": "http", "scheme": "bearer", "description": "An API key: `exk_…`, with scopes of its own."}


class DecimalStringField(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    """Decimals as strings with an exact pattern."""

    target_class = "execution_project.common.api.fields.DecimalString"

    def map_serializer_field(self, auto_schema: AutoSchema, direction: str) -> dict[str, Any]:
        """A positive decimal in requests that ask for one, any decimal in answers."""
        positive = direction == "request" and self.target.positive
        return {"type": "string", "pattern": POSITIVE_DECIMAL if positive else DECIMAL}


def finish(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """The document's last touch: what a problem is, and that a body has no members that nobody knows."""
    schemas = result["components"]["schemas"]
    for name, schema in schemas.items():
        if name.endswith("Request") and "properties" in schema:
            schema["additionalProperties"] = False
    schemas["Problem"] = PROBLEM
    result["components"]["schemas"] = dict(sorted(schemas.items()))
    return result
