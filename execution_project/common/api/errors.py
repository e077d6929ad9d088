"""Every error of the API leaves as a problem document."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, JsonResponse
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import set_rollback

from execution_project.common.problems import Problem

log = logging.getLogger(__name__)
CONTENT_TYPE = "application/problem+json"


def _flatten(detail: Any, pointer: str = "") -> list[dict[str, str]]:
    if isinstance(detail, Mapping):
        return [error for key, value in detail.items() for error in _flatten(value, f"{pointer}/{key}")]
    if isinstance(detail, list):
        return [error for value in detail for error in _flatten(value, pointer)]
    return [{"pointer": pointer or "/", "code": str(getattr(detail, "code", "invalid")).upper(), "detail": str(detail)}]


_CODES: dict[type[exceptions.APIException], str] = {
    exceptions.ParseError: "MALFORMED_BODY",
    exceptions.AuthenticationFailed: "INVALID_API_KEY",
    exceptions.PermissionDenied: "MISSING_SCOPE",
    exceptions.NotFound: "NOT_FOUND",
    exceptions.MethodNotAllowed: "METHOD_NOT_ALLOWED",
    exceptions.UnsupportedMediaType: "UNSUPPORTED_MEDIA_TYPE",
    exceptions.NotAcceptable: "NOT_ACCEPTABLE",
    exceptions.Throttled: "THROTTLED",
}


def as_problem(error: Exception) -> Problem | None:
    """The problem that an exception stands for, or None when it is a defect of ours."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, exceptions.ValidationError):
        return Problem(400, "INVALID_REQUEST", "Some fields are not valid; see errors.", errors=_flatten(error.detail))
    if isinstance(error, exceptions.NotAuthenticated):
        detail = "No API key came with the request: send the header Authorization: Bearer exk_…"
        return Problem(401, "NOT_AUTHENTICATED", detail, headers={"WWW-Authenticate": "Bearer"})
    if isinstance(error, exceptions.APIException):
        headers = {"WWW-Authenticate": "Bearer"} if error.status_code == 401 else {}
        return Problem(error.status_code, _CODES.get(type(error), "ERROR"), str(error.detail), headers=headers)
    if isinstance(error, Http404):
        return Problem(404, "NOT_FOUND", "There is no such thing here.")
    if isinstance(error, PermissionDenied):
        return Problem(403, "FORBIDDEN", "Not allowed.")
    if isinstance(error, InterfaceError | OperationalError):
        return Problem(
            503,
            "DATABASE_UNAVAILABLE",
            "The database does not answer. Send the same request with the same key again: it is done at most once.",
            headers={"Retry-After": "1"},
        )
    return None


def problem_response(error: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's exception handler: every error of the API leaves as a problem document."""
    request = getattr(context.get("request"), "_request", None)
    problem = as_problem(error)
    if problem is None:
        log.error("unhandled error", exc_info=error)
        problem = Problem(500, "INTERNAL_ERROR", "The engine failed on this request; quote the request id.")
    elif problem.status >= 500:
        log.warning("answered %s %s", problem.status, problem.code, exc_info=error)
    set_rollback()
    return Response(
        problem.document(request), status=problem.status, headers=problem.headers, content_type=CONTENT_TYPE
    )


def _plain(request: HttpRequest, problem: Problem) -> JsonResponse:
    return JsonResponse(problem.document(request), status=problem.status, content_type=CONTENT_TYPE)


def not_found(request: HttpRequest, exception: Exception) -> JsonResponse:
    """Django's handler404."""
    detail = "There is no such path; see the README for the API's paths. An id in one is a whole UUID."
    return _plain(request, Problem(404, "NOT_FOUND", detail))


def server_error(request: HttpRequest) -> JsonResponse:
    """Django's handler500."""
    return _plain(request, Problem(500, "INTERNAL_ERROR", "The engine failed on this request; quote the request id."))
