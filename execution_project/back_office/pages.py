"""Pages that are not a model's: rendered in the admin's frame, and a refusal as a page in words."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse

from execution_project.common.actors import Actor, staff
from execution_project.common.api import errors
from execution_project.common.problems import Problem

_TITLES = {403: "Not allowed", 404: "Not found", 429: "Too often"}


def actor_of(request: HttpRequest, cause: str) -> Actor:
    """The person behind a request of the admin, with their rights."""
    return staff(request.user, f"admin: {cause}", getattr(request, "request_id", ""))  # type: ignore[arg-type]


def page(request: HttpRequest, template: str, context: dict[str, Any], *, status: int = 200) -> HttpResponse:
    """A page in the admin's frame, with sidebar and bar."""
    request.current_app = admin.site.name
    return TemplateResponse(request, template, {**admin.site.each_context(request), **context}, status=status).render()


def problem_page(request: HttpRequest, problem: Problem) -> HttpResponse:
    """What was refused and why; the status is the problem's."""
    context = {
        "title": _TITLES.get(problem.status, "Not done"),
        "problem": problem,
        "request_id": getattr(request, "request_id", ""),
    }
    # the frame with sidebar and bar is for people who are signed in
    signed_in = admin.site.has_permission(request)
    template = "back_office/problem.html" if signed_in else "back_office/problem_signed_out.html"
    return page(request, template, context, status=problem.status)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler403: a model page that somebody's groups do not show."""
    return problem_page(request, Problem(403, "FORBIDDEN", "Your groups do not allow this page."))


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler404: a page for people in the admin, a problem document for everybody else."""
    if request.path.startswith(reverse("admin:index")) and admin.site.has_permission(request):
        return problem_page(request, Problem(404, "NOT_FOUND", "There is no such page, or no such row."))
    return errors.not_found(request, exception)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Django's answer to a form without its token: one of a page that is older than the login, or a forged one."""
    detail = "Nothing was done: the page was older than your login. Open it again and repeat what you wanted."
    return problem_page(request, Problem(403, "STALE_PAGE", detail))
