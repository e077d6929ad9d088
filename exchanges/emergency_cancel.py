"""Canceling everything at the exchanges from an emergency kit alone: list, cancel, verify, over and over.

No database: no budget, no stamps in a sequence, no orders. What the exchange lists is what is canceled, whoever placed
it, and only its own empty lists prove the end.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta

from exchanges.absence_bounds import LEAST, AbsenceBounds, LowerBounds, bounds_of
from exchanges.adapters import CancelInstruction, ExchangeAdapter
from exchanges.binance.adapter import BinanceAdapter
from exchanges.btcturk.adapter import BtcturkAdapter
from exchanges.connections import WrongHost, host_of, refuse_wrong_host
from exchanges.emergency_kit import KitAccount
from exchanges.http.reading import Patience
from exchanges.models import Account, Exchange
from exchanges.reports import OrderReport, Outcome, OutcomeKind, ReadFailed
from execution_project.common import clock

RECV_WINDOW_MS = 5000
SEND_WITHIN_S = 5.0
"""Nothing is stamped before: a cancel that goes out late cancels all the same."""
BETWEEN_EMPTY = timedelta(seconds=2)
LOOK_AGAIN_S = 0.5
EMPTY_AGAIN_S = 2.5
"""Between lists while nothing works: one of all pairs weighs 80 of 6000 a minute (docs/binance.md §6)."""
THROTTLED_S = 1.0
"""Of an exchange that does not say for how long."""
# BTCTurk takes one cancel per 100 ms (docs/btcturk.md §2.1); Binance's limit is far beyond what one thread sends.
CANCEL_EVERY_S = {Exchange.BTCTURK.value: 0.11}

Say = Callable[[str], None]


@dataclass(slots=True)
class Canceled:
    """What came of one account. ``left``: what still worked when last listed; ``verified``: two empty lists prove the
    end, both asked for when nothing that was in flight at the beginning could be executed any more."""

    account: str
    exchange: str
    listed: int = 0
    left: list[str] = field(default_factory=list)
    verified: bool = False
    detail: str = ""


class Pauses:
    """Until when which host wants no request; shared by the accounts that are there."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        """``monotonic``: seconds."""
        self._monotonic = monotonic
        self._until: dict[str, float] = {}

    def note(self, host: str, outcome: Outcome) -> None:
        """Remember what a throttled call said; a longer pause is never shortened."""
        if outcome.kind is OutcomeKind.THROTTLED:
            for_s = THROTTLED_S if outcome.throttled_for_ms is None else outcome.throttled_for_ms / 1000
            self._until[host] = max(self._until.get(host, 0.0), self._monotonic() + for_s)

    def left_s(self, host: str) -> float:
        """Seconds until the host may be asked; 0: now."""
        return max(self._until.get(host, 0.0) - self._monotonic(), 0.0)


def bounds_or_least(account: Account, say: Say) -> AbsenceBounds:
    """The account's bounds; settings that are no bounds, or lower than is safe, keep no cancel from going out."""
    try:
        return bounds_of(account)
    except LowerBounds as error:
        say(f"{account.name}: {error} The least that is safe counts.")
        return LEAST[account.exchange]


class AccountOfKit:
    """One account's adapter with a clock and stamps of its own. Belongs to the thread that made it."""

    def __init__(self, entry: KitAccount, pauses: Pauses) -> None:
        """Raises ``WrongHost`` before any socket is opened."""
        self.entry = entry
        self.account = entry.as_account()
        refuse_wrong_host(self.account)
        self.pauses, self.host = pauses, host_of(self.account)
        self._last_stamp_ms = 0
        self._offset_ms: int | None = None
        self.adapter: ExchangeAdapter
        if entry.exchange == Exchange.BTCTURK:
            self.adapter = BtcturkAdapter(
                entry.credentials, entry.rest_url, stamp=self._next_stamp_ms, patience=Patience()
            )
        else:
            self.adapter = BinanceAdapter(entry.credentials, entry.rest_url, patience=Patience())

    def now_ms(self) -> int:
        """Exchange time. Raises ``ReadFailed``."""
        if self._offset_ms is None:
            self._offset_ms = self.adapter.server_time().offset_ms
        return clock.now_ms() + self._offset_ms

    def _next_stamp_ms(self, now_ms: int) -> int:
        self._last_stamp_ms = max(self._last_stamp_ms + 1, now_ms)
        return self._last_stamp_ms

    def working(self) -> tuple[OrderReport, ...]:
        """Every working order; pair by pair where the exchange refuses to list them all. Raises ``ReadFailed``."""
        try:
            return self.adapter.open_orders(None, now_ms=self.now_ms())
        except ReadFailed as error:
            if error.outcome.kind is not OutcomeKind.REFUSED:
                self._offset_ms = None  # perhaps the clock: asked again before the next try
                raise
        return tuple(r for symbol in self.entry.symbols for r in self.adapter.open_orders(symbol, now_ms=self.now_ms()))

    def cancel(self, report: OrderReport) -> str:
        """Ask for one order's end; what the exchange said when it was no plain yes. Nothing is sent in a pause."""
        if wait_s := self.pauses.left_s(self.host):
            return f"{name_of(report)}: not sent, {self.host} wants no request for {wait_s:.1f} s"
        instruction = CancelInstruction(report.symbol, report.client_order_id, report.exchange_order_id)
        stamp_ms = self._next_stamp_ms(self.now_ms())
        prepared = self.adapter.prepare_cancel(instruction, stamp_ms, RECV_WINDOW_MS)
        outcome = self.adapter.send(prepared, time.monotonic() + SEND_WITHIN_S)
        self.pauses.note(self.host, outcome)
        time.sleep(CANCEL_EVERY_S.get(self.entry.exchange, 0.0))
        if outcome.kind is OutcomeKind.ACCEPTED:
            return ""
        return f"{name_of(report)}: {outcome.kind.value} {outcome.code} {outcome.message}".strip()

    def end_all(self) -> tuple[int, list[str]]:
        """List and cancel once; how many worked, and what was said. Raises ``ReadFailed``."""
        shown = self.working()
        said = [self.cancel(report) for report in shown]
        return len(shown), [each for each in said if each]

    def close(self) -> None:
        """Drop the sockets."""
        self.adapter.close()


def name_of(report: OrderReport) -> str:
    """A listed order, by symbol and the exchange's id."""
    return f"{report.symbol} {report.exchange_order_id}"


def cancel_everything(accounts: tuple[KitAccount, ...], *, within_s: float, say: Say) -> list[Canceled]:
    """Cancel all orders of all accounts, side by side, until each is verified or ``within_s`` seconds have passed."""
    if not accounts:
        return []
    pauses = Pauses()
    with ThreadPoolExecutor(len(accounts)) as pool:
        return list(pool.map(lambda entry: _one(entry, within_s, say, pauses), accounts))


def _one(entry: KitAccount, within_s: float, say: Say, pauses: Pauses) -> Canceled:
    result = Canceled(entry.name, entry.exchange)
    try:
        desk = AccountOfKit(entry, pauses)
    except (WrongHost, ValueError) as error:
        result.detail = str(error)
        return result
    try:
        _until_verified(desk, result, time.monotonic() + within_s, say)
    except ValueError as error:
        result.detail = str(error)
    finally:
        desk.close()
    return result


def _until_verified(desk: AccountOfKit, result: Canceled, stop_at: float, say: Say) -> None:
    bounds = bounds_or_least(desk.account, say)
    gap_s = min(BETWEEN_EMPTY, bounds.gap).total_seconds()
    known: set[str] = set()
    counts_from_ms: int | None = None
    empty_since: float | None = None
    while True:
        time.sleep(max(min(desk.pauses.left_s(desk.host), stop_at - time.monotonic()), 0.0))
        again_s = EMPTY_AGAIN_S
        try:
            now_ms = desk.now_ms()
            if counts_from_ms is None:
                # What the engine sent a moment ago may still be executed.
                counts_from_ms = now_ms + RECV_WINDOW_MS + bounds.quiet_ms
            asked = time.monotonic()
            shown = desk.working()
            result.left = [name_of(report) for report in shown]
            known.update(result.left)
            result.listed, result.detail = len(known), ""
            if shown:
                say(f"{result.account}: {len(shown)} orders work; canceling")
                empty_since, again_s = None, LOOK_AGAIN_S
                result.detail = "; ".join(filter(None, [desk.cancel(report) for report in shown]))[:500]
                counts_from_ms = max(counts_from_ms, now_ms)
            elif now_ms < counts_from_ms:
                result.detail = f"empty; a request in flight may still be executed for {counts_from_ms - now_ms} ms"
            elif empty_since is None:
                empty_since = asked
            elif asked - empty_since >= gap_s:
                result.verified = True
                return
        except ReadFailed as error:
            desk.pauses.note(desk.host, error.outcome)
            empty_since = None
            result.detail = f"no believable answer: {error}"[:500]
            say(f"{result.account}: {result.detail}")
        if time.monotonic() >= stop_at:
            return
        time.sleep(min(again_s, gap_s))
