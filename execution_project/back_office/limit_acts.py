"""Changing a limit in the admin: set or tighten it at once, or propose to loosen it."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, QueryDict
from django.urls import reverse

from exchanges.models import Mode
from execution_project.back_office.acts import Act, Outcome
from execution_project.back_office.effects import Effect
from execution_project.back_office.forms import ReasonForm
from execution_project.common.approvals import proposals_for
from execution_project.common.models import Approval
from execution_project.common.money import NotPlainDecimal, parse_decimal, plain_or_none
from execution_project.common.problems import Problem
from execution_project.common.rights import Right
from risk.controls.catalogue import CATALOGUE
from risk.intent import scope_name
from risk.limits import (
    CHANGE_LIMIT,
    Change,
    described,
    limit_scope_exists,
    mode_of_scope,
    newest,
    propose,
    spec_of,
    tighten_or_set,
)
from risk.models import Enforcement, LimitScopeKind
from risk.rehearsing import Rehearsal, rehearse

OFF = "off"
REHEARSED = 2000
"""Decisions that the page holds a value against; the command rehearse_limit looks at all."""
SHOWN = 20
TEXT = {"class": "bo-input", "autocomplete": "off"}


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """What the page says of a rehearsal."""

    subject: str
    days: int
    found: Rehearsal

    @property
    def words(self) -> str:
        """In a sentence."""
        found = self.found
        cut = ", the newest" if found.looked_at == REHEARSED else ""
        said = f"Of {found.looked_at} accepted decisions of the last {self.days} d{cut}, "
        said += f"{len(found.would_deny)} would have been denied by {self.subject}"
        passed = f", {found.passed_over} were none of its business" if found.passed_over else ""
        unknown = f", of {found.unknown} it cannot be told" if found.unknown else ""
        return f"{said}{passed}{unknown}. Nothing was changed."


class LimitForm(ReasonForm):
    """One limit of one scope and mode; a rehearsal needs no reason."""

    control = forms.ChoiceField(
        label="Limit",
        choices=[("", "choose a limit"), *((name, f"{spec.number} {name}") for name, spec in CATALOGUE.items())],
        widget=forms.Select(attrs=TEXT),
        help_text="Behind the number of its control. What each looks at, and its unit, stands below.",
    )
    scope = forms.CharField(
        max_length=80,
        widget=forms.TextInput(attrs=TEXT),
        help_text="global, or account:NAME, exchange:NAME, strategy:NAME, symbol:NAME, asset:NAME.",
    )
    mode = forms.ChoiceField(
        choices=[("", "choose a mode"), *Mode.choices],
        widget=forms.Select(attrs=TEXT),
        help_text="An account's limits are of its own mode.",
    )
    value = forms.CharField(
        max_length=45,
        widget=forms.TextInput(attrs=TEXT),
        help_text=f"In the limit's unit, a fraction as 0.05 for 5 %; {OFF} switches it off.",
    )
    enforcement = forms.ChoiceField(
        choices=Enforcement.choices,
        widget=forms.Select(attrs=TEXT),
        help_text="BLOCK denies; WARN lets pass and warns; SHADOW only records what it would have done.",
    )
    expires_at = forms.DateTimeField(
        required=False,
        label="Expires (UTC)",
        widget=forms.DateTimeInput(attrs=TEXT),
        help_text="Such as 2027-01-31 12:00. Empty: for good. When it expires, the version before counts again.",
    )
    days = forms.ChoiceField(
        label="Days to rehearse",
        required=False,
        choices=[("1", "1"), ("7", "7"), ("30", "30")],
        widget=forms.Select(attrs=TEXT),
        help_text="For a rehearsal alone: over which decisions the value is tried.",
    )
    field_order = ("control", "scope", "mode", "value", "enforcement", "expires_at", "days", "reason")

    def clean_scope(self) -> tuple[str, str]:
        """Kind and name of something that there is."""
        kind, _, key = str(self.cleaned_data["scope"]).partition(":")
        if kind not in LimitScopeKind.values or not limit_scope_exists(kind, key):
            raise forms.ValidationError("There is no such scope.")
        return kind, key

    def clean_value(self) -> Decimal | None:
        """A plain decimal that is not negative, or None for ``off``."""
        text = str(self.cleaned_data["value"]).strip()
        if text == OFF:
            return None
        try:
            value = parse_decimal(text)
        except NotPlainDecimal as error:
            raise forms.ValidationError(str(error)) from error
        if value < 0:
            raise forms.ValidationError("A limit is not negative.")
        return value


class LimitAct(Act):
    """Set, tighten or propose: what the value means for the limit decides."""

    right, cause, form_class = Right.CHANGE_LIMITS, "change limit", LimitForm
    template = "back_office/limit.html"

    def look_up(self, named: dict[str, Any]) -> None:
        """What the query names, to begin with; nothing has to be."""
        query = self.request.GET
        kind, key = query.get("kind", "global"), query.get("key", "")
        before = newest(query.get("control", ""), query.get("mode", ""), kind, key)
        self.start = {
            "control": query.get("control", ""),
            "scope": scope_name(kind, key),
            "mode": query.get("mode", ""),
        }
        self.facts: list[tuple[str, str]] = []
        self.rehearsed: Rehearsed | None = None
        self.pending = self._pending(before.control, before.mode, kind, key) if before is not None else []
        if before is not None:
            self.start |= {"value": plain_or_none(before.value) or OFF, "enforcement": before.enforcement}
            spec = CATALOGUE.get(before.control)
            self.facts = [
                ("Limit", before.control if spec is None else f"{before.control}: {spec.about} ({spec.unit})"),
                ("Now", f"{described(before.value, before.enforcement, before.expires_at)}, version {before.version}"),
                ("Set", f"{before.set_at:%Y-%m-%d %H:%M:%S} by {before.set_by}: {before.reason}"),
            ]

    def form(self, answers: QueryDict | None = None) -> forms.Form:
        """The form; nobody has to say why they only try a value."""
        form = super().form(answers)
        form.fields["reason"].required = not self._only_tried()
        return form

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Change it, or show what the value would have denied."""
        form = self.form(request.POST)
        if not self._only_tried() or not form.is_valid():
            return super().post(request, **kwargs)
        if form.cleaned_data["value"] is None:
            form.add_error("value", "What is switched off denies nothing: there is nothing to rehearse.")
            return self._page(form, status=400)
        self.rehearsed = self._rehearse(form.cleaned_data)
        return self._page(form)

    def _only_tried(self) -> bool:
        return self.request.POST.get("do") == "rehearse"

    def _rehearse(self, answers: dict[str, Any]) -> Rehearsed:
        control, value, days = answers["control"], answers["value"], int(answers["days"] or 1)
        kind, key = answers["scope"]
        mode = mode_of_scope(kind, key, answers["mode"])
        if kind not in spec_of(control).scopes:
            raise Problem(400, "LIMIT_SCOPE", f"{control} is not set for {kind}.")
        subject = f"{control}/{mode}/{scope_name(kind, key)} of {plain_or_none(value)}"
        return Rehearsed(subject, days, rehearse(control, mode, kind, key, value, days, most=REHEARSED))

    def context(self) -> dict[str, Any]:
        """What a rehearsal found, and what waits for a second person already."""
        rehearsed = self.rehearsed
        denied = [] if rehearsed is None else rehearsed.found.would_deny[-SHOWN:][::-1]
        return {
            "rehearsed": rehearsed,
            "would_deny": denied,
            "pending": self.pending,
            "catalogue": CATALOGUE.values(),
        }

    def initial(self) -> dict[str, Any]:
        """The version that counts."""
        return self.start

    def _pending(self, control: str, mode: str, kind: str, key: str) -> list[Approval]:
        subject = f"{control}/{mode}/{scope_name(kind, key)}"
        return list(proposals_for(CHANGE_LIMIT, subject)[:SHOWN])

    def back(self) -> str:
        """The list of limits."""
        return reverse("admin:risk_limit_changelist")

    def effect(self) -> Effect:
        """What it does."""
        sentences = [
            "A new or a tighter limit counts at once: every order from then on is decided by it. Live orders stay.",
            "What lets more through is proposed, and changes nothing until a second person approves it.",
        ]
        return Effect("Change a limit", "Change it", "warning", sentences, facts=self.facts)

    def carry_out(self, answers: dict[str, Any]) -> Outcome:
        """Set it, or ask for the second person's word."""
        kind, key = answers["scope"]
        mode = mode_of_scope(kind, key, answers["mode"])
        value, enforcement, expires = answers["value"], answers["enforcement"], answers["expires_at"]
        change = Change(answers["control"], mode, kind, key, value, enforcement, expires)
        try:
            if value is None:
                raise Problem(409, "LOOSENING_NEEDS_APPROVAL", "Switching off needs a second person's approval.")
            row = tighten_or_set(
                *(change.control, mode, kind, key, value),
                reason=answers["reason"],
                by=self.by,
                enforcement=enforcement,
                expires_at=expires,
            )
        except Problem as problem:
            if problem.code != "LOOSENING_NEEDS_APPROVAL":
                raise
        else:
            said = described(row.value, row.enforcement, row.expires_at)
            return Outcome(f"{change.subject} is {said} now, version {row.version}.", self.back())
        approval = propose(change, reason=answers["reason"], by=self.by)
        sentence = f"Nothing has changed yet: {change.subject} waits for a second person's approval."
        return Outcome(sentence, reverse("admin:common_approval_change", args=[approval.id]), messages.WARNING)
