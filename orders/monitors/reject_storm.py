"""Counts what exchanges refused and what they left unanswered, and latches the account to REDUCE_ONLY (control 17).

Placements and replaces count, cancels do not: a refused cancel is the ordinary end of a race with a fill.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta
from decimal import Decimal

from django.db.models.functions import Coalesce

from exchanges.models import Account
from exchanges.reports import OutcomeKind
from execution_project.common import clock
from execution_project.common.actors import engine
from execution_project.common.ids import first_uuid7_of
from orders.models import Attempt, AttemptKind
from risk.models import Limit
from risk.monitors.acting import Finding, act_on, against_lifting, latching, limits_of
from risk.monitors.reject_storm import REJECTS, UNKNOWN, WINDOW, evaluate
from risk.tripping import must_hold_to_lift_trip

_OUTCOME = {REJECTS: OutcomeKind.REFUSED.value, UNKNOWN: OutcomeKind.UNKNOWN.value}
_WHAT = {REJECTS: "refused", UNKNOWN: "left unknown"}
# An attempt's id is of its claim; answers come up to 120 s later, and those that never came are given up after that.
LONGEST_ANSWER = timedelta(minutes=5)

Answers = dict[tuple[int, str], list[datetime]]


def watch() -> int:
    """Latch every account whose exchange refused too much, or was silent too often; returns how many."""
    limits = limits_of(REJECTS, UNKNOWN)
    if not limits:
        return 0
    by = engine("monitor", "reject storm")
    return act_on(look(limits), of=(REJECTS, UNKNOWN), by=by, block=latching(by))


def look(limits: list[Limit], account: str | None = None) -> list[Finding]:
    """What each limit sees in each account of its scope, or in this one alone."""
    now = clock.now()
    accounts = list(Account.objects.filter(mode__in={limit.mode for limit in limits}).order_by("pk"))
    answers = _answers(now)
    return [
        _finding(limit, row, answers, now)
        for limit in limits
        for row in accounts
        if _covers(limit, row) and account in {None, row.name}
    ]


def _covers(limit: Limit, account: Account) -> bool:
    if limit.mode != account.mode:
        return False
    own = {"global": "", "exchange": account.exchange, "account": account.name}
    return limit.scope_key == own.get(limit.scope_kind)


def _finding(limit: Limit, account: Account, answers: Answers, now: datetime) -> Finding:
    value = limit.value or Decimal(0)
    count, broken = evaluate(answers.get((account.pk, _OUTCOME[limit.control]), ()), now, value)
    reason = (
        f"{account.exchange} {_WHAT[limit.control]} {count} requests of {account.name} within 60 s,"
        f" {value.normalize():f} are the limit."
    )
    return Finding(limit, ("account", account.name), Decimal(count), broken, reason)


def _answers(now: datetime) -> Answers:
    """When each account's requests were refused or left unknown within the window, by account and outcome."""
    rows = Attempt.objects.filter(
        outcome__in=list(_OUTCOME.values()),
        id__gte=first_uuid7_of(now - WINDOW - LONGEST_ANSWER),
        kind__in=[AttemptKind.SUBMIT, AttemptKind.REPLACE, AttemptKind.AMEND],
    )
    # An attempt whose worker died has no answer: its time ran out when it should have been sent.
    seen = rows.annotate(seen_at=Coalesce("answered_at", "send_by")).filter(seen_at__gt=now - WINDOW)
    found: Answers = defaultdict(list)
    for account, outcome, moment in seen.values_list("command__order__account_id", "outcome", "seen_at"):
        found[account, outcome].append(moment)
    return found


def _still(control: str, kind: str, key: str) -> list[str]:
    return against_lifting(look(limits_of(control), key)) if kind == "account" else []


@must_hold_to_lift_trip(REJECTS)
def _still_refusing(kind: str, key: str) -> list[str]:
    return _still(REJECTS, kind, key)


@must_hold_to_lift_trip(UNKNOWN)
def _still_unknown(kind: str, key: str) -> list[str]:
    return _still(UNKNOWN, kind, key)
