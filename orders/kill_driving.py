"""Carrying a kill on from where it is called: its cancels and sweeps in this process, beside or without the workers.

Nothing here is a way of its own: commands are claimed as by any worker, so that nothing goes out twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from django.db.models import Q

from execution_project.common import clock
from orders.kill_sweep import orders_of, sweep_account
from orders.killing import begin_sweeps, judge
from orders.lifecycle import CommandStatus
from orders.models import Command, CommandKind
from orders.sending import send_command
from risk.models import KillEpisode, KillSweep, KillVerdict

LOOK_AGAIN_S = 0.3


def carry_on(episode: KillEpisode, *, within_s: float, say: Callable[[KillEpisode], None]) -> KillEpisode:
    """Send what is queued to end the orders of a kill, sweep its accounts and judge, until it is verified or
    ``within_s`` seconds have passed. ``say`` hears of every judgement. Returns the episode as it stands."""
    stop_at = time.monotonic() + within_s
    while True:
        begin_sweeps(episode)
        if within_s > 0:
            _send_cancels(episode)
            for sweep in KillSweep.objects.filter(episode=episode, verified_at__isnull=True):
                sweep_account(sweep.id)
        episode = judge(episode)
        say(episode)
        if episode.verdict == KillVerdict.VERIFIED or time.monotonic() >= stop_at:
            return episode
        time.sleep(LOOK_AGAIN_S)


def _send_cancels(episode: KillEpisode) -> None:
    queued = Command.objects.filter(
        Q(not_before__isnull=True) | Q(not_before__lte=clock.now()),
        kind=CommandKind.CANCEL,
        status=CommandStatus.QUEUED,
        order__in=orders_of(episode),
    )
    for command_id in list(queued.order_by("rung_at").values_list("id", flat=True)):
        send_command(command_id)
