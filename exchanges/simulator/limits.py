"""Rate limits in fixed, clock-aligned windows, with escalation from 429 to 418 (docs/binance.md §6)."""

from __future__ import annotations

from dataclasses import dataclass

MINUTE_MS = 60_000
RAW_WINDOW_MS = 5 * MINUTE_MS
TEN_SECONDS_MS = 10_000
DAY_MS = 86_400_000


@dataclass(slots=True)
class LimitSettings:
    """Limits per window, and how many refused calls in one minute turn 429 into a ban."""

    request_weight: int = 6_000
    raw_requests: int = 300_000
    orders_10s: int = 100
    orders_1d: int = 200_000
    ban_after: int = 50
    ban_seconds: int = 120


class Window:
    """A counter that starts again at every multiple of its length."""

    __slots__ = ("count", "length_ms", "start")

    def __init__(self, length_ms: int) -> None:
        self.length_ms = length_ms
        self.start = 0
        self.count = 0

    def at(self, now: int) -> int:
        """The count of the window that `now` falls into."""
        start = now - now % self.length_ms
        if start != self.start:
            self.start, self.count = start, 0
        return self.count

    def add(self, now: int, amount: int) -> None:
        """Count `amount` (may be negative, never below zero in sum)."""
        self.count = max(0, self.at(now) + amount)

    def seconds_left(self, now: int) -> int:
        """Whole seconds until the window ends, at least one."""
        return max(1, -(-(self.length_ms - now % self.length_ms) // 1000))


class RateLimits:
    """Weight and raw requests per IP (one IP here: loopback), unfilled orders per account."""

    def __init__(self, settings: LimitSettings | None = None) -> None:
        self.settings = settings or LimitSettings()
        self.reset()

    def reset(self) -> None:
        """Forget all counts and bans; keep the settings."""
        self.weight = Window(MINUTE_MS)
        self.raw = Window(RAW_WINDOW_MS)
        self._refused = Window(MINUTE_MS)
        self._orders: dict[str, tuple[Window, Window]] = {}
        self._bans = 0
        self.banned_until = 0
        """Epoch ms until which every call is answered 418."""

    def ban(self, now: int, seconds: int) -> None:
        """Ban the IP from now on."""
        self.banned_until = now + seconds * 1000

    def admit(self, now: int, weight: int) -> int | None:
        """Count one raw request; None when `weight` still fits, else seconds to wait.

        Callers that go on after refusals are banned, every time for twice as long.
        """
        self.raw.add(now, 1)
        over_raw = self.raw.count > self.settings.raw_requests
        if not over_raw and self.weight.at(now) + weight <= self.settings.request_weight:
            return None
        self._refused.add(now, 1)
        if self._refused.count > self.settings.ban_after:
            self.ban(now, self.settings.ban_seconds * 2**self._bans)
            self._bans += 1
        return (self.raw if over_raw else self.weight).seconds_left(now)

    def orders(self, account: str) -> tuple[Window, Window]:
        """The account's unfilled-order windows: ten seconds, one day."""
        windows = self._orders.get(account)
        if windows is None:
            windows = self._orders[account] = (Window(TEN_SECONDS_MS), Window(DAY_MS))
        return windows

    def orders_over(self, account: str, now: int) -> tuple[int, str, int] | None:
        """None when one more order is allowed, else the limit, its interval in words, and seconds to wait."""
        seconds, day = self.orders(account)
        if day.at(now) >= self.settings.orders_1d:
            return self.settings.orders_1d, "1 DAY", day.seconds_left(now)
        if seconds.at(now) >= self.settings.orders_10s:
            return self.settings.orders_10s, "10 SECOND", seconds.seconds_left(now)
        return None

    def count_order(self, account: str, now: int, amount: int) -> None:
        """Add to (or on a first fill take from) the account's unfilled orders."""
        for window in self.orders(account):
            window.add(now, amount)
