"""The one shape that every exchange adapter has, and how to get one for an account.

An adapter holds no database and no wall clock: stamps are handed in, answers come back as reports. One adapter belongs
to one thread (the HTTP clients underneath are not safe to share).
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple, Protocol

from exchanges.reports import (
    BalanceReport,
    InstrumentReport,
    OrderReport,
    Outcome,
    QuoteReport,
    ReplaceOutcome,
    ServerTime,
    TradeReport,
)


@dataclass(frozen=True, slots=True)
class Credentials:
    """Key and secret of one account; never printed."""

    key: str
    secret: str

    def __repr__(self) -> str:
        return f"Credentials(…{self.key[-4:]})"


@dataclass(frozen=True, slots=True)
class PlaceInstruction:
    """One order to place. Exactly one of ``quantity`` (base) and ``quote_quantity`` (quote asset, MARKET only)."""

    symbol: str
    side: str
    type: str
    client_order_id: str
    quantity: Decimal | None = None
    quote_quantity: Decimal | None = None
    price: Decimal | None = None
    time_in_force: str | None = None
    stop_price: Decimal | None = None


@dataclass(frozen=True, slots=True)
class CancelInstruction:
    """Cancel one order, by the exchange's id when it is known, else by our client order id."""

    symbol: str
    client_order_id: str
    exchange_order_id: str | None = None


@dataclass(frozen=True, slots=True)
class AmendInstruction:
    """Lower an open order's total quantity (base) to ``new_quantity``; it keeps its place and its client order id."""

    symbol: str
    client_order_id: str
    exchange_order_id: str | None
    new_quantity: Decimal


@dataclass(frozen=True, slots=True)
class ReplaceInstruction:
    """Cancel one order and, only if that worked and nothing of it was filled, place another one of the same symbol."""

    cancel: CancelInstruction
    place: PlaceInstruction


@dataclass(frozen=True, slots=True)
class PreparedRequest:
    """A request, ready to be signed and sent. ``body_hash``: SHA-256 of the payload without its signature."""

    method: str
    path: str
    parameters: tuple[tuple[str, str], ...]
    body_hash: str
    stamp_ms: int
    recv_window_ms: int


class CallWindow(NamedTuple):
    """At most ``limit`` calls within ``seconds`` from the first one on; each account counts for itself, or the address.

    The exchange opens such a window with the first call in it, not by the clock.
    """

    kind: str
    seconds: int
    limit: int
    per_account: bool = False


@dataclass(frozen=True, slots=True)
class Cost:
    """What a call takes from the rate budget: request weight of the host, order count of the account, or one call of
    each of its ``windows``."""

    weight: int
    orders: int = 0
    windows: tuple[CallWindow, ...] = ()


# Of whoever asks for public data alone: no key goes out with it.
NOBODY = Credentials("public", "none")


class ExchangeAdapter(Protocol):
    """Calls of one account at one exchange. Reads raise ``ReadFailed``; writes always return an ``Outcome``."""

    def prepare_place(self, instruction: PlaceInstruction, stamp_ms: int, recv_window_ms: int) -> PreparedRequest:
        """Build the request whose hash and stamp the claim stores (stamp: exchange time, UTC ms)."""
        ...

    def prepare_cancel(self, instruction: CancelInstruction, stamp_ms: int, recv_window_ms: int) -> PreparedRequest:
        """Build the cancel request."""
        ...

    def send(self, prepared: PreparedRequest, send_by: float) -> Outcome:
        """Put exactly that request on the wire once; NOT_SENT when ``time.monotonic()`` has passed ``send_by`` (s)."""
        ...

    def query_order(
        self,
        symbol: str,
        *,
        client_order_id: str,
        exchange_order_id: str | None,
        now_ms: int,
        since_ms: int | None = None,
    ) -> OrderReport | None:
        """The order as the exchange knows it, or None when it answers that there is none (evidence, not proof).

        ``since_ms``: when it can have been sent at the earliest (exchange time), for exchanges that must be searched.
        """
        ...

    def open_orders(self, symbol: str | None, *, now_ms: int) -> tuple[OrderReport, ...]:
        """Every working order of the account, also those of other programs."""
        ...

    def order_trades(self, symbol: str, exchange_order_id: str, *, now_ms: int) -> tuple[TradeReport, ...]:
        """All trades of one order."""
        ...

    def trades_from(self, symbol: str, trade_id: str | None, *, now_ms: int) -> tuple[TradeReport, ...]:
        """All trades of one symbol with id ≥ ``trade_id`` (None: the newest page), oldest first."""
        ...

    def balances(self, *, now_ms: int) -> tuple[BalanceReport, ...]:
        """All balances that are not zero."""
        ...

    def instruments(self, symbols: tuple[str, ...] | None = None) -> tuple[InstrumentReport, ...]:
        """Pairs with their filters; all when ``symbols`` is None."""
        ...

    def quotes(self, symbols: tuple[str, ...]) -> tuple[QuoteReport, ...]:
        """Best bid and ask of each symbol."""
        ...

    def server_time(self) -> ServerTime:
        """One clock sample, midpoint-corrected."""
        ...

    def warm(self) -> None:
        """Open the connection if there is none, so that a write does not spend its time to ``send_by`` on it."""
        ...

    def close(self) -> None:
        """Drop the sockets."""
        ...


class ReplacingAdapter(ExchangeAdapter, Protocol):
    """An adapter of an exchange that lowers an order in place, and cancels and places in one call."""

    def prepare_amend(self, instruction: AmendInstruction, stamp_ms: int, recv_window_ms: int) -> PreparedRequest:
        """Build the amend request; ``send`` sends it."""
        ...

    def prepare_replace(self, instruction: ReplaceInstruction, stamp_ms: int, recv_window_ms: int) -> PreparedRequest:
        """Build the request that cancels and places; ``send_replace`` sends it."""
        ...

    def send_replace(self, prepared: PreparedRequest, send_by: float) -> ReplaceOutcome:
        """Like ``send``, with the outcome of each half."""
        ...
