"""The kill switch: a latched halt, then the end of everything in its scope, until the exchange's evidence proves it.

The latch, its episode and its event are one transaction; the sweep follows and outlives whoever began it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import transaction

from execution_project.common import clock
from execution_project.common.actors import Actor, engine
from execution_project.common.chores import ring_chore
from execution_project.common.events import record
from execution_project.common.problems import Problem
from execution_project.common.writing import insert_new
from orders.canceling import cancel_scope
from orders.kill_sweep import NAMED, accounts_in_scope, ask_for_ends, orders_of
from orders.lifecycle import OrderStatus
from orders.queues import probe_queue
from risk.intent import scope_name
from risk.kill_episodes import must_hold_to_lift, standing
from risk.models import KillEpisode, KillSweep, KillVerdict, State, TradingState
from risk.trading_state import halt

VERIFY_WITHIN = timedelta(seconds=15)
"""After that long without proof the verdict is KILL_INCOMPLETE; it still becomes VERIFIED when the proof comes."""
TOLD_EVERY = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Killed:
    """The latched state with its episode, and how many orders were asked to end."""

    state: TradingState
    episode: KillEpisode
    cancels_requested: int


def kill(scope_kind: str, scope_key: str, *, reason: str, by: Actor) -> Killed:
    """Latch the scope in a transaction of its own, then ask for the end of every order in it and begin its sweep.

    Once the latch stands, nothing unclaimed goes out, whatever becomes of the rest; what a crash or a busy row left out
    is picked up by ``cancel_in_latched_scopes`` and ``ring_sweeps``. Killing again joins the episode. Raises
    ``Problem`` (403) without the right.
    """
    state = halt(scope_kind, scope_key, reason=reason, by=by, latched=True)
    episode = standing(scope_kind, scope_key)
    if episode is None:
        raise LookupError(f"the kill of {scope_name(scope_kind, scope_key)} has no episode")
    try:
        asked = cancel_scope(scope_kind, scope_key, by=by, reason=reason)
    except Problem as problem:
        if problem.code != "CANCELS_INCOMPLETE":
            raise
        asked = problem.members["cancels_requested"]
    begin_sweeps(episode)
    return Killed(state, episode, asked)


def standing_kills() -> list[KillEpisode]:
    """Kills of which nothing is lifted yet, oldest first."""
    return list(KillEpisode.objects.filter(ended_at__isnull=True, stage=State.HALTED).order_by("id"))


def cancel_in_latched_scopes() -> int:
    """Ask for the end of every order that is left in a killed scope and has no cancel under way; returns how many.

    Rung by the ticker: a kill goes on although whoever began it died.
    """
    by = engine("killer", "latched scope")
    return sum(ask_for_ends(episode, by=by) for episode in standing_kills())


def begin_sweeps(episode: KillEpisode) -> int:
    """Make the sweeps of accounts that have none yet, and ring those that are not verified; returns how many rang."""
    accounts = accounts_in_scope(episode.scope_kind, episode.scope_key)
    missing = accounts.exclude(id__in=KillSweep.objects.filter(episode=episode).values("account"))
    insert_new([KillSweep(episode=episode, account=account) for account in missing])
    unverified = KillSweep.objects.filter(episode=episode, verified_at__isnull=True)
    return sum(
        ring_chore(probe_queue(exchange), f"kill-sweep:{sweep_id}", "orders.tasks.sweep_killed_account", str(sweep_id))
        for sweep_id, exchange in unverified.values_list("id", "account__exchange")
    )


def ring_sweeps() -> int:
    """Go on with the sweep of every kill that is not verified, and judge each; returns how many sweeps rang."""
    rung = 0
    for episode in standing_kills():
        rung += begin_sweeps(episode)
        judge(episode)
    return rung


def judge(episode: KillEpisode) -> KillEpisode:
    """Store the verdict that the evidence calls for; returns the row. KILL_INCOMPLETE is told every 30 s, with what is
    not proven.

    What works in the scope of a verified kill opens it again: a program beside this engine may have placed it.
    """
    by = engine("killer", "verdict")
    with transaction.atomic():
        episode = KillEpisode.objects.select_for_update(no_key=True).get(id=episode.id)
        if episode.ended_at is not None or episode.stage != State.HALTED:
            return episode
        left = list(orders_of(episode).order_by("id").values_list("account__name", "id", "status")[:NAMED])
        before, now = episode.verdict, clock.now()
        if before == KillVerdict.VERIFIED:
            if not left:
                return episode
            KillSweep.objects.filter(episode=episode).update(verified_at=None, empty_since=None)
        unproven = _unproven(episode, left)
        # Whoever joins a verified kill has it swept anew, from then on.
        begun_at = episode.verdict_at if before == KillVerdict.SWEEPING else episode.killed_at
        if not unproven:
            verdict = KillVerdict.VERIFIED
        elif now - begun_at > VERIFY_WITHIN:
            verdict = KillVerdict.KILL_INCOMPLETE
        else:
            verdict = KillVerdict.SWEEPING
        episode.verdict, episode.unproven = verdict.value, unproven
        if verdict != before:
            episode.verdict_at = now
        tells = verdict is KillVerdict.KILL_INCOMPLETE and (
            verdict != before or episode.told_at is None or now - episode.told_at >= TOLD_EVERY
        )
        if tells:
            episode.told_at = now
        episode.save(update_fields=["verdict", "verdict_at", "unproven", "told_at"])
        if tells or verdict != before:
            record(
                f"kill.{verdict.lower()}",
                "kill",
                episode.id,
                by,
                from_status=before,
                to_status=verdict.value,
                evidence={"scope": scope_name(episode.scope_kind, episode.scope_key), "unproven": unproven},
            )
    return episode


def _unproven(episode: KillEpisode, left: list[tuple[str, Any, str]]) -> list[dict[str, Any]]:
    """What keeps the verdict from VERIFIED: what each sweep lacks, and orders that no sweep has seen."""
    found: list[dict[str, Any]] = []
    for sweep in KillSweep.objects.filter(episode=episode, verified_at__isnull=True).select_related("account"):
        lacks = sweep.unproven or [{"what": "not looked at yet", "subject": "", "detail": ""}]
        found += [{"account": sweep.account.name, **each} for each in lacks]
    said = {each["subject"] for each in found}
    for account, order_id, status in left:
        if str(order_id) not in said:
            detail = f"it is {status}"
            found.append({"account": account, "what": "not ended", "subject": str(order_id), "detail": detail})
    swept = KillSweep.objects.filter(episode=episode).values("account")
    for account_name in accounts_in_scope(episode.scope_kind, episode.scope_key).exclude(id__in=swept):
        found.append({"account": account_name.name, "what": "not looked at yet", "subject": "", "detail": ""})
    return found


@must_hold_to_lift
def no_unknown_orders(episode: KillEpisode) -> list[str]:
    """Orders of a killed scope that have not ended, or whose outcome nobody knows."""
    rows = orders_of(episode).order_by("id")
    if episode.stage != State.HALTED:  # what reduces works again
        rows = rows.filter(status__in=[OrderStatus.SUBMIT_UNKNOWN, OrderStatus.CLOSED_UNVERIFIED])
    named = rows.values_list("account__name", "id", "status")[:NAMED]
    return [f"Order {order_id} of {account} is {status}." for account, order_id, status in named]
