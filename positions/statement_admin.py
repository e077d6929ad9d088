"""The page where a statement is asked for, and its download: streamed, so that its length does not matter."""

from __future__ import annotations

from datetime import UTC, datetime, time
from typing import Any

from django import forms
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.urls import path, reverse

from exchanges.models import Account
from execution_project.common import clock
from execution_project.common.admin_forms import CHECKBOXES, SELECT, TEXT, form_page
from execution_project.common.problems import Problem
from execution_project.common.read_only_admin import ReadOnlyAdmin, actor_of, may
from execution_project.common.rights import Right
from positions.statement_files import FORMATS, lines_of
from positions.statement_parts import Wanted
from positions.statements import METHODS, state

_DAY = "A day in UTC, such as 2026-01-31."


class StatementForm(forms.Form):
    """Which statement, of when and whom, and as what."""

    kind = forms.ChoiceField(
        choices=[("fills", "fills"), ("pnl", "realised profit and loss")], widget=SELECT(), label="Statement of"
    )
    method = forms.ChoiceField(
        choices=[*METHODS.items()], widget=SELECT(), label="Cost by", help_text="Of profit and loss alone."
    )
    start = forms.DateField(required=False, widget=TEXT(), label="From", help_text=f"{_DAY} Empty: from the beginning.")
    end = forms.DateField(required=False, widget=TEXT(), label="Before", help_text=f"{_DAY} Empty: up to now.")
    accounts = forms.ModelMultipleChoiceField(
        Account.objects.order_by("name"), required=False, widget=CHECKBOXES(), help_text="None: all of them."
    )
    form = forms.ChoiceField(choices=[("csv", "CSV"), ("jsonl", "JSON lines")], widget=SELECT(), label="Format")

    def wanted(self) -> Wanted:
        """The answers as a value."""
        answers = self.cleaned_data
        accounts = tuple(account.name for account in answers["accounts"])
        start, end = (
            None if answers[name] is None else datetime.combine(answers[name], time.min, UTC)
            for name in ("start", "end")
        )
        return Wanted(answers["kind"], start, end, accounts or None, answers["method"])


class StatementPages(ReadOnlyAdmin):
    """Beside the list and the pages of fills: statements."""

    def get_urls(self) -> list[Any]:
        """The page of statements first."""
        view = self.admin_site.admin_view(self.statements_view)
        return [path("statements/", view, name="positions_fill_statements"), *super().get_urls()]

    def statements_view(self, request: HttpRequest) -> HttpResponseBase:
        """The form, and the file that it asks for."""
        if not may(request, Right.VIEW):
            raise PermissionDenied
        form = StatementForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            try:
                return _download(form, request)
            except Problem as problem:
                form.add_error(None, problem.detail)
        page: HttpResponse = form_page(
            self,
            request,
            form,
            title="Statements",
            submit="Download",
            back=reverse("admin:positions_fill_changelist"),
            explanation=[
                "Every fill, or every disposal with what it realised, in the reporting currency; last the totals.",
                "Recorded with your name.",
            ],
        )
        return page


def _download(form: StatementForm, request: HttpRequest) -> HttpResponseBase:
    wanted, written = form.wanted(), form.cleaned_data["form"]
    statement = state(wanted, by=actor_of(request, "admin: statement"))
    response = StreamingHttpResponse(lines_of(statement, written), content_type=FORMATS[written])
    name = f"{wanted.kind}-{clock.now():%Y-%m-%dT%H%M%SZ}.{written}"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response
