"""The parts of pages that keep themselves fresh: the bar and the desk, alone for the script, or inside their page."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.functional import SimpleLazyObject

from exchanges.models import Account
from execution_project.back_office.bar import Bar, read_bar
from execution_project.back_office.chores import chore_lines
from execution_project.back_office.desk import read_desk
from execution_project.back_office.inbox import read_inbox
from execution_project.back_office.limit_bars import read_bars
from execution_project.back_office.pages import actor_of
from execution_project.common.rights import Right


def lazy_bar(request: HttpRequest) -> Any:
    """The bar's content, read when a template asks for it; falsy for whoever may see nothing."""
    user = request.user
    if not (user.is_active and user.is_staff):
        return None
    return SimpleLazyObject(lambda: read_bar(actor_of(request, "bar")))


def desk_context(request: HttpRequest) -> dict[str, Any]:
    """What the index needs: the desk, None without the right to view, and the rights that show buttons."""
    by = actor_of(request, "desk")
    rights = by.rights
    seen = Right.VIEW in rights
    return {
        "desk": read_desk() if seen else None,
        "inbox": read_inbox(by) if seen else None,
        "bars": read_bars() if seen else None,
        "may": {right.value: right in rights for right in Right},
    }


def bar_fragment(request: HttpRequest) -> HttpResponse:
    """The bar alone."""
    bar: Bar | None = read_bar(actor_of(request, "bar"))
    return TemplateResponse(request, "back_office/bar.html", {"bar": bar}).render()


def desk_fragment(request: HttpRequest) -> HttpResponse:
    """The desk alone."""
    return TemplateResponse(request, "back_office/desk.html", desk_context(request)).render()


def chores_fragment(request: HttpRequest, account_id: int) -> HttpResponse:
    """How far the chores of one account are; for whoever may sync it."""
    account = Account.objects.filter(pk=account_id).first()
    if account is None or Right.SYNC not in actor_of(request, "chores").rights:
        raise PermissionDenied
    return TemplateResponse(request, "back_office/chores.html", {"chores": chore_lines(account)}).render()
