"""The exchange's clock as we know it: sampled, stored per host, and gated.

A stamp is our time plus the stored offset (docs/binance.md §1). Without a young sample, or with one that says that the
machine's clock is off by more than half a second, nothing is claimed.
"""

from __future__ import annotations

from datetime import timedelta

from exchanges.adapters import ExchangeAdapter
from exchanges.connections import adapter_for, host_of
from exchanges.models import Account, HostClock
from execution_project.common import clock

MAX_AGE = timedelta(seconds=120)
MAX_SKEW_MS = 500


class ClockNotFit(Exception):
    """No young sample, or a skew beyond 500 ms: nothing may be stamped."""


def sample(account: Account, adapter: ExchangeAdapter) -> HostClock:
    """Ask the exchange for its time and store the offset; raises ``ReadFailed``."""
    answer = adapter.server_time()
    row, _ = HostClock.objects.update_or_create(
        host=host_of(account),
        defaults={
            "offset_ms": answer.offset_ms,
            "round_trip_ms": answer.round_trip_ms,
            "sampled_at": clock.now(),
        },
    )
    return row


def _known(account: Account) -> HostClock:
    row = HostClock.objects.filter(host=host_of(account)).first()
    if row is None or row.sampled_at < clock.now() - MAX_AGE:
        row = sample(account, adapter_for(account))
    return row


def exchange_now_ms(account: Account) -> int:
    """Exchange time in ms for stamps of reads; samples when the last sample is old. Raises ``ReadFailed``."""
    return clock.now_ms() + _known(account).offset_ms


def gated_offset_ms(account: Account, *, however_old: bool = False) -> int:
    """The offset for stamping a write; raises ``ClockNotFit`` beyond 500 ms, ``ReadFailed`` without an answer.

    ``however_old``: the last sample counts whatever its age. A cancel waits for no read: what the exchange refuses for
    its stamp changes nothing, and brings a new sample.
    """
    row = (HostClock.objects.filter(host=host_of(account)).first() if however_old else None) or _known(account)
    if abs(row.offset_ms) > MAX_SKEW_MS + row.round_trip_ms // 2:
        # A jump may have been mended since: believe only a new sample.
        row = sample(account, adapter_for(account))
    if abs(row.offset_ms) > MAX_SKEW_MS + row.round_trip_ms // 2:
        raise ClockNotFit(f"{row.host} is {row.offset_ms} ms off this machine's clock; at most {MAX_SKEW_MS} ms.")
    return row.offset_ms
