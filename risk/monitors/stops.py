"""Alerts of what stands still: latches and pauses that monitors set, kills that are not proven, halts that the engine
decided on.

They follow from the stored states, so nothing is missed by a restart, and none outlives its cause.
"""

from __future__ import annotations

from execution_project.common.actors import engine
from execution_project.common.clock import rfc3339
from risk.alerts import Alarm, keep_alerts
from risk.boot_halt import BOOT
from risk.intent import scope_name
from risk.kill_episodes import sentence_of
from risk.models import AlertKind, AlertSeverity, KillEpisode, KillVerdict, State, TradingState
from risk.monitors.acting import end_warnings_without_limit
from risk.pausing import standing
from risk.tripping import controls_of

KINDS = (AlertKind.TRIPPED, AlertKind.KILL_INCOMPLETE, AlertKind.HALTED, AlertKind.PAUSED)
ENGINE = "engine:"


def watch_stops() -> int:
    """Raise and end the alerts of stops, and end those of limits that warn no longer; returns how many were raised.

    Called by the ticker.
    """
    end_warnings_without_limit()
    return keep_alerts(KINDS, [*_stopped(), *_incomplete(), *_paused()], by=engine("alerts", "watching stops"))


def _stopped() -> list[Alarm]:
    found: list[Alarm] = []
    for row in TradingState.objects.exclude(state=State.ACTIVE).order_by("pk"):
        scope = scope_name(row.scope_kind, row.scope_key)
        seen = {"state": row.state, "reason": row.reason}
        found += [
            Alarm(
                AlertKind.TRIPPED,
                f"tripped:{scope}:{control}",
                AlertSeverity.CRITICAL,
                scope,
                f"{scope} is latched by {control}: {row.reason}",
                evidence={"control": control, **seen},
            )
            for control in controls_of(row)
        ]
        by_engine = row.changed_by.startswith(ENGINE) and row.changed_by != BOOT
        if row.state == State.HALTED and by_engine and not row.latched:
            said = f"{scope} was halted by the engine: {row.reason}"
            key = f"halted:{scope}:{row.last_halt_seq}"
            found.append(Alarm(AlertKind.HALTED, key, AlertSeverity.CRITICAL, scope, said, evidence=seen))
    return found


def _paused() -> list[Alarm]:
    """One for each pause: the next one of the same scope is told anew."""
    found = []
    for row in standing().order_by("id"):
        scope, until = scope_name(row.scope_kind, row.scope_key), rfc3339(row.until)
        said = f"{scope}, {row.mode}, is paused until {until}: {row.reason}"
        seen = {"control": row.control, "until": until, "reason": row.reason, **row.evidence}
        key = f"paused:{row.id}"
        found.append(Alarm(AlertKind.PAUSED, key, AlertSeverity.WARNING, scope, said, row.mode, seen))
    return found


def _incomplete() -> list[Alarm]:
    episodes = KillEpisode.objects.filter(
        ended_at__isnull=True, stage=State.HALTED, verdict=KillVerdict.KILL_INCOMPLETE
    )
    return [
        Alarm(
            AlertKind.KILL_INCOMPLETE,
            f"kill_incomplete:{episode.id}",
            AlertSeverity.CRITICAL,
            scope_name(episode.scope_kind, episode.scope_key),
            f"The kill of {scope_name(episode.scope_kind, episode.scope_key)} is not proven: "
            + "; ".join(sentence_of(each) for each in episode.unproven),
            evidence={"kill": str(episode.id), "unproven": episode.unproven},
        )
        for episode in episodes.order_by("id")
    ]
