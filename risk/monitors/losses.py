"""Monitor of controls 19 and 20: alerts at 50, 80 and 100 % of every limit on losses, and the latch at 100 %.

It judges what the series of equity say; they are kept by ``positions.equity``. Stateless: limits, series and standing
alerts are read at each look, so a restart, midnight or a changed limit are nothing special.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal, localcontext
from functools import partial
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import Q

from exchanges.models import Account, Mode
from execution_project.common import clock
from execution_project.common.actors import engine
from execution_project.common.clock import rfc3339
from execution_project.common.money import CONTEXT, plain, plain_or_none
from positions.models import EquityPoint, Holding
from risk.alerts import Alarm, keep_alerts
from risk.controls.catalogue import CATALOGUE, OF_LOSS
from risk.controls.losing import MEASURES, loss_of, met
from risk.facts import Losses
from risk.inputs import LimitVersion
from risk.intent import scope_name
from risk.losses import READ_LOSSES, losses_since, parsed_losses
from risk.models import AlertKind, AlertSeverity, Enforcement, Reservation, TradingState
from risk.tripping import controls_of, must_hold_to_lift_trip, trip

KINDS = (AlertKind.LIMIT, AlertKind.EQUITY_UNKNOWN)
THRESHOLDS = (50, 80, 100)
"""Per cent of a limit at which an alert is raised (docs/risk-controls.md, control 27)."""

# One statement: where no such limit is set, nothing else is looked at but the alerts that stand.
_READ = """
WITH l AS MATERIALIZED (
  SELECT DISTINCT ON (control, mode, scope_kind, scope_key)
         control, mode, scope_kind, scope_key, version, value::text AS value, enforcement
    FROM risk_limit
   WHERE control = ANY(%(names)s::text[]) AND (expires_at IS NULL OR expires_at > %(now)s::timestamptz)
   ORDER BY control, mode, scope_kind, scope_key, version DESC)
SELECT (SELECT jsonb_agg(to_jsonb(l)) FROM l WHERE value IS NOT NULL),
       (SELECT jsonb_agg(to_jsonb(x)) FROM ($LOSSES) x WHERE EXISTS (SELECT 1 FROM l WHERE value IS NOT NULL)),
       (SELECT jsonb_agg(key) FROM risk_alert WHERE resolved_at IS NULL AND kind = ANY(%(kinds)s::text[]))
""".replace("$LOSSES", READ_LOSSES)


@dataclass(frozen=True, slots=True)
class Judged:
    """One limit in one scope and mode, and what of it is lost; ``value`` None: not known."""

    limit: LimitVersion
    mode: str
    value: Decimal | None
    seen: Losses | None

    @property
    def bound(self) -> Decimal:
        """The limit's value."""
        return self.limit.value or Decimal(0)

    @property
    def kind(self) -> str:
        """Of the scope."""
        return self.limit.scope.partition(":")[0]

    @property
    def key(self) -> str:
        """The name of the scope, empty for global."""
        return self.limit.scope.partition(":")[2]

    @property
    def breaches(self) -> bool:
        """Known, and at the limit or beyond."""
        return self.value is not None and met(self.value, self.bound)

    def reached(self, per_cent: int) -> bool:
        """Whether so much of the limit is lost."""
        with localcontext(CONTEXT):
            return self.value is not None and self.value * 100 >= self.bound * per_cent

    def sentence(self) -> str:
        """Both numbers in words."""
        value = "not known" if self.value is None else plain(self.value)
        unit = CATALOGUE[self.limit.control].unit
        return f"{self.limit.control} of {self.limit.scope}, {self.mode}: {value} of {plain(self.bound)} ({unit})"

    def evidence(self) -> dict[str, Any]:
        """What it rests on, for the record."""
        seen = self.seen
        return {
            "limit": self.limit.control,
            "version": self.limit.version,
            "value": plain(self.bound),
            "enforcement": self.limit.enforcement,
            "observed": plain_or_none(self.value),
            "measured_in": f"{self.limit.scope}/{self.mode}",
            "equity": None if seen is None else plain_or_none(seen.equity),
            "known_at": None if seen is None or seen.known_at is None else rfc3339(seen.known_at),
        }


def evaluate(
    limits: Iterable[tuple[str, LimitVersion]], losses: dict[tuple[str, str], Losses], now: datetime
) -> list[Judged]:
    """Every limit (mode, version) against the series of its own scope and mode."""
    found = []
    for mode, limit in limits:
        seen = losses.get((mode, limit.scope))
        value = loss_of(limit.control, limit.scope, () if seen is None else (seen,), now)
        found.append(Judged(limit, mode, value, seen))
    return found


def watch_losses() -> int:
    """Look at every limit on losses: raise and end alerts, and latch where one is met. Returns how many scopes were
    latched. Called by the ticker."""
    judged, standing = _read(clock.now())
    by = engine("monitor", "losses")
    settled = [one for one in judged if _settled(one)]
    latched = 0
    for one in settled:
        if one.breaches and one.limit.enforcement == Enforcement.BLOCK:
            latched += _latch(one)
    wanted = [alarm for one in settled for alarm in _alarms(one)]
    # What cannot be judged now has neither crossed a threshold nor fallen below one.
    pending = [f"{_key(one)}/" for one in judged if one.value is None or one not in settled]
    kept = {key for key in standing if key.startswith(tuple(pending)) and not key.endswith("/unknown")}
    if {alarm.key for alarm in wanted} != standing - kept:
        keep_alerts(KINDS, wanted, by=by, untouched=kept)
    return latched


def _read(now: datetime) -> tuple[list[Judged], set[str]]:
    parameters: dict[str, Any] = {
        "names": list(OF_LOSS),
        "now": now,
        "kinds": [kind.value for kind in KINDS],
        "currency": settings.EXEC_REPORTING_CURRENCY,
        "modes": list(Mode.values),
        "owners": None,
        "points_since": losses_since(now),
    }
    with connection.cursor() as cursor:
        cursor.execute(_READ, parameters)
        limits, losses, keys = (json.loads(found, parse_float=Decimal) if found else [] for found in cursor.fetchone())
    versions = [
        (
            row["mode"],
            LimitVersion(
                row["control"],
                scope_name(row["scope_kind"], row["scope_key"]),
                row["version"],
                Decimal(row["value"]),
                row["enforcement"],
            ),
        )
        for row in limits
    ]
    return evaluate(versions, parsed_losses(losses), now), set(keys)


def _settled(one: Judged) -> bool:
    """Whether a breach is more than one doubtful tick: its marks are confirmed, or the valuation before says it too.

    Until then nothing is latched and no alert of it begins or ends; the gate denies by it all the same.
    """
    if one.seen is None or one.seen.confirmed or not one.breaches:
        return True
    points = EquityPoint.objects.filter(
        series__mode=one.mode,
        series__scope=one.kind,
        series__currency=settings.EXEC_REPORTING_CURRENCY,
        equity__isnull=False,
        at__gt=losses_since(clock.now()),
    )
    if one.kind != "global":
        points = points.filter(**{f"series__{one.kind}__name": one.key})
    before = points.order_by("-at")[1:2].first()
    if before is None:
        return False
    earlier = MEASURES[one.limit.control](
        replace(
            one.seen,
            drawdown=before.drawdown_trailing,
            drawdown_amount=before.drawdown_absolute,
            daily_loss=before.daily_loss,
        )
    )
    return earlier is not None and met(earlier, one.bound)


def _key(one: Judged) -> str:
    return f"{one.limit.control}/{one.mode}/{one.limit.scope}"


def _alarms(one: Judged) -> list[Alarm]:
    if one.value is None:
        if one.seen is None or one.limit.enforcement == Enforcement.SHADOW:
            return []
        said = f"Equity is not known, and with it {one.limit.control} of {one.limit.scope}, {one.mode}."
        if one.limit.enforcement == Enforcement.BLOCK:
            said += " Nothing that increases exposure passes."
        key = f"{_key(one)}/unknown"
        severity = AlertSeverity.WARNING
        return [Alarm(AlertKind.EQUITY_UNKNOWN, key, severity, one.limit.scope, said, one.mode, one.evidence())]
    found = []
    for per_cent in THRESHOLDS:
        if not one.reached(per_cent):
            continue
        severity = AlertSeverity.CRITICAL if per_cent == THRESHOLDS[-1] else AlertSeverity.WARNING
        if one.limit.enforcement == Enforcement.SHADOW:
            severity = AlertSeverity.INFO
        said = f"{per_cent} % reached: {one.sentence()}."
        evidence = {"threshold": per_cent, **one.evidence()}
        key = f"{_key(one)}/{per_cent}"
        found.append(Alarm(AlertKind.LIMIT, key, severity, one.limit.scope, said, one.mode, evidence))
    return found


def _latch(one: Judged) -> int:
    """Latch what the limit is about, unless it has been; how many scopes."""
    scopes = latched_scopes(one.mode, one.kind, one.key)
    rows = {
        (row.scope_kind, row.scope_key): row
        for row in TradingState.objects.filter(
            scope_kind__in={kind for kind, _ in scopes}, scope_key__in={key for _, key in scopes}, latched=True
        )
    }
    by = engine("monitor", one.limit.control)
    reason = f"{one.sentence()}."
    made = 0
    for kind, key in scopes:
        row = rows.get((kind, key))
        if row is None or one.limit.control not in controls_of(row):
            made += (
                trip(kind, key, control=one.limit.control, reason=reason, evidence=one.evidence(), by=by) is not None
            )
    return made


def latched_scopes(mode: str, kind: str, key: str) -> list[tuple[str, str]]:
    """What a loss in a scope and mode latches, as (kind, key).

    An account itself. A strategy itself where it is live; else the accounts of its mode where it holds something or has
    live orders, or ever held something: a strategy's name is the same in every mode, and paper never stops live. A
    whole mode: each of its accounts.
    """
    if kind == "account" or (kind == "strategy" and mode == Mode.LIVE):
        return [(kind, key)]
    accounts = Account.objects.filter(mode=mode)
    if kind == "strategy":
        of_strategy = Holding.objects.filter(account__mode=mode, strategy__name=key)
        live = Reservation.objects.filter(mode=mode, strategy=key, live=True).values("account_name")
        now = accounts.filter(Q(id__in=of_strategy.exclude(quantity=0).values("account")) | Q(name__in=live))
        accounts = now if now.exists() else accounts.filter(id__in=of_strategy.values("account"))
    return [("account", name) for name in accounts.order_by("name").values_list("name", flat=True)]


def what_is_still_lost(control: str, kind: str, key: str) -> list[str]:
    """What latches this scope by a limit as things stand, in sentences: recovery alone lifts nothing, and what is still
    at its limit cannot be lifted before the limit was changed."""
    judged, _ = _read(clock.now())
    return [
        f"{one.sentence()}: it has to recover, or the limit to be changed, first."
        for one in judged
        if one.limit.control == control
        and one.limit.enforcement == Enforcement.BLOCK
        and met(one.value, one.bound)
        and (kind, key) in latched_scopes(one.mode, one.kind, one.key)
    ]


for _control in OF_LOSS:
    must_hold_to_lift_trip(_control)(partial(what_is_still_lost, _control))
