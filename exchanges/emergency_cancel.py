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

from exchanges.absence_bounds import LowerBounds, bounds_of
from exchanges.adapters import CancelInstruction, ExchangeAdapter
from exchanges.binance.adapter import BinanceAdapter
from exchanges.btcturk.adapter import BtcturkAdapter
from exchanges.connections import WrongHost, refuse_wrong_host
from exchanges.emergency_kit import KitAccount
from exchanges.http.reading import Patience
from exchanges.models import Exchange
from exchanges.reports import OrderReport, OutcomeKind, ReadFailed
from execution_project.common import clock

RECV_WINDOW_MS = 5000
SEND_WITHIN_S = 5.0
"""Nothing is stamped before: a cancel that goes out late cancels all the same."""
BETWEEN_EMPTY = timedelta(seconds=2)
LOOK_AGAIN_S = 0.5
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


class AccountOfKit:
    """One account's adapter with a clock and stamps of its own. Belongs to the thread that made it."""

    def __init__(self, entry: KitAccount) -> None:
        """Raises ``WrongHost`` before any socket is opened."""
        self.entry = entry
        self.account = entry.as_account()
        refuse_wrong_host(self.account)
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
        """Ask for one order's end; what the exchange said when it was no plain yes."""
        instruction = CancelInstruction(report.symbol, report.client_order_id, report.exchange_order_id)
        stamp_ms = self._next_stamp_ms(self.now_ms())
        prepared = self.adapter.prepare_cancel(instruction, stamp_ms, RECV_WINDOW_MS)
        outcome = self.adapter.send(prepared, time.monotonic() + SEND_WITHIN_S)
        if outcome.kind is OutcomeKind.THROTTLED:
            time.sleep(min((outcome.throttled_for_ms or 1000) / 1000, 5.0))
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
    with ThreadPoolExecutor(len(accounts)) as pool:
        return list(pool.map(lambda entry: _one(entry, within_s, say), accounts))


def _one(entry: KitAccount, within_s: float, say: Say) -> Canceled:
    result = Canceled(entry.name, entry.exchange)
    try:
        desk = AccountOfKit(entry)
    except (WrongHost, ValueError) as error:
        result.detail = str(error)
        return result
    try:
        _until_verified(desk, result, time.monotonic() + within_s, say)
    except (LowerBounds, ValueError) as error:
        result.detail = str(error)
    finally:
        desk.close()
    return result


def _until_verified(desk: AccountOfKit, result: Canceled, stop_at: float, say: Say) -> None:
    bounds = bounds_of(desk.account)
    gap_s = min(BETWEEN_EMPTY, bounds.gap).total_seconds()
    known: set[str] = set()
    counts_from_ms: int | None = None
    empty_since: float | None = None
    while True:
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
                empty_since = None
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
            empty_since = None
            result.detail = f"no believable answer: {error}"[:500]
            say(f"{result.account}: {result.detail}")
        if time.monotonic() >= stop_at:
            return
        time.sleep(min(LOOK_AGAIN_S, gap_s))
