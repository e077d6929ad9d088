"""What people do about a kill in the admin: name its cause, and sell what its scope holds."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.urls import reverse

from execution_project.back_office.acts import Act, Outcome
from execution_project.back_office.effects import Effect
from execution_project.back_office.forms import FlattenForm, KillCauseForm
from execution_project.common.money import plain
from execution_project.common.rights import Right
from orders.flattening import EXIT, SHARE, Plan, confirm_flatten, plan_flatten
from risk.intent import scope_name
from risk.kill_episodes import episode_of, note_cause
from risk.models import KillEpisode


class OneKillAct(Act):
    """An act on one kill, which its path names."""

    episode: KillEpisode

    def look_up(self, named: dict[str, Any]) -> None:
        """The kill."""
        kill_id: UUID = named["kill_id"]
        self.episode = episode_of(kill_id)

    def back(self) -> str:
        """The kill's page."""
        return reverse("admin:risk_killepisode_change", args=[self.episode.id])

    def facts(self) -> list[tuple[str, str]]:
        """What kill it is."""
        row = self.episode
        return [
            ("Scope", scope_name(row.scope_kind, row.scope_key)),
            ("Killed", f"{row.killed_at:%Y-%m-%d %H:%M:%S} by {row.killed_by}: {row.reason}"),
            ("Verdict", row.verdict),
        ]


class KillCauseAct(OneKillAct):
    """Why a kill happened, on record."""

    right, cause, form_class = Right.START, "cause of a kill", KillCauseForm

    def initial(self) -> dict[str, Any]:
        """What is on record."""
        return {"reason": self.episode.cause}

    def effect(self) -> Effect:
        """What it does."""
        sentences = [
            "The cause is on record with your name. Without it the latch cannot be lifted.",
            "A later word replaces it; both stay among the events.",
        ]
        return Effect("Name the cause of a kill", "Put it on record", "calm", sentences, facts=self.facts())

    def carry_out(self, answers: dict[str, Any]) -> Outcome:
        """Note it."""
        note_cause(self.episode.id, answers["reason"], by=self.by)
        return Outcome("The cause is on record.", self.back())


class FlattenAct(OneKillAct):
    """Sell what a killed scope holds: this page shows the list, its button confirms it."""

    right, cause, form_class = Right.KILL, "flatten", FlattenForm
    template = "back_office/flatten.html"
    plan: Plan

    def look_up(self, named: dict[str, Any]) -> None:
        """The kill, and what would be sold; raises ``Problem`` (409) when it cannot be."""
        super().look_up(named)
        self.plan = plan_flatten(self.episode)

    def initial(self) -> dict[str, Any]:
        """What stands for the list shown."""
        return {"confirm": self.plan.confirm, "reason": "flatten after a kill"}

    def effect(self) -> Effect:
        """What is sold, and how."""
        sales = [
            f"{item.account.name}{'' if item.strategy is None else f' ({item.strategy})'}: {plain(item.quantity)}"
            f" {item.asset} {f'by {item.symbol}' if item.symbol else 'cannot be sold: no pair leads to cash'}"
            for item in self.plan.items
        ]
        return Effect(
            f"Flatten {self.plan.scope}",
            f"Sell all {len(sales)} holdings of {self.plan.scope}",
            "danger",
            [
                *sales,
                f"In chunks of at most {SHARE:%} of the visible book, not below the bid less {EXIT:%}.",
                "Nothing is sold on old prices; a newer halt stops it. What is too little for an order stays as dust.",
            ],
            facts=self.facts(),
        )

    def carry_out(self, answers: dict[str, Any]) -> Outcome:
        """Begin."""
        flatten = confirm_flatten(self.episode, confirm=answers["confirm"], reason=answers["reason"], by=self.by)
        return Outcome(f"The flatten of {self.plan.scope} is {flatten.status}.", self.back(), messages.WARNING)
