"""Is the process alive, is the engine ready: two addresses for load balancers and for people, in words.

``/healthz`` asks nothing of anybody: it answers as long as this process can. ``/readyz`` looks into the database alone,
never at an exchange, and says what is wrong; 503 means that orders would be refused or left lying. Its words name
accounts and hosts, so strangers get the names of the checks and whether they hold.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from exchanges.emergency_kit import age_of_kit
from exchanges.host_clock import MAX_AGE, MAX_SKEW_MS
from exchanges.models import Account, HostClock, HostPause
from exchanges.rate_budget import sentence_of
from exchanges.streams.states import troubles
from execution_project.common import clock
from execution_project.common.api.authentication import client_address
from execution_project.common.api_keys import InvalidApiKey, Throttled, authenticate
from execution_project.common.models import ApiKey, Event, QueueBeat
from execution_project.common.rights import OF_SCOPE, Right
from execution_project.ticker import BEAT_NAME
from orders.models import Order
from positions.currencies import other_currencies
from risk.inputs import Reconciled

OLD_BEAT = timedelta(seconds=20)
UNKNOWN_TOO_LONG = timedelta(minutes=2)
KIT_WRITTEN_WITHIN = timedelta(seconds=5)
LOOPBACK = ("127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: what it is about, whether it holds, and what it found, in words."""

    name: str
    ok: bool
    says: str

    @classmethod
    def of(cls, name: str, wrong: list[str], fine: str) -> Finding:
        """Fine unless something is wrong."""
        return cls(name, not wrong, "; ".join(wrong) or fine)


def _migrations() -> Finding:
    executor = MigrationExecutor(connection)
    missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    wrong = [f"{len(missing)} migrations are missing: run manage.py migrate as the owner"] if missing else []
    return Finding.of("database", wrong, "answers, and every migration is applied")


def _beats() -> Finding:
    now = clock.now()
    beaten = dict(QueueBeat.objects.values_list("queue", "beaten_at"))
    wrong = []
    for name in [*settings.EXEC_QUEUES, BEAT_NAME]:
        at = beaten.get(name)
        if at is None:
            wrong.append(f"{name} has never beaten: start it")
        elif at < now - OLD_BEAT:
            wrong.append(f"{name} last beat {(now - at).total_seconds():.0f} s ago")
    return Finding.of("queues and ticker", wrong, "every queue and the ticker beat")


def _streams() -> Finding:
    return Finding.of("streams", troubles(), "connected, or not in use")


def _open_accounts() -> list[Account]:
    return list(Account.objects.filter(books_opened_at__isnull=False).select_related("freshness").order_by("name"))


def _reconciliation() -> Finding:
    now = clock.now()
    wrong = []
    for account in _open_accounts():
        row = getattr(account, "freshness", None)
        seen = Reconciled(row.orders_at, row.trades_at, row.balances_at, row.blocked_by) if row else Reconciled()
        if stale := seen.stale_parts(now):
            wrong.append(f"{account.name} was not compared with the exchange in time ({', '.join(stale)})")
        if seen.blocked_by:
            wrong.append(f"{account.name} has an open break: {seen.blocked_by}")
    return Finding.of("reconciliation", wrong, "recent for every account with open books")


def _clocks() -> Finding:
    now = clock.now()
    wrong = []
    for row in HostClock.objects.order_by("host"):
        if row.sampled_at < now - MAX_AGE:
            wrong.append(f"{row.host} was last asked for its time at {row.sampled_at:%FT%TZ}")
        elif abs(row.offset_ms) > MAX_SKEW_MS + row.round_trip_ms // 2:
            wrong.append(f"{row.host} is {row.offset_ms} ms off this machine's clock; at most {MAX_SKEW_MS} ms")
    return Finding.of("clocks", wrong, "within bounds of every exchange host")


def _unknown_orders() -> Finding:
    now = clock.now()
    rows = list(
        Order.objects.filter(status__in=["submit_unknown", "closed_unverified"])
        .order_by("id")
        .values_list("status", "updated_at")[:100]
    )
    old = [status for status, at in rows if status == "closed_unverified" or at < now - UNKNOWN_TOO_LONG]
    wrong = [f"{len(old)} orders have waited long for their outcome: look at them one by one"] if old else []
    return Finding.of("unknown orders", wrong, f"{len(rows)} being looked for" if rows else "none")


def _budget() -> Finding:
    now = clock.now()
    wrong = [sentence_of(row) for row in HostPause.objects.filter(until__gt=now).order_by("-banned", "host")]
    return Finding.of("rate budget", wrong, "no host is paused or banned")


def _emergency_kit() -> Finding:
    """Whether the kit of the settings is there, closed to others, and younger than the last change of a key."""
    if not settings.EXEC_EMERGENCY_KIT:
        return Finding.of("emergency kit", [], "none is configured")
    path = Path(settings.EXEC_EMERGENCY_KIT)
    try:
        mode, age = path.stat().st_mode & 0o777, age_of_kit(path)
    except OSError as error:
        return Finding.of("emergency kit", [f"cannot be looked at ({error.strerror}): run export_emergency_kit"], "")
    wrong = [] if mode & 0o077 == 0 else [f"is open to others (mode {mode:o}): chmod 600 it"]
    changes = Event.objects.filter(kind__in=["account.created", "account.credentials_replaced"]).order_by("-id")
    last = changes.values_list("at", flat=True).first()
    if last is not None and clock.now() - age < last - KIT_WRITTEN_WITHIN:
        wrong.append(f"is older than the last change of an account ({last:%FT%TZ}): run export_emergency_kit")
    return Finding.of("emergency kit", wrong, f"written {age.total_seconds() / 3600:.1f} h ago, with every key")


def _currency() -> Finding:
    other = other_currencies()
    wrong = [f"facts are valued in {', '.join(other)}: set EXEC_REPORTING_CURRENCY back to it"] if other else []
    return Finding.of("reporting currency", wrong, f"{settings.EXEC_REPORTING_CURRENCY} everywhere")


CHECKS: tuple[Callable[[], Finding], ...] = (
    *(_migrations, _beats, _streams, _reconciliation),
    *(_clocks, _unknown_orders, _budget, _emergency_kit, _currency),
)


def findings() -> list[Finding]:
    """Every check in turn; without a database there is one finding, which says so."""
    try:
        return [check() for check in CHECKS]
    except (DatabaseError, InterfaceError) as error:
        return [Finding("database", False, f"does not answer: {type(error).__name__}")]


def _is_of_the_desk(request: HttpRequest) -> bool:
    """Whether this machine asks, or somebody who is signed in to the admin."""
    if request.META.get("REMOTE_ADDR") in LOOPBACK and "X-Forwarded-For" not in request.headers:
        return True
    return bool(request.user.is_active and request.user.is_staff)


def _reading_key(request: HttpRequest) -> ApiKey | None:
    """The key that was sent, if it may read."""
    scheme, _, text = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        return None
    key = authenticate(text.strip(), address=client_address(request))
    return key if any(Right.VIEW in OF_SCOPE[scope] for scope in key.scopes) else None


def _may_read_words(request: HttpRequest) -> bool:
    """Whether somebody of the desk asks: from this machine, signed in to the admin, or with a key that may read."""
    try:
        return _is_of_the_desk(request) or _reading_key(request) is not None
    except (InvalidApiKey, Throttled, DatabaseError, InterfaceError):
        return False


def may_read_everything(request: HttpRequest) -> bool:
    """The same, but of keys only those that are bound to no account and no strategy."""
    try:
        if _is_of_the_desk(request):
            return True
        key = _reading_key(request)
    except (InvalidApiKey, Throttled, DatabaseError, InterfaceError):
        return False
    return key is not None and key.accounts is None and key.strategies is None


@never_cache
@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """200 while this process can answer."""
    return JsonResponse({"status": "ok"})


@never_cache
@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """200 when every check holds, else 503; each with its words for those who may read them."""
    found = findings()
    ready = all(finding.ok for finding in found)
    in_words = _may_read_words(request)
    return JsonResponse(
        {
            "status": "ready" if ready else "not ready",
            "checks": [{"name": one.name, "ok": one.ok, **({"says": one.says} if in_words else {})} for one in found],
        },
        status=200 if ready else 503,
    )
