"""What the confirmation pages ask for."""

from __future__ import annotations

from django import forms

from orders.sync_requests import Fact


class ReasonForm(forms.Form):
    """Every act says why; it is recorded with the act."""

    reason = forms.CharField(
        max_length=256,
        widget=forms.TextInput(attrs={"class": "bo-input", "autocomplete": "off"}),
        help_text="Recorded with your name.",
    )


class HaltForm(ReasonForm):
    """A halt may ask for the end of the orders too."""

    cancel_orders = forms.BooleanField(required=False, label="Also ask for the end of every working order in the scope")


class SyncForm(ReasonForm):
    """Which facts to fetch."""

    facts = forms.MultipleChoiceField(
        choices=[(fact.value, fact.value) for fact in Fact],
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": "Choose at least one."},
    )


class ResolveOrderForm(ReasonForm):
    """How an unknown order ended; which outcomes there are depends on the order."""

    outcome = forms.ChoiceField(
        widget=forms.RadioSelect,
        error_messages={"required": "Say how it ended.", "invalid_choice": "Not possible here."},
    )


class AcknowledgeForm(ReasonForm):
    """Who looks after a break."""

    owner = forms.CharField(
        max_length=128,
        widget=forms.TextInput(attrs={"class": "bo-input", "autocomplete": "off"}),
        label="Who looks after it",
    )


class ResolveBreakForm(ReasonForm):
    """What explains the difference."""

    reason = forms.CharField(
        min_length=10,
        max_length=256,
        widget=forms.TextInput(attrs={"class": "bo-input", "autocomplete": "off"}),
        help_text="What explains the difference; recorded with your name.",
    )


class KillCauseForm(forms.Form):
    """Why a kill happened."""

    reason = forms.CharField(
        label="Cause",
        max_length=512,
        widget=forms.TextInput(attrs={"class": "bo-input", "autocomplete": "off"}),
        help_text="Why it happened: on record with your name before the latch can be lifted.",
    )


class FlattenForm(ReasonForm):
    """The list that was shown, by what stands for it."""

    confirm = forms.CharField(max_length=16, widget=forms.HiddenInput)


class DecideForm(ReasonForm):
    """Approve or refuse; ``again`` carries out a grant whose first try failed."""

    decision = forms.ChoiceField(choices=[("approve", "approve"), ("refuse", "refuse"), ("again", "again")])
