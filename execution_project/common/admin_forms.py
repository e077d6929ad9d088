"""Forms of ours in the admin's clothes, and the page that shows one. A secret typed in is never rendered back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms
from django.http import HttpRequest
from django.template.response import TemplateResponse
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminPasswordWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

TEXT = UnfoldAdminTextInputWidget
SELECT = UnfoldAdminSelectWidget
WHOLE_NUMBER = UnfoldAdminIntegerFieldWidget
CHECKBOXES = UnfoldAdminCheckboxSelectMultipleWidget


def lines(rows: int = 3) -> forms.Widget:
    """A text area of so many rows."""
    widget: forms.Widget = UnfoldAdminTextareaWidget({"rows": rows})
    return widget


class SecretField(forms.CharField):
    """Write-only: a password input that browsers neither fill in nor keep, and that is empty on every answer."""

    def __init__(self, **options: Any) -> None:
        widget = UnfoldAdminPasswordWidget({"autocomplete": "new-password", "spellcheck": "false"})
        super().__init__(widget=widget, **options)


def form_page(
    model_admin: Any,
    request: HttpRequest,
    form: forms.Form,
    *,
    title: str,
    submit: str,
    back: str,
    explanation: Sequence[str] = (),
    tone: str = "primary",
) -> TemplateResponse:
    """The page of one form; 400 when it comes back with errors."""
    context = {
        **model_admin.admin_site.each_context(request),
        "opts": model_admin.opts,
        "media": model_admin.media,
        "title": title,
        "form": form,
        "submit": submit,
        "back": back,
        "explanation": explanation,
        "tone": tone,
    }
    return TemplateResponse(request, "exec_admin/form.html", context, status=400 if form.errors else 200)
