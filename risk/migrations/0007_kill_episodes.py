"""Kills with their sweeps and flattens. A latch that stands becomes a kill, whose sweep begins with the next tick."""

import django.db.models.deletion
from django.db import migrations, models

import execution_project.common.ids
import execution_project.common.money


def begin_for_standing_latches(apps, schema_editor):
    """Without an episode a latch would have neither a verdict nor a way to be lifted in stages."""
    episodes = apps.get_model("risk", "KillEpisode").objects
    for state in apps.get_model("risk", "TradingState").objects.filter(latched=True):
        episodes.create(
            scope_kind=state.scope_kind,
            scope_key=state.scope_key,
            halt_seq=state.last_halt_seq,
            reason=state.reason,
            killed_by=state.changed_by,
            killed_at=state.changed_at,
            verdict_at=state.changed_at,
        )


class Migration(migrations.Migration):
    dependencies = [
        ("common", "0005_names_fit_and_failed_logins"),
        ("exchanges", "0004_freshness_and_foreign_orders"),
        ("risk", "0006_limits_and_recent_decisions"),
    ]

    operations = [
        migrations.CreateModel(
            name="KillEpisode",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=execution_project.common.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "scope_kind",
                    models.CharField(
                        choices=[
                            ("global", "global"),
                            ("exchange", "exchange"),
                            ("account", "account"),
                            ("strategy", "strategy"),
                            ("symbol", "symbol"),
                        ],
                        max_length=16,
                    ),
                ),
                ("scope_key", models.CharField(blank=True, max_length=64)),
                ("halt_seq", models.BigIntegerField()),
                ("reason", models.CharField(blank=True, max_length=256)),
                ("killed_by", models.CharField(max_length=200)),
                ("killed_at", models.DateTimeField()),
                ("joined", models.PositiveIntegerField(default=0)),
                (
                    "verdict",
                    models.CharField(
                        choices=[
                            ("SWEEPING", "SWEEPING"),
                            ("VERIFIED", "VERIFIED"),
                            ("KILL_INCOMPLETE", "KILL_INCOMPLETE"),
                        ],
                        default="SWEEPING",
                        max_length=16,
                    ),
                ),
                ("verdict_at", models.DateTimeField()),
                ("unproven", models.JSONField(default=list)),
                ("told_at", models.DateTimeField(null=True)),
                ("cause", models.CharField(blank=True, max_length=512)),
                ("cause_by", models.CharField(blank=True, max_length=200)),
                (
                    "stage",
                    models.CharField(
                        choices=[("ACTIVE", "ACTIVE"), ("REDUCE_ONLY", "REDUCE_ONLY"), ("HALTED", "HALTED")],
                        default="HALTED",
                        max_length=16,
                    ),
                ),
                ("ended_at", models.DateTimeField(null=True)),
            ],
            options={
                "indexes": [
                    models.Index(condition=models.Q(("ended_at__isnull", True)), fields=["id"], name="kill_standing")
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("ended_at__isnull", True)),
                        fields=("scope_kind", "scope_key"),
                        name="kill_one_at_a_time",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("scope_kind__in", ["global", "exchange", "account", "strategy", "symbol"])),
                        name="kill_scope_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("verdict__in", ["SWEEPING", "VERIFIED", "KILL_INCOMPLETE"])),
                        name="kill_verdict_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("stage__in", ["ACTIVE", "REDUCE_ONLY", "HALTED"])), name="kill_stage_known"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("verdict", "VERIFIED"), _negated=True), ("unproven", []), _connector="OR"
                        ),
                        name="kill_verified_leaves_nothing",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Flatten",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=execution_project.common.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("confirmed_seq", models.BigIntegerField()),
                ("confirmed_by", models.CharField(max_length=200)),
                ("confirmed_at", models.DateTimeField()),
                ("reason", models.CharField(blank=True, max_length=256)),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("RUNNING", "RUNNING"),
                            ("FLAT", "FLAT"),
                            ("FLAT_BUT_DUST", "FLAT_BUT_DUST"),
                            ("NOT_FLAT", "NOT_FLAT"),
                        ],
                        default="RUNNING",
                        max_length=16,
                    ),
                ),
                ("ended_at", models.DateTimeField(null=True)),
                (
                    "episode",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="flattens", to="risk.killepisode"
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="KillSweep",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=execution_project.common.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("counts_from_ms", models.BigIntegerField(null=True)),
                ("empty_since", models.DateTimeField(null=True)),
                ("snapshots", models.JSONField(default=list)),
                ("unproven", models.JSONField(default=list)),
                ("looked_at", models.DateTimeField(null=True)),
                ("verified_at", models.DateTimeField(null=True)),
                ("account", models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to="exchanges.account")),
                (
                    "episode",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="sweeps", to="risk.killepisode"
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="FlattenItem",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=execution_project.common.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("asset", models.CharField(max_length=24)),
                ("symbol", models.CharField(blank=True, max_length=50)),
                ("quantity", execution_project.common.money.MoneyField()),
                ("left", execution_project.common.money.MoneyField()),
                ("chunks", models.PositiveIntegerField(default=0)),
                (
                    "state",
                    models.CharField(
                        choices=[("SELLING", "SELLING"), ("SOLD", "SOLD"), ("DUST", "DUST"), ("LEFT", "LEFT")],
                        default="SELLING",
                        max_length=8,
                    ),
                ),
                ("why", models.CharField(blank=True, max_length=256)),
                ("moved_at", models.DateTimeField()),
                ("account", models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to="exchanges.account")),
                (
                    "flatten",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="items", to="risk.flatten"
                    ),
                ),
                (
                    "strategy",
                    models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, to="common.strategy"),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("flatten", "account", "asset", "strategy"),
                        name="flatten_item_once",
                        nulls_distinct=False,
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("state__in", ["SELLING", "SOLD", "DUST", "LEFT"])),
                        name="flatten_item_state_known",
                    ),
                ],
            },
        ),
        migrations.AddConstraint(
            model_name="flatten",
            constraint=models.UniqueConstraint(
                condition=models.Q(("status", "RUNNING")), fields=("episode",), name="flatten_one_at_a_time"
            ),
        ),
        migrations.AddConstraint(
            model_name="flatten",
            constraint=models.CheckConstraint(
                condition=models.Q(("status__in", ["RUNNING", "FLAT", "FLAT_BUT_DUST", "NOT_FLAT"])),
                name="flatten_status_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="flatten",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("ended_at__isnull", True), ("status", "RUNNING")),
                    models.Q(models.Q(("status", "RUNNING"), _negated=True), ("ended_at__isnull", False)),
                    _connector="OR",
                ),
                name="flatten_ended_says_when",
            ),
        ),
        migrations.AddConstraint(
            model_name="killsweep",
            constraint=models.UniqueConstraint(fields=("episode", "account"), name="kill_sweep_once"),
        ),
        migrations.AddConstraint(
            model_name="killsweep",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("verified_at__isnull", True),
                    models.Q(("counts_from_ms__isnull", False), ("empty_since__isnull", False)),
                    _connector="OR",
                ),
                name="kill_sweep_verified_by_evidence",
            ),
        ),
        migrations.RunPython(begin_for_standing_latches, migrations.RunPython.noop),
    ]
