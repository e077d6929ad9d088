"""Carrying a kill on from where it is called: its cancels and sweeps in this process, beside or without the workers.

Nothing here is a way of its own: commands are claimed as by any worker, so that nothing goes out twice. Every account
has a thread of its own, so that one whose exchange hangs holds up no other.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from uuid import UUID

from django.db import connections
from django.db.models import F, Q, QuerySet

from exchanges.reports import ReadFailed
from execution_project.common import clock
from orders.kill_sweep import orders_of, sweep_account
from orders.killing import begin_sweeps, judge
from orders.lifecycle import CommandStatus, OrderStatus
from orders.looking import find_exchange_id, lacks_exchange_id, look_after
from orders.models import Attempt, Command, CommandKind, Order
from orders.sending import send_command
from risk.models import KillEpisode, KillSweep, KillVerdict

log = logging.getLogger(__name__)
LOOK_AGAIN_S = 0.3


def carry_on(episode: KillEpisode, *, within_s: float, say: Callable[[KillEpisode], None]) -> KillEpisode:
    """Send what is queued to end the orders of a kill, sweep its accounts and judge, until it is verified or
    ``within_s`` seconds have passed and every account has brought home what it had on the wire. ``say`` hears of every
    judgement. Returns the episode as it stands."""
    stop_at = time.monotonic() + within_s
    over = threading.Event()
    drivers: dict[UUID, threading.Thread] = {}
    try:
        while True:
            begin_sweeps(episode)
            if within_s > 0:
                _start_drivers(episode, drivers, over)
            episode = judge(episode)
            if episode.verdict == KillVerdict.VERIFIED or time.monotonic() >= stop_at:
                break
            say(episode)
            time.sleep(LOOK_AGAIN_S)
    finally:
        over.set()
        for driver in drivers.values():
            driver.join()
    episode = judge(episode)
    say(episode)
    return episode


def _start_drivers(episode: KillEpisode, drivers: dict[UUID, threading.Thread], over: threading.Event) -> None:
    """One for each account that is not verified and has none, or whose last one died."""
    for sweep in KillSweep.objects.filter(episode=episode, verified_at__isnull=True).select_related("account"):
        if sweep.id not in drivers or not drivers[sweep.id].is_alive():
            drivers[sweep.id] = threading.Thread(target=_drive, args=(episode, sweep, over))
            drivers[sweep.id].start()


def _drive(episode: KillEpisode, sweep: KillSweep, over: threading.Event) -> None:
    """One account's part, until it is verified or ``over``."""
    try:
        while not over.is_set():
            orders = orders_of(episode).filter(account=sweep.account)
            _send_cancels(orders, over)
            _look(orders, over)
            if over.is_set() or sweep_account(sweep.id):
                return
            over.wait(LOOK_AGAIN_S)
    except Exception:
        log.exception("the kill of %s is driven anew", sweep.account.name)
    finally:
        connections.close_all()


def _send_cancels(orders: QuerySet[Order], over: threading.Event) -> None:
    queued = Command.objects.filter(
        Q(not_before__isnull=True) | Q(not_before__lte=clock.now()),
        kind=CommandKind.CANCEL,
        status=CommandStatus.QUEUED,
        order__in=orders,
    )
    for command_id in list(queued.order_by("rung_at").values_list("id", flat=True)):
        if over.is_set():
            return
        send_command(command_id)


def _look(orders: QuerySet[Order], over: threading.Event) -> None:
    """The questions that cancels leave behind: orders whose id is missing, and answers that tell too little."""
    cancels = Command.objects.filter(kind=CommandKind.CANCEL, order__in=orders)
    for command in cancels.filter(status=CommandStatus.QUEUED).select_related("order__account"):
        if over.is_set():
            return
        if command.order.status != OrderStatus.SUBMIT_UNKNOWN and lacks_exchange_id(command):
            try:
                find_exchange_id(command.order_id)
            except ReadFailed as error:
                log.warning("order %s could not be looked for: %s", command.order_id, error)
    answered = Attempt.objects.filter(command__in=cancels, command__status=CommandStatus.CLAIMED)
    answered = answered.filter(fence=F("command__fence"), answered_at__isnull=False)
    for attempt_id in list(answered.values_list("id", flat=True)):
        if over.is_set():
            return
        look_after(attempt_id)
