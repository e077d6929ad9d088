"""The form that proposes the correction of a fill: what the exchange has of it now, or that it took it back."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path, reverse

from exchanges.reports import Fee
from execution_project.common.admin_forms import SELECT, TEXT, form_page
from execution_project.common.admin_values import Button, Table, amount, moment
from execution_project.common.money import NotPlainDecimal, parse_decimal, plain
from execution_project.common.problems import Problem
from execution_project.common.read_only_admin import actor_of, may
from execution_project.common.rights import Right
from positions.correcting import (
    Corrected,
    as_it_stands,
    bust,
    fee_of,
    fee_text,
    fill_of,
    propose_correction,
    what_a_correction_does,
)
from positions.facts import fees_of
from positions.models import Fill
from positions.statement_admin import StatementPages

BUST = "bust"


class AmountField(forms.CharField):
    """A plain decimal, exact."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=42, widget=TEXT(), **options)

    def clean(self, value: Any) -> Decimal:
        """The amount; what is no plain decimal is said in words."""
        try:
            return parse_decimal(super().clean(value).strip())
        except NotPlainDecimal as error:
            raise forms.ValidationError(str(error)) from error


class CorrectionForm(forms.Form):
    """What a fill is at the exchange now; it begins as the fill stands."""

    kind = forms.ChoiceField(
        choices=[("correct", "changed: it is what stands below"), (BUST, "taken back: it never was")],
        widget=SELECT(),
        label="The exchange has it",
        help_text="Of one that was taken back the amounts and fees below do not count.",
    )
    price = AmountField(help_text="Quote per base.")
    quantity = AmountField(help_text="In base.")
    quote_quantity = AmountField(label="Value", help_text="In quote, as the exchange has it.")
    fees = forms.CharField(
        max_length=400,
        required=False,
        widget=TEXT(),
        help_text="ASSET=AMOUNT or ASSET=AMOUNT:tax, with blanks between them; empty: none.",
    )
    reason = forms.CharField(
        min_length=10, max_length=400, widget=TEXT(), help_text="Where the exchange says so; recorded."
    )

    def clean_fees(self) -> tuple[Fee, ...]:
        """The fees as values."""
        try:
            return tuple(fee_of(text) for text in str(self.cleaned_data["fees"]).split())
        except ValueError as error:
            raise forms.ValidationError(str(error)) from error

    def correction(self, fill: Fill) -> Corrected:
        """The answers as a value."""
        answers = self.cleaned_data
        if answers["kind"] == BUST:
            return bust(fill)
        return Corrected(answers["price"], answers["quantity"], answers["quote_quantity"], answers["fees"])


class CorrectionPages(StatementPages):
    """Beside the pages of fills: proposing that one was taken back or changed."""

    def get_urls(self) -> list[Any]:
        """The form of a fill first."""
        view = self.admin_site.admin_view(self.correct_view)
        return [path("<uuid:fill_id>/correct/", view, name="positions_fill_correct"), *super().get_urls()]

    def buttons(self, request: HttpRequest, row: Fill) -> list[Button]:
        """Correct it, for whoever may."""
        if not may(request, Right.RESOLVE):
            return []
        return [Button("Correct", reverse("admin:positions_fill_correct", args=[row.pk]))]

    def correct_view(self, request: HttpRequest, fill_id: UUID) -> HttpResponse:
        """Propose the correction; nothing changes before a second person approves."""
        if not may(request, Right.RESOLVE):
            raise PermissionDenied
        try:
            fill = fill_of(fill_id)
        except Problem as problem:
            messages.error(request, problem.detail)
            return HttpResponseRedirect(reverse("admin:positions_fill_changelist"))
        form = CorrectionForm(request.POST or None, initial=_initial(as_it_stands(fill)))
        back = reverse("admin:positions_fill_change", args=[fill.pk])
        if request.method == "POST" and form.is_valid():
            to, reason = form.correction(fill), form.cleaned_data["reason"]
            try:
                approval = propose_correction(fill, to, reason=reason, by=actor_of(request, "admin: correct a fill"))
            except Problem as problem:
                form.add_error(None, problem.detail)
            else:
                sentences = " ".join(what_a_correction_does(approval))
                messages.warning(request, f"Proposed; nothing changes until another person approves. {sentences}")
                return HttpResponseRedirect(back)
        page: HttpResponse = form_page(
            self,
            request,
            form,
            title=f"Correct the fill {fill.trade_id} on {fill.account.name}",
            submit="Propose",
            back=back,
            explanation=[
                "For a fill that the exchange took back or has otherwise than the books. A second person approves.",
                "The fill itself stays as it was booked: its legs are taken back in the ledger and posted anew.",
                "Holdings, position, profit and its order follow.",
            ],
        )
        return page


def _initial(stands: Corrected) -> dict[str, str]:
    return {
        "price": plain(stands.price),
        "quantity": plain(stands.quantity),
        "quote_quantity": plain(stands.quote_quantity),
        "fees": " ".join(fee_text(fee) for fee in stands.fees),
    }


def corrections_table(fill: Fill) -> Table:
    """What was taken back or changed of a fill; the last row is in effect."""
    return Table(
        "Corrections",
        ["at", "kind", "price", "quantity", "value", "fees", "asked by approval", "reason"],
        [
            (
                moment(row.corrected_at),
                row.kind,
                amount(row.price),
                amount(row.quantity),
                amount(row.quote_quantity),
                " ".join(fee_text(fee) for fee in fees_of(row)),
                str(row.approval_id or ""),
                row.reason,
            )
            for row in fill.corrections.order_by("id")
        ],
    )
