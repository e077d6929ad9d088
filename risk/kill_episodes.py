"""Kill episodes: begun with their latch in one transaction, judged by evidence, lifted in stages by two persons."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.db import transaction

from execution_project.common import clock
from execution_project.common.actors import Actor
from execution_project.common.events import record
from execution_project.common.problems import Problem
from execution_project.common.rights import Right
from risk.intent import scope_name
from risk.models import KillEpisode, KillSweep, KillVerdict, State

LONGEST_CAUSE = 512
NEXT_STAGE = {State.HALTED.value: State.REDUCE_ONLY.value, State.REDUCE_ONLY.value: State.ACTIVE.value}

# Says in sentences what keeps the latch of a scope from being lifted; none: nothing.
Precondition = Callable[[KillEpisode], list[str]]
_PRECONDITIONS: list[Precondition] = []


def must_hold_to_lift(check: Precondition) -> Precondition:
    """Register what must hold before a latch is lifted; floors above this one know more than it does."""
    _PRECONDITIONS.append(check)
    return check


def standing(kind: str, key: str) -> KillEpisode | None:
    """The kill of a scope that is not over, or None."""
    return KillEpisode.objects.filter(scope_kind=kind, scope_key=key, ended_at__isnull=True).first()


def begin_or_join(kind: str, key: str, *, halt_seq: int, reason: str, by: Actor) -> KillEpisode:
    """The episode of a latch, in the transaction and under the lock of its halt.

    A kill of what is killed joins the episode and is recorded; what was proven before says nothing about now, so every
    account is swept again. One of a scope that was lifted in part begins another episode.
    """
    now = clock.now()
    episode = standing(kind, key)
    if episode is not None and episode.stage != State.HALTED:
        episode.ended_at = now
        episode.save(update_fields=["ended_at"])
        _record("kill.superseded", episode, by)
        episode = None
    if episode is not None:
        _prove_again(episode)
        _record("kill.joined", episode, by, {"reason": reason, "seq": halt_seq})
        return episode
    episode = KillEpisode.objects.create(
        scope_kind=kind,
        scope_key=key,
        halt_seq=halt_seq,
        reason=reason[:256],
        killed_by=by.name,
        killed_at=now,
        verdict_at=now,
    )
    _record("kill.begun", episode, by, {"reason": reason, "seq": halt_seq})
    return episode


def _prove_again(episode: KillEpisode) -> None:
    """Take back what was proven; an incomplete kill stays one, so that no alert is silenced by asking again."""
    episode.joined += 1
    if episode.verdict == KillVerdict.VERIFIED:
        episode.verdict, episode.verdict_at = KillVerdict.SWEEPING.value, clock.now()
    episode.save(update_fields=["joined", "verdict", "verdict_at"])
    # A step that looked before finds by ``looked_at`` that it does not count.
    KillSweep.objects.filter(episode=episode).update(verified_at=None, empty_since=None, looked_at=None)


def move_stage(episode: KillEpisode, stage: str, *, by: Actor, evidence: dict[str, Any]) -> None:
    """Lift a kill by one stage; the caller holds the scope's lock. ACTIVE ends the episode."""
    before, episode.stage = episode.stage, stage
    if stage == State.ACTIVE:
        episode.ended_at = clock.now()
    episode.save(update_fields=["stage", "ended_at"])
    record("kill.lifted", "kill", episode.id, by, from_status=before, to_status=stage, evidence=evidence)


def what_keeps_it_latched(episode: KillEpisode) -> list[str]:
    """What the machine checks before a latch is lifted, in sentences; empty when it may be."""
    wrong = [] if episode.cause else ["Its cause is not on record: why did it happen?"]
    if episode.verdict != KillVerdict.VERIFIED:
        wrong.append(f"The sweep is {episode.verdict}, not VERIFIED.")
        wrong += [sentence_of(each) for each in episode.unproven]
    for check in _PRECONDITIONS:
        wrong += check(episode)
    return wrong


def sentence_of(unproven: dict[str, Any]) -> str:
    """One thing that is not proven, in words."""
    return " ".join(str(unproven[name]) for name in ("account", "what", "subject", "detail") if unproven.get(name))


def note_cause(episode_id: UUID, cause: str, *, by: Actor) -> KillEpisode:
    """Put on record why a kill happened; a later word replaces an earlier one, and both stay among the events.

    Raises ``Problem``: 400 for an empty or too long one, 403 without the right, 404, 409 when the kill is over.
    """
    by.require(Right.START)
    if not cause.strip() or len(cause) > LONGEST_CAUSE:
        raise Problem(400, "INVALID_PARAMETER", f"cause: 1 to {LONGEST_CAUSE} characters.")
    with transaction.atomic():
        episode = KillEpisode.objects.select_for_update(no_key=True).filter(id=episode_id).first()
        if episode is None:
            raise Problem(404, "UNKNOWN_KILL", f"There is no kill {episode_id}.")
        if episode.ended_at is not None:
            raise Problem(409, "KILL_OVER", "That kill is over; its record is closed.")
        before, episode.cause, episode.cause_by = episode.cause, cause.strip(), by.name
        episode.save(update_fields=["cause", "cause_by"])
        _record("kill.cause", episode, by, {"cause": episode.cause, "was": before})
    return episode


def episode_of(episode_id: UUID) -> KillEpisode:
    """The episode; raises ``Problem`` (404)."""
    episode = KillEpisode.objects.filter(id=episode_id).first()
    if episode is None:
        raise Problem(404, "UNKNOWN_KILL", f"There is no kill {episode_id}.")
    return episode


def _record(kind: str, episode: KillEpisode, by: Actor, evidence: dict[str, Any] | None = None) -> None:
    scope = scope_name(episode.scope_kind, episode.scope_key)
    record(kind, "kill", episode.id, by, to_status=episode.verdict, evidence={"scope": scope, **(evidence or {})})
