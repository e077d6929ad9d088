"""Control 23, volatility pause: a price that moves too far within a minute pauses its symbol, once; then it latches.

The first pause of an hour ends by itself. A second move within the hour latches: for live the symbol; for paper and
sandbox the accounts that hold it or work in it, for a symbol's latch would stop live orders.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal, localcontext

from exchanges.models import Account, Mode
from execution_project.common import clock
from execution_project.common.actors import Actor, engine
from execution_project.common.money import CONTEXT, plain, round_up
from positions.models import Position
from risk.models import Limit, Pause, Reservation
from risk.monitors.acting import Finding, Scope, act_on, against_lifting, latching, limits_of, reached
from risk.monitors.mid_windows import Bucket, Mids, look_again, stored_mids
from risk.pausing import last_pauses, length_of, pause
from risk.tripping import must_hold_to_lift_trip

NUMBER = 23
LIMIT, LENGTH = "max_range_1m", "volatility_pause"
AGAIN_WITHIN = timedelta(hours=1)
UNSET_LENGTH = 300


def evaluate(buckets: Iterable[Bucket], limit: Decimal, since: datetime | None = None) -> tuple[Decimal, bool]:
    """``(highest − lowest) / lowest`` of the mids, and whether it is at least the limit; no mids are no range.

    ``since``: the end of the last pause; what moved until then has had its consequence. Counted are buckets that began
    since, so the first seconds after a pause may be left out.
    """
    counted = [bucket for bucket in buckets if since is None or bucket.start >= since]
    if not counted:
        return Decimal(0), False
    low, high = min(bucket.low for bucket in counted), max(bucket.high for bucket in counted)
    with localcontext(CONTEXT):
        observed = round_up((high - low) / low)
    return observed, reached(observed, limit)


def watch() -> int:
    """Pause or latch every symbol whose price moved too far; returns how many. The ticker calls it."""
    limits = limits_of(LIMIT, LENGTH)
    looked_at = [limit for limit in limits if limit.control == LIMIT]
    if not looked_at:
        return 0
    by, paused = engine("monitor", LIMIT), last_pauses(LIMIT)
    mids = {(row.mode, row.exchange, row.symbol): row for row in look_again(looked_at, clock.now())}
    done: set[tuple[str, str]] = set()

    def stop(finding: Finding) -> object:
        # The same symbol may break several limits, at several exchanges; one of them is enough.
        mode, symbol = finding.limit.mode, finding.scope[1]
        if (mode, symbol) in done:
            return None
        done.add((mode, symbol))
        last = paused.get((mode, "symbol", symbol))
        if last is not None and clock.now() - last.began_at < AGAIN_WITHIN:
            latched = _latch(finding, by)
            # Who holds nothing of it yet may not begin now; for live the symbol's latch says so.
            return latched if mode == Mode.LIVE else _pause(finding, limits, by) or latched
        return _pause(finding, limits, by)

    return act_on(look(looked_at, mids.values(), paused), of=(LIMIT,), by=by, block=stop)


def look(limits: list[Limit], mids: Iterable[Mids], paused: dict[tuple[str, str, str], Pause]) -> list[Finding]:
    """What each limit sees in each symbol of its scope, since the symbol's last pause."""
    findings = []
    for row in mids:
        last = paused.get((row.mode, "symbol", row.symbol))
        for limit in limits:
            if not _covers(limit, row):
                continue
            value = limit.value or Decimal(0)
            observed, broken = evaluate(row.buckets, value, None if last is None else last.until)
            reason = (
                f"{row.symbol} at {row.exchange} moved by {plain(round_up(observed, Decimal('0.000001')))} within"
                f" a minute, {plain(value)} is the limit"
            )
            evidence = {"exchange": row.exchange, "symbol": row.symbol}
            scope = ("symbol", row.symbol)
            findings.append(Finding(limit, scope, observed, broken, reason, evidence, about=row.exchange))
    return findings


def _covers(limit: Limit, row: Mids) -> bool:
    own = {"global": "", "exchange": row.exchange, "symbol": row.symbol}
    return limit.mode == row.mode and limit.scope_key == own.get(limit.scope_kind)


def _pause(finding: Finding, limits: list[Limit], by: Actor) -> Pause | None:
    mode, exchange = finding.limit.mode, finding.evidence["exchange"]
    length = length_of(limits, LENGTH, mode, finding.scope, ("exchange", exchange), unset=UNSET_LENGTH)
    return pause(
        *(mode, *finding.scope), control=LIMIT, length=length, reason=finding.reason, evidence=finding.seen, by=by
    )


def _latch(finding: Finding, by: Actor) -> object:
    """Latch what stands for the symbol in its mode; None where nothing does, or all of it is latched already."""
    latch, again = latching(by), f"{finding.reason}, again within an hour"
    scopes = _stood_for(finding)
    done = [latch(Finding(finding.limit, scope, finding.observed, True, again, finding.evidence)) for scope in scopes]
    return next((row for row in done if row is not None), None)


def _stood_for(finding: Finding) -> list[Scope]:
    mode, exchange, symbol = finding.limit.mode, finding.evidence["exchange"], finding.evidence["symbol"]
    if mode == Mode.LIVE:
        return [("symbol", symbol)]
    working = Reservation.objects.filter(mode=mode, exchange=exchange, symbol=symbol, live=True)
    holding = Position.objects.filter(
        account__mode=mode, account__exchange=exchange, instrument__symbol=symbol
    ).exclude(net_quantity=0)
    names = {*working.values_list("account_name", flat=True), *holding.values_list("account__name", flat=True)}
    return [("account", name) for name in sorted(names)]


@must_hold_to_lift_trip(LIMIT)
def _still_moving(kind: str, key: str) -> list[str]:
    """The ranges that are over their limits now: of the symbol in live, or at the account's exchange in its mode."""
    if kind == "symbol":
        mids = [row for row in stored_mids(Mode.LIVE, clock.now()) if row.symbol == key]
    else:
        account = Account.objects.filter(name=key).first()
        if account is None:
            return []
        mids = [row for row in stored_mids(account.mode, clock.now()) if row.exchange == account.exchange]
    return [f"{reason}." for reason in against_lifting(look(limits_of(LIMIT), mids, last_pauses(LIMIT)))]
