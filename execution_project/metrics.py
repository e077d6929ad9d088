"""``/metrics``: what a monitoring system draws and wakes people by, in Prometheus' text format.

Every figure is read from the database when it is asked for, so that all processes tell the same, and none is lost when
one dies. Labels name accounts and limits, never orders.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

from django.conf import settings
from django.db import DatabaseError, InterfaceError
from django.db.models import Count, Min
from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from django_q.models import OrmQ
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry

from exchanges.models import AccountFreshness, HostPause, Mode
from execution_project.common import clock
from execution_project.common.models import QueueBeat
from execution_project.health import may_read_everything
from orders.lifecycle import CommandStatus, OrderStatus
from orders.models import Break, BreakStatus, Command, Order
from risk.models import Alert, AlertSeverity, KillEpisode, TradingState
from risk.usage import usage_of

OVER = (OrderStatus.DENIED, OrderStatus.REJECTED, OrderStatus.SETTLED)
PARTS = ("orders_at", "trades_at", "balances_at")
TEXT = "text/plain; charset=utf-8"


def _gauge(name: str, about: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"exec_{name}", about, labels=labels)


def _seconds_since(at: datetime) -> float:
    return max(0.0, (clock.now() - at).total_seconds())


def _orders() -> Iterator[Metric]:
    count = _gauge("orders", "Orders that are not over.", "mode", "exchange", "status")
    oldest = _gauge("order_age_seconds", "Time since the oldest of them changed.", "mode", "exchange", "status")
    by = ("account__mode", "account__exchange", "status")
    rows = Order.objects.exclude(status__in=OVER).values_list(*by).annotate(Count("id"), Min("updated_at")).order_by()
    for mode, exchange, status, number, at in rows:
        count.add_metric([mode, exchange, status], number)
        oldest.add_metric([mode, exchange, status], _seconds_since(at))
    yield from (count, oldest)


def _commands() -> Iterator[Metric]:
    count = _gauge("commands", "Commands that are not carried out yet.", "exchange", "kind", "status")
    oldest = _gauge("command_age_seconds", "Age of the oldest of them.", "exchange", "kind", "status")
    live = (CommandStatus.QUEUED, CommandStatus.CLAIMED, CommandStatus.UNKNOWN)
    by = ("order__account__exchange", "kind", "status")
    rows = Command.objects.filter(status__in=live).values_list(*by).annotate(Count("id"), Min("created_at")).order_by()
    for exchange, kind, status, number, at in rows:
        count.add_metric([exchange, kind, status], number)
        oldest.add_metric([exchange, kind, status], _seconds_since(at))
    yield from (count, oldest)


def _queues() -> Iterator[Metric]:
    tasks = _gauge("queue_tasks", "Tasks that wait or run, by queue.", "queue")
    beat = _gauge("beat_age_seconds", "Time since a queue's cluster or the ticker last beat.", "name")
    waiting = dict(OrmQ.objects.values_list("key").annotate(Count("id")).order_by())
    for name, at in QueueBeat.objects.values_list("queue", "beaten_at"):
        if at is not None:
            beat.add_metric([name], _seconds_since(at))
    for name in settings.EXEC_QUEUES:
        waiting.setdefault(name, 0)
    for name, number in waiting.items():
        tasks.add_metric([name], number)
    yield from (tasks, beat)


def _books() -> Iterator[Metric]:
    breaks = _gauge("breaks", "Differences from the exchange without an end.", "account", "kind", "severity")
    by = ("account__name", "kind", "severity")
    unresolved = Break.objects.exclude(status=BreakStatus.RESOLVED)
    for account, kind, severity, number in unresolved.values_list(*by).annotate(Count("id")).order_by():
        breaks.add_metric([account, kind, severity], number)
    age = _gauge("comparison_age_seconds", "Time since a part was compared with the exchange.", "account", "part")
    for account, *times in AccountFreshness.objects.values_list("account__name", *PARTS):
        for part, at in zip(PARTS, times, strict=True):
            if at is not None:
                age.add_metric([account, part.removesuffix("_at")], _seconds_since(at))
    yield from (breaks, age)


def _safety() -> Iterator[Metric]:
    held = _gauge("trading_held", "Scopes that are not ACTIVE.", "scope_kind", "state", "latched")
    rows = TradingState.objects.exclude(state="ACTIVE").values_list("scope_kind", "state", "latched")
    for kind, state, latched, number in rows.annotate(Count("id")).order_by():
        held.add_metric([kind, state, "yes" if latched else "no"], number)
    kills = _gauge("kills", "Kills that have not ended, by what is proven.", "verdict")
    for verdict, number in (
        KillEpisode.objects.filter(ended_at=None).values_list("verdict").annotate(Count("id")).order_by()
    ):
        kills.add_metric([verdict], number)
    alerts = _gauge("alerts", "Alerts that nobody has acknowledged.", "kind", "severity")
    asking = Alert.objects.filter(acknowledged_at=None).exclude(severity=AlertSeverity.INFO)
    for kind, severity, number in asking.values_list("kind", "severity").annotate(Count("id")).order_by():
        alerts.add_metric([kind, severity], number)
    pauses = _gauge("host_paused_seconds", "For how long a host is still left alone.", "host", "banned")
    for host, banned, until in HostPause.objects.filter(until__gt=clock.now()).values_list("host", "banned", "until"):
        pauses.add_metric([host, "yes" if banned else "no"], (until - clock.now()).total_seconds())
    yield from (held, kills, alerts, pauses)


def _limits() -> Iterator[Metric]:
    used = _gauge("limit_used_ratio", "Used part of a limit; 1 is all of it.", "mode", "limit", "scope")
    for mode in Mode.values:
        for usage in usage_of(mode):
            if usage.share is not None:
                row = usage.limit
                scope = f"{row.scope_kind}:{row.scope_key}" if row.scope_key else row.scope_kind
                used.add_metric([mode, row.control, scope], float(usage.share))
    yield used


FIGURES: tuple[Callable[[], Iterable[Metric]], ...] = (_orders, _commands, _queues, _books, _safety, _limits)


class _Engine(Collector):
    def collect(self) -> Iterator[Metric]:
        for figures in FIGURES:
            yield from figures()


@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """All figures for this machine, for who is signed in to the admin, and for a key that may read and is bound to no
    account or strategy; 403 else, 503 without a database."""
    if not may_read_everything(request):
        return HttpResponse("Send a key that may read and is not bound: Authorization: Bearer KEY.\n", TEXT, 403)
    registry = CollectorRegistry(auto_describe=False)
    try:
        registry.register(_Engine())
        text = generate_latest(registry)
    except (DatabaseError, InterfaceError) as error:
        return HttpResponse(f"The database does not answer: {type(error).__name__}.\n", TEXT, 503)
    return HttpResponse(text, CONTENT_TYPE_PLAIN_0_0_4)
