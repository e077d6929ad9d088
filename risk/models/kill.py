"""Kills: each latch is an episode with a sweep of every account in its scope, a verdict, and perhaps a flatten."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from exchanges.models import Account
from execution_project.common import ids
from execution_project.common.models import Strategy
from execution_project.common.money import MoneyField
from risk.models.state import ScopeKind, State


class KillVerdict(models.TextChoices):
    """SWEEPING: too young to judge. VERIFIED by the exchange's evidence alone; KILL_INCOMPLETE: not proven in time."""

    SWEEPING = "SWEEPING", "SWEEPING"
    VERIFIED = "VERIFIED", "VERIFIED"
    KILL_INCOMPLETE = "KILL_INCOMPLETE", "KILL_INCOMPLETE"


class KillEpisode(models.Model):
    """One kill of a scope, from its latch until the scope is ACTIVE again or killed anew (``ended_at``).

    ``halt_seq``: the halt's number. ``stage``: what two persons allow so far. ``unproven``: what keeps the verdict from
    VERIFIED, as documents with account, what, subject and detail. ``joined``: how often it was asked for again.
    ``cause``: why it happened, on record before it is lifted. ``told_at``: when KILL_INCOMPLETE was last told.
    """

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    scope_kind = models.CharField(max_length=16, choices=ScopeKind.choices)
    scope_key = models.CharField(max_length=64, blank=True)
    halt_seq = models.BigIntegerField()
    reason = models.CharField(max_length=256, blank=True)
    killed_by = models.CharField(max_length=200)
    killed_at = models.DateTimeField()
    joined = models.PositiveIntegerField(default=0)
    verdict = models.CharField(max_length=16, choices=KillVerdict.choices, default=KillVerdict.SWEEPING)
    verdict_at = models.DateTimeField()
    unproven = models.JSONField(default=list)
    told_at = models.DateTimeField(null=True)
    cause = models.CharField(max_length=512, blank=True)
    cause_by = models.CharField(max_length=200, blank=True)
    stage = models.CharField(max_length=16, choices=State.choices, default=State.HALTED)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["scope_kind", "scope_key"], condition=Q(ended_at__isnull=True), name="kill_one_at_a_time"
            ),
            models.CheckConstraint(condition=Q(scope_kind__in=ScopeKind.values), name="kill_scope_known"),
            models.CheckConstraint(condition=Q(verdict__in=KillVerdict.values), name="kill_verdict_known"),
            models.CheckConstraint(condition=Q(stage__in=State.values), name="kill_stage_known"),
            models.CheckConstraint(
                condition=~Q(verdict="VERIFIED") | Q(unproven=[]), name="kill_verified_leaves_nothing"
            ),
        ]
        indexes = [models.Index(fields=["id"], name="kill_standing", condition=Q(ended_at__isnull=True))]

    def __str__(self) -> str:
        return f"{self.scope_kind}:{self.scope_key} {self.verdict}"


class KillSweep(models.Model):
    """The sweep of one account for one kill; resumed by whoever comes next.

    ``counts_from_ms``: exchange time (ms) from which on a list of open orders counts, for what was in flight can no
    longer be executed then. ``empty_since``: when the first of the empty lists that count was asked for; ``snapshots``:
    the last lists, with their times. ``unproven``: what is not proven of this account.
    """

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    episode = models.ForeignKey(KillEpisode, on_delete=models.PROTECT, related_name="sweeps")
    account = models.ForeignKey(Account, on_delete=models.PROTECT)
    counts_from_ms = models.BigIntegerField(null=True)
    empty_since = models.DateTimeField(null=True)
    snapshots = models.JSONField(default=list)
    unproven = models.JSONField(default=list)
    looked_at = models.DateTimeField(null=True)
    verified_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["episode", "account"], name="kill_sweep_once"),
            models.CheckConstraint(
                condition=Q(verified_at__isnull=True) | Q(empty_since__isnull=False, counts_from_ms__isnull=False),
                name="kill_sweep_verified_by_evidence",
            ),
        ]

    def __str__(self) -> str:
        return f"sweep of {self.account_id}"


class FlattenStatus(models.TextChoices):
    """RUNNING until its verdict: everything sold, everything but dust, or not, with the list of what is left."""

    RUNNING = "RUNNING", "RUNNING"
    FLAT = "FLAT", "FLAT"
    FLAT_BUT_DUST = "FLAT_BUT_DUST", "FLAT_BUT_DUST"
    NOT_FLAT = "NOT_FLAT", "NOT_FLAT"


class Flatten(models.Model):
    """One confirmed sale of everything in a killed scope, in chunks.

    ``confirmed_seq``: its number in the sequence of halts; its orders pass the halts before it and none after it.
    """

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    episode = models.ForeignKey(KillEpisode, on_delete=models.PROTECT, related_name="flattens")
    confirmed_seq = models.BigIntegerField()
    confirmed_by = models.CharField(max_length=200)
    confirmed_at = models.DateTimeField()
    reason = models.CharField(max_length=256, blank=True)
    status = models.CharField(max_length=16, choices=FlattenStatus.choices, default=FlattenStatus.RUNNING)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["episode"], condition=Q(status="RUNNING"), name="flatten_one_at_a_time"),
            models.CheckConstraint(condition=Q(status__in=FlattenStatus.values), name="flatten_status_known"),
            models.CheckConstraint(
                condition=Q(status="RUNNING", ended_at__isnull=True) | ~Q(status="RUNNING") & Q(ended_at__isnull=False),
                name="flatten_ended_says_when",
            ),
        ]

    def __str__(self) -> str:
        return f"flatten {self.status}"


class FlattenState(models.TextChoices):
    """Where the sale of one holding stands; LEFT: given up, ``why`` says for what cause."""

    SELLING = "SELLING", "SELLING"
    SOLD = "SOLD", "SOLD"
    DUST = "DUST", "DUST"
    LEFT = "LEFT", "LEFT"


class FlattenItem(models.Model):
    """One holding that a flatten sells, as it was shown and confirmed, and what became of it.

    ``quantity`` and ``left`` in the asset; ``symbol`` empty where no listed pair leads to cash. ``chunks``: orders that
    it has placed; ``moved_at``: when less was left for the last time.
    """

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    flatten = models.ForeignKey(Flatten, on_delete=models.PROTECT, related_name="items")
    account = models.ForeignKey(Account, on_delete=models.PROTECT)
    strategy = models.ForeignKey(Strategy, on_delete=models.PROTECT, null=True)
    asset = models.CharField(max_length=24)
    symbol = models.CharField(max_length=50, blank=True)
    quantity = MoneyField()
    left = MoneyField()
    chunks = models.PositiveIntegerField(default=0)
    state = models.CharField(max_length=8, choices=FlattenState.choices, default=FlattenState.SELLING)
    why = models.CharField(max_length=256, blank=True)
    moved_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["flatten", "account", "asset", "strategy"], name="flatten_item_once", nulls_distinct=False
            ),
            models.CheckConstraint(condition=Q(state__in=FlattenState.values), name="flatten_item_state_known"),
        ]

    def __str__(self) -> str:
        return f"{self.left} {self.asset} {self.state}"
