"""Approvals: one person asks, another decides, in time, and the approval is used at most once.

The module that owns an act registers how it is carried out (``carries_out``); a granted approval is carried out at
once, and again on request while it stands, should the first try have failed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet

from execution_project.common import clock
from execution_project.common.actors import Actor
from execution_project.common.events import record
from execution_project.common.locking import one_at_a_time
from execution_project.common.models import ApiKey, Approval
from execution_project.common.problems import Problem
from execution_project.common.rights import Right

DEFAULT_LIFETIME = timedelta(hours=1)

# Carries out what an approval is for, and spends it by ``use`` in the same transaction.
Executor = Callable[[Approval, Actor], str]
_EXECUTORS: dict[str, Executor] = {}
# Says in sentences what carrying out would do as things stand.
Explainer = Callable[[Approval], Sequence[str]]
_EXPLAINERS: dict[str, Explainer] = {}


def carries_out(act: str) -> Callable[[Executor], Executor]:
    """Register a function that carries out an approved act and returns a sentence on what it did."""

    def register(function: Executor) -> Executor:
        _EXECUTORS[act] = function
        return function

    return register


def explains(act: str) -> Callable[[Explainer], Explainer]:
    """Register a function that says, before anybody decides, what an approved act would do as things stand."""

    def register(function: Explainer) -> Explainer:
        _EXPLAINERS[act] = function
        return function

    return register


def consequences(approval: Approval) -> list[str]:
    """What approving would do as things stand, in sentences; none for an act that says nothing about itself."""
    explainer = _EXPLAINERS.get(approval.act)
    return [] if explainer is None else list(explainer(approval))


def open_approvals() -> QuerySet[Approval]:
    """Proposals that wait for a decision or were granted and not carried out, oldest first."""
    return Approval.objects.filter(still_open()).order_by("requested_at")


def still_open() -> Q:
    """Not lapsed, not refused and not carried out."""
    undecided_or_granted = Q(approved__isnull=True) | Q(approved=True)
    return undecided_or_granted & Q(used_at__isnull=True, expires_at__gt=clock.now())


def proposals_for(act: str, subject: str) -> QuerySet[Approval]:
    """Those of them that propose an act for exactly this subject and are not decided yet."""
    return open_approvals().filter(act=act, subject=subject, decided_at__isnull=True)


def approval_of(approval_id: UUID) -> Approval:
    """The proposal; raises ``Problem`` (404)."""
    approval = Approval.objects.filter(id=approval_id).first()
    if approval is None:
        raise Problem(404, "UNKNOWN_APPROVAL", f"There is no proposal {approval_id}.")
    return approval


def request_approval(
    act: str,
    subject: str,
    *,
    reason: str,
    by: Actor,
    parameters: Mapping[str, Any] | None = None,
    lifetime: timedelta = DEFAULT_LIFETIME,
) -> Approval:
    """Ask for a second person's word; it lapses after ``lifetime``.

    Asking for the same again while the first proposal waits returns that one, whatever the reason given this time.
    """
    asked = dict(parameters or {})
    with transaction.atomic():
        one_at_a_time(f"approval:{by.name}:{act}:{subject}")
        now = clock.now()
        waiting = proposals_for(act, subject).filter(requested_by=by.name, parameters=asked).first()
        if waiting is not None:
            return waiting
        approval = Approval.objects.create(
            act=act,
            subject=subject,
            parameters=asked,
            reason=reason,
            requested_by=by.name,
            requested_at=now,
            expires_at=now + lifetime,
        )
        record("approval.requested", "approval", approval.id, by, evidence={"act": act, "subject": subject})
    return approval


def asked_by(approval: Approval, by: Actor) -> bool:
    """Whether an actor is whoever asked, by whatever way in: ``user:olga``, ``command:olga``, a key that olga owns."""
    return split_by_asker([approval], by)[0] != []


def split_by_asker(approvals: Sequence[Approval], by: Actor) -> tuple[list[Approval], list[Approval]]:
    """Those that an actor asked for, by whatever way in, and those of others; one query for all of them."""
    owners = _owners(row.requested_by for row in approvals) | _owners([by.name])
    asking = _people(by.name, owners)
    own = [row for row in approvals if not asking.isdisjoint(_people(row.requested_by, owners))]
    return own, [row for row in approvals if row not in own]


def _owners(actors: Iterable[str]) -> dict[str, str]:
    """The owner of each key among the actors, empty for one without."""
    names = {name for kind, _, name in (actor.partition(":") for actor in actors) if kind == "key"}
    return dict(ApiKey.objects.filter(name__in=names).values_list("name", "owner")) if names else {}


def _people(actor: str, owners: Mapping[str, str]) -> set[str]:
    """Who may be behind an actor's name: what follows the colon, and the owner of a key."""
    kind, _, name = actor.partition(":")
    names = {name, owners.get(name, "")} if kind == "key" else {name}
    return {each.strip().casefold() for each in names} - {""}


def _refuse_nobody(approval: Approval, by: Actor) -> None:
    """A key is the word of its owner: without one nobody can tell that two keys are two persons'."""
    if not by.name.startswith("key:"):
        return
    for actor, advice in (
        (by.name, "Decide with a key that has an owner, or in the admin."),
        (approval.requested_by, "Who asked is not known: decide in the admin."),
    ):
        if actor.startswith("key:") and not any(owner.strip() for owner in _owners([actor]).values()):
            raise Problem(403, "KEY_WITHOUT_OWNER", f"{actor} has no owner. {advice}")


def decide(approval_id: UUID, *, approved: bool, by: Actor) -> Approval:
    """Give or refuse the word; raises ``Problem``: 404, for the requester, for a late or a second decision.

    At the API both persons are told apart by the owners of their keys: 403 ``KEY_WITHOUT_OWNER``.
    """
    by.require(Right.APPROVE)
    approval_of(approval_id)
    now = clock.now()
    with transaction.atomic():
        approval = Approval.objects.select_for_update(no_key=True).get(id=approval_id)
        if asked_by(approval, by):
            raise Problem(
                403,
                "APPROVAL_OWN_REQUEST",
                f"Whoever asked ({approval.requested_by}) cannot approve, by whatever way in; ask a second person.",
            )
        _refuse_nobody(approval, by)
        if approval.decided_at is not None:
            raise Problem(409, "APPROVAL_DECIDED", f"Already decided by {approval.decided_by}.")
        if approval.expires_at <= now:
            raise Problem(409, "APPROVAL_EXPIRED", "The request has lapsed; ask again.")
        approval.decided_by, approval.decided_at, approval.approved = by.name, now, approved
        approval.save(update_fields=["decided_by", "decided_at", "approved"])
        record("approval.granted" if approved else "approval.refused", "approval", approval.id, by)
    return approval


def decide_and_carry_out(approval_id: UUID, *, approved: bool, by: Actor) -> str:
    """Decide, and when granted do what was asked for; returns a sentence. Raises ``Problem`` like ``decide``.

    When carrying out fails, the grant stands and ``carry_out`` may be called again until it lapses.
    """
    decide(approval_id, approved=approved, by=by)
    return carry_out(approval_id, by=by) if approved else "Refused."


def carry_out(approval_id: UUID, *, by: Actor) -> str:
    """Do what a granted approval is for; returns a sentence. Raises ``Problem`` when it does not stand (any more)."""
    by.require(Right.APPROVE)
    approval = approval_of(approval_id)
    executor = _EXECUTORS.get(approval.act)
    if executor is None:
        raise Problem(409, "APPROVAL_UNKNOWN_ACT", f"Nothing here carries out {approval.act!r}.")
    return executor(approval, by)


def use(approval_id: UUID, act: str, subject: str, *, by: Actor) -> Approval:
    """Spend a granted approval for exactly this act; raises ``Problem`` when it does not stand (any more)."""
    now = clock.now()
    with transaction.atomic():
        approval = Approval.objects.select_for_update(no_key=True).get(id=approval_id)
        if (approval.act, approval.subject) != (act, subject):
            raise Problem(409, "APPROVAL_FOR_SOMETHING_ELSE", "This approval is for another act.")
        if approval.approved is not True:
            raise Problem(409, "APPROVAL_NOT_GRANTED", "This approval was not granted.")
        if approval.used_at is not None or approval.expires_at <= now:
            raise Problem(409, "APPROVAL_SPENT", "This approval was used or has lapsed; ask again.")
        approval.used_at = now
        approval.save(update_fields=["used_at"])
        record("approval.used", "approval", approval.id, by)
    return approval
