"""Kills carried on until their proof, and kills whose proof is taken for granted, for tests of what comes after."""

from __future__ import annotations

from execution_project.common.actors import Actor
from execution_project.common.approvals import decide_and_carry_out
from execution_project.common.rights import EVERYTHING
from orders.killing import cancel_in_latched_scopes, judge, ring_sweeps, standing_kills
from risk.kill_episodes import note_cause
from risk.models import KillEpisode, KillVerdict, TradingState
from risk.trading_state import propose_start
from tests.factories import BY
from tests.regressions.rounds import make_due, rounds
from tests.waiting import wait_until

SECOND = Actor("user:second", "a test", rights=EVERYTHING)
WHY = "the desk has looked at it and is content"


def take_for_proven(kind: str = "global", key: str = "") -> KillEpisode:
    """The standing kill of a scope, as it is once its sweep is verified and its cause on record."""
    episode = KillEpisode.objects.get(scope_kind=kind, scope_key=key, ended_at__isnull=True)
    note_cause(episode.id, "a test", by=BY)
    KillEpisode.objects.filter(id=episode.id).update(verdict=KillVerdict.VERIFIED, unproven=[])
    episode.refresh_from_db()
    return episode


def lift_one_stage(kind: str = "global", key: str = "", by: Actor = SECOND) -> TradingState:
    """Propose and approve the next stage; the state after it."""
    approval = propose_start(kind, key, reason=WHY, by=BY)
    decide_and_carry_out(approval.id, approved=True, by=by)
    return TradingState.objects.get(scope_kind=kind, scope_key=key)


def kill_ticks(count: int = 1) -> None:
    """So many rounds of all that the ticker calls, kills included, with whatever waits made due, and of the tasks."""
    for _ in range(count):
        make_due()
        cancel_in_latched_scopes()
        ring_sweeps()
        rounds()
        for episode in standing_kills():
            judge(episode)


def verdict_of(kind: str = "global", key: str = "") -> KillEpisode:
    """The newest kill of a scope."""
    return KillEpisode.objects.filter(scope_kind=kind, scope_key=key).latest("id")


def until_verified(kind: str = "global", key: str = "", within: float = 20) -> KillEpisode:
    """Go on until the newest kill of a scope is verified."""

    def verified() -> bool:
        kill_ticks()
        return verdict_of(kind, key).verdict == KillVerdict.VERIFIED

    wait_until(verified, within, "the kill to be verified", every=0.2)
    return verdict_of(kind, key)
