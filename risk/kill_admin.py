"""Kills in the admin: the episode with its verdict, what is not proven, its sweeps and its flattens."""

from __future__ import annotations

from urllib.parse import urlencode

from django.contrib import admin
from django.db.models import Q
from django.http import HttpRequest
from django.urls import reverse

from execution_project.common.admin_filters import by_condition, by_time
from execution_project.common.admin_values import NONE, Button, Document, Facts, Section, Table, amount, badge, moment
from execution_project.common.read_only_admin import ReadOnlyAdmin, may
from execution_project.common.rights import Right
from risk.intent import scope_name
from risk.kill_episodes import what_keeps_it_latched
from risk.models import FlattenStatus, KillEpisode, KillVerdict, State


@admin.register(KillEpisode)
class KillEpisodeAdmin(ReadOnlyAdmin):
    """Every kill, newest first."""

    list_display = ("killed_at", "scope", "verdict_badge", "stage", "reason", "killed_by", "ended_at")
    list_filter = (
        by_condition(
            "standing",
            "standing",
            {"yes": ("standing", Q(ended_at__isnull=True)), "no": ("over", Q(ended_at__isnull=False))},
        ),
        "verdict",
        by_time("id"),
    )
    search_fields = ("id",)
    search_help_text = "kill id"

    @admin.display(description="scope")
    def scope(self, row: KillEpisode) -> str:
        """Kind and name."""
        return scope_name(row.scope_kind, row.scope_key)

    @admin.display(description="verdict")
    def verdict_badge(self, row: KillEpisode) -> str:
        """What the evidence says."""
        return badge(row.verdict)

    def badges(self, row: KillEpisode) -> list[str]:
        """Verdict and stage."""
        return [badge(row.verdict), badge(row.stage)]

    def heading(self, row: KillEpisode) -> str:
        """Scope and time."""
        return f"Kill of {scope_name(row.scope_kind, row.scope_key)}, {moment(row.killed_at)}"

    def buttons(self, request: HttpRequest, row: KillEpisode) -> list[Button]:
        """While it stands: name its cause, lift it, sell what is held."""
        if row.ended_at is not None:
            return []
        found = []
        if may(request, Right.START):
            scope = urlencode({"kind": row.scope_kind, "key": row.scope_key})
            found += [
                Button("Name the cause", reverse("admin:act_kill_cause", args=[row.id])),
                Button("Propose start", f"{reverse('admin:act_start')}?{scope}", "primary"),
            ]
        running = row.flattens.filter(status=FlattenStatus.RUNNING).exists()
        verified = row.verdict == KillVerdict.VERIFIED and row.stage == State.HALTED
        if verified and not running and may(request, Right.KILL):
            found.append(Button("Flatten", reverse("admin:act_flatten", args=[row.id]), "danger"))
        return found

    def sections(self, request: HttpRequest, row: KillEpisode) -> list[Section]:
        """What is not proven comes first."""
        held = what_keeps_it_latched(row) if row.ended_at is None else []
        sweeps = row.sweeps.select_related("account").order_by("account__name")
        found: list[Section] = [
            Facts(
                "Kill",
                [
                    ("scope", scope_name(row.scope_kind, row.scope_key)),
                    ("reason", row.reason or NONE),
                    ("killed by", row.killed_by),
                    ("asked for again", row.joined),
                    ("verdict since", moment(row.verdict_at)),
                    ("cause", f"{row.cause} ({row.cause_by})" if row.cause else NONE),
                    ("lifted to", row.stage),
                    ("over", moment(row.ended_at) if row.ended_at else NONE),
                    ("what speaks against lifting it", " ".join(held) or NONE),
                ],
            ),
            Table(
                "Not proven",
                ["account", "what", "subject", "detail"],
                [
                    tuple(each.get(name) or NONE for name in ("account", "what", "subject", "detail"))
                    for each in row.unproven
                ],
            ),
            Table(
                "Sweeps",
                ["account", "verified", "looked at", "empty since", "lists", "working in the last"],
                [
                    (
                        sweep.account.name,
                        moment(sweep.verified_at) if sweep.verified_at else NONE,
                        moment(sweep.looked_at) if sweep.looked_at else NONE,
                        moment(sweep.empty_since) if sweep.empty_since else NONE,
                        len(sweep.snapshots),
                        sweep.snapshots[-1]["working"] if sweep.snapshots else NONE,
                    )
                    for sweep in sweeps
                ],
            ),
        ]
        found += [
            Table(
                f"Flatten of {moment(flatten.confirmed_at)} by {flatten.confirmed_by}: {flatten.status}",
                ["account", "strategy", "asset", "pair", "confirmed", "left", "chunks", "state", "why"],
                [
                    (
                        item.account.name,
                        NONE if item.strategy is None else item.strategy.name,
                        item.asset,
                        item.symbol or NONE,
                        amount(item.quantity),
                        amount(item.left),
                        item.chunks,
                        badge(item.state),
                        item.why or NONE,
                    )
                    for item in flatten.items.select_related("account", "strategy").order_by("id")
                ],
            )
            for flatten in row.flattens.order_by("id")
        ]
        found.append(Document("Lists of open orders", {sweep.account.name: sweep.snapshots for sweep in sweeps}))
        return found
