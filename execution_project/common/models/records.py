"""Who did what: events, approvals, API keys, idempotency keys, the installation and its strategies."""

from __future__ import annotations

from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from execution_project.common import ids
from execution_project.common.rights import Right


class AppendOnlyError(Exception):
    """Facts are corrected by new facts, never changed."""


class AppendOnlyModel(models.Model):
    """A fact table: rows are inserted and read. The database refuses the rest by role and by trigger."""

    append_only = True

    class Meta:
        abstract = True

    def save(self, *args: Any, **options: Any) -> None:
        """Insert; raises ``AppendOnlyError`` for a row that is already stored."""
        if not self._state.adding:
            raise AppendOnlyError(f"{type(self).__name__} rows are never changed.")
        super().save(*args, **{**options, "force_insert": True})

    def delete(self, *args: Any, **options: Any) -> tuple[int, dict[str, int]]:
        """Always raises ``AppendOnlyError``."""
        raise AppendOnlyError(f"{type(self).__name__} rows are never deleted.")


class Installation(models.Model):
    """The one row that names this installation in every client order id.

    ``database``: which database the prefix was taken for; a copy of it takes another one (``common.installation``).
    """

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    prefix = models.CharField(max_length=2)
    database = models.CharField(max_length=64, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(id=1), name="installation_is_one_row")]

    def __str__(self) -> str:
        return self.prefix


class Strategy(models.Model):
    """A registered source of orders; orders, limits and positions are attributed to it."""

    name = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name_plural = "strategies"

    def __str__(self) -> str:
        return self.name


class Event(AppendOnlyModel):
    """One thing that happened: a transition, an operator's act, a finding. Written with the change it describes."""

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    at = models.DateTimeField()
    kind = models.CharField(max_length=64)
    subject_type = models.CharField(max_length=32)
    subject_id = models.CharField(max_length=200)
    from_status = models.CharField(max_length=32, blank=True)
    to_status = models.CharField(max_length=32, blank=True)
    actor = models.CharField(max_length=200)
    cause = models.CharField(max_length=256)
    request_id = models.CharField(max_length=64, blank=True)
    evidence = models.JSONField(default=dict)

    class Meta:
        indexes = [
            models.Index(fields=["subject_id", "subject_type", "id"], name="event_subject"),
            models.Index(fields=["kind", "id"]),
            models.Index(fields=["request_id"], name="event_request", condition=~Q(request_id="")),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.subject_type} {self.subject_id}"


class Approval(models.Model):
    """A second person's word for an act. The requester can never be the approver; an old one is no longer valid."""

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    act = models.CharField(max_length=64)
    subject = models.CharField(max_length=128)
    parameters = models.JSONField(default=dict)
    reason = models.TextField()
    requested_by = models.CharField(max_length=200)
    requested_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    decided_by = models.CharField(max_length=200, null=True)
    decided_at = models.DateTimeField(null=True)
    approved = models.BooleanField(null=True)
    used_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(decided_by__isnull=True) | ~Q(decided_by=F("requested_by")),
                name="approval_by_a_second_person",
            ),
            models.CheckConstraint(
                condition=Q(decided_by__isnull=True, decided_at__isnull=True, approved__isnull=True)
                | Q(decided_by__isnull=False, decided_at__isnull=False, approved__isnull=False),
                name="approval_decided_whole",
            ),
            models.CheckConstraint(condition=Q(expires_at__gt=F("requested_at")), name="approval_expires_later"),
            models.CheckConstraint(
                condition=Q(decided_at__isnull=True) | Q(decided_at__lte=F("expires_at")),
                name="approval_decided_in_time",
            ),
            models.CheckConstraint(
                condition=Q(used_at__isnull=True)
                | Q(approved__isnull=False, approved=True, used_at__lte=F("expires_at")),
                name="approval_used_in_time",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.act} {self.subject}"


class ApiKey(models.Model):
    """A client's key: only the SHA-256 of its secret is stored."""

    id = models.CharField(max_length=16, primary_key=True)
    name = models.CharField(max_length=64, unique=True)
    secret_hash = models.CharField(max_length=64)
    scopes = ArrayField(models.CharField(max_length=16))
    # None: all. A list, also an empty one: these alone.
    accounts = ArrayField(models.CharField(max_length=64), null=True)
    strategies = ArrayField(models.CharField(max_length=64), null=True)
    # Addresses and networks (CIDR) that the key may be used from; None: any.
    networks = ArrayField(models.CharField(max_length=43), null=True)
    requests_per_second = models.PositiveIntegerField(default=50)
    owner = models.CharField(max_length=128, blank=True)
    expires_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(scopes__contained_by=["read", "trade", "operate", "approve"]) & ~Q(scopes=[]),
                name="api_key_scopes_known",
            ),
            models.CheckConstraint(condition=Q(requests_per_second__gt=0), name="api_key_rate_positive"),
        ]

    def __str__(self) -> str:
        return self.name


class ApiKeyUse(models.Model):
    """When and from where a key was last used, and how much of its rate is spent, for all processes together.

    ``next_free_at`` is the time at which the requests so far would all have been due at the key's rate; it runs ahead
    of the clock by at most the burst that is allowed. Written by ``api.authentication`` alone, by one statement.
    """

    key = models.OneToOneField(ApiKey, on_delete=models.PROTECT, primary_key=True, related_name="use")
    next_free_at = models.DateTimeField()
    refused_at = models.DateTimeField(null=True)
    last_used_at = models.DateTimeField()
    last_used_from = models.GenericIPAddressField(null=True)

    def __str__(self) -> str:
        return f"{self.key_id} {self.last_used_at:%FT%TZ}"


class Act(models.Model):
    """No table: the place of the permissions that stand for rights, so that groups can hold them."""

    class Meta:
        managed = False
        default_permissions = ()
        permissions = [(f"act_{right.value}", f"May {right.value.replace('_', ' ')}") for right in Right]

    def __str__(self) -> str:
        return "acts"


class IdempotencyKey(models.Model):
    """Who asked with which key for what: the same key gives the same resource, another body under it is refused."""

    principal = models.CharField(max_length=128)
    key = models.CharField(max_length=255)
    body_hash = models.CharField(max_length=64)
    resource_id = models.UUIDField()
    created_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["key", "principal"], name="idempotency_key_once")]

    def __str__(self) -> str:
        return f"{self.principal}:{self.key}"


class FailedLogins(models.Model):
    """How often a login failed since the window began; ``subject``: an address, or a hash of a user name and one."""

    subject = models.CharField(max_length=100, primary_key=True)
    began_at = models.DateTimeField()
    failures = models.PositiveIntegerField()

    class Meta:
        verbose_name_plural = "failed logins"
        indexes = [models.Index(fields=["began_at"], name="failed_logins_began")]

    def __str__(self) -> str:
        return f"{self.subject}: {self.failures}"
