"""Postings in the admin: what moved without a trade, and how somebody says what it was."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet, Sum
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path, reverse

from execution_project.common.admin_filters import by_condition, by_time
from execution_project.common.admin_forms import SELECT, TEXT, form_page
from execution_project.common.admin_values import Button, Section, Table, amount, badge, link
from execution_project.common.money import NotPlainDecimal, parse_decimal, plain
from execution_project.common.problems import Problem
from execution_project.common.read_only_admin import actor_of, may
from execution_project.common.rights import Right
from positions.classifying import (
    CLASSIFIABLE,
    INTO,
    Classification,
    posting_of,
    propose_classification,
    what_a_classification_does,
)
from positions.facts import in_effect
from positions.models import Posting, PostingKind
from positions.totals_admin import TotalsAdmin


class ClassifyForm(forms.Form):
    """What a movement was."""

    kind = forms.ChoiceField(choices=[(kind.value, kind.label) for kind in INTO], widget=SELECT(), label="What it was")
    network_fee = forms.CharField(
        max_length=42, required=False, widget=TEXT(), help_text="The part of what went out that the network took."
    )
    value = forms.CharField(
        max_length=42, required=False, widget=TEXT(), help_text="In the reporting currency; empty: at its mark."
    )
    effective_at = forms.DateTimeField(
        required=False,
        widget=TEXT(),
        label="Moved at",
        help_text="In UTC, such as 2026-01-31 12:00; empty: when noted.",
    )
    other = forms.UUIDField(
        required=False,
        widget=TEXT(),
        label="Belongs to posting",
        help_text="Of dust: what was received for it. Of an own transfer that arrives: the one that left.",
    )
    reason = forms.CharField(min_length=10, max_length=400, widget=TEXT(), help_text="Where it can be seen; recorded.")

    def clean(self) -> dict[str, Any]:
        """Amounts as exact decimals."""
        answers: dict[str, Any] = super().clean() or {}
        for name in ("network_fee", "value"):
            text = answers.get(name, "").strip()
            try:
                answers[name] = parse_decimal(text) if text else None
            except NotPlainDecimal as error:
                self.add_error(name, str(error))
        return answers

    def classification(self) -> Classification:
        """The answers as a value."""
        answers = self.cleaned_data
        return Classification(
            PostingKind(answers["kind"]),
            answers["network_fee"] or Decimal(0),
            answers["value"],
            answers["effective_at"],
            answers["other"],
        )


@admin.register(Posting)
class PostingAdmin(TotalsAdmin):
    """What moved without a trade; what nobody has explained yet is classified from its page, by two persons."""

    list_display = (
        *("effective_at", "kind", "account", "asset", "amount", "network_fee", "value", "currency", "value_assumed"),
        *("standing", "reference", "posted_by", "posted_at"),
    )
    list_select_related = ("account", "reversed_by")
    list_filter = (
        by_condition(
            "standing",
            "standing",
            {
                "open": ("not classified", Q(in_effect(), kind=PostingKind.TRANSFER)),
                "counts": ("in effect", in_effect()),
            },
        ),
        *(by_time("id", "time of posting"), "account", "kind"),
    )
    link_filters = ("asset", "asset__exact")
    search_fields = ("id",)
    search_help_text = "posting id or approval id"

    def get_urls(self) -> list[Any]:
        """Beside the list and the pages: classifying."""
        view = self.admin_site.admin_view(self.classify_view)
        return [path("<uuid:posting_id>/classify/", view, name="positions_posting_classify"), *super().get_urls()]

    @admin.display(description="standing")
    def standing(self, row: Posting) -> str:
        """Whether it counts."""
        if row.reverses_id is not None:
            return link("positions_posting", row.reverses_id, "takes another back")
        if hasattr(row, "reversed_by"):
            return link("positions_posting", row.reversed_by.pk, "taken back")
        return badge("not classified", "amber") if row.kind == PostingKind.TRANSFER else "counts"

    def totals(self, rows: QuerySet[Posting]) -> Table:
        """Amounts per mode, asset and kind of what is in effect."""
        found = (
            rows.filter(in_effect()).order_by().values("account__mode", "asset", "kind").annotate(total=Sum("amount"))
        )
        return Table(
            "Totals",
            ["mode", "asset", "kind", "amount"],
            [
                (badge(row["account__mode"]), row["asset"], row["kind"], amount(row["total"]))
                for row in found.order_by("account__mode", "asset", "kind")
            ],
        )

    def buttons(self, request: HttpRequest, row: Posting) -> list[Button]:
        """Classify what can be classified."""
        stands = row.reverses_id is None and not hasattr(row, "reversed_by") and row.kind in CLASSIFIABLE
        if not stands or not may(request, Right.RESOLVE):
            return []
        return [Button("Classify", reverse("admin:positions_posting_classify", args=[row.pk]), "primary")]

    def sections(self, request: HttpRequest, row: Posting) -> list[Section]:
        """Its values and its legs."""
        legs = row.ledgerentry_set.order_by("id")
        table = Table(
            "Ledger",
            ["asset", "amount", "book"],
            [(leg.asset, link("positions_ledgerentry", leg.pk, amount(leg.amount)), leg.book) for leg in legs],
        )
        return [*super().sections(request, row), table]

    def classify_view(self, request: HttpRequest, posting_id: UUID) -> HttpResponse:
        """Propose what it was; nothing changes before a second person approves."""
        if not may(request, Right.RESOLVE):
            raise PermissionDenied
        form = ClassifyForm(request.POST or None)
        back = reverse("admin:positions_posting_change", args=[posting_id])
        try:
            row = posting_of(posting_id)
        except Problem as problem:
            messages.error(request, problem.detail)
            return HttpResponseRedirect(back)
        if request.method == "POST" and form.is_valid():
            by = actor_of(request, "admin: classify a movement")
            try:
                to, reason = form.classification(), form.cleaned_data["reason"]
                approval = propose_classification(posting_id, to, reason=reason, by=by)
            except Problem as problem:
                form.add_error(None, problem.detail)
            else:
                sentences = " ".join(what_a_classification_does(approval))
                messages.warning(request, f"Proposed; nothing changes until another person approves. {sentences}")
                return HttpResponseRedirect(back)
        return form_page(
            self,
            request,
            form,
            title=f"What was {plain(row.amount)} {row.asset} on {row.account.name}?",
            submit="Propose",
            back=back,
            explanation=[
                "A second person approves: value and profit move.",
                "The movement is taken back in the ledger and posted anew as what it was, at the time it moved.",
            ],
        )
