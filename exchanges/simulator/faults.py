"""Faults on order: which calls go wrong, how, and how often. Protocol faces ask, this module only decides."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Options = dict[str, Any]

KINDS: dict[str, Options] = {
    "drop_after": {"reset": False},
    "drop_before": {"reset": False},
    "delay": {"ms": 1000},
    "delay_answer": {"ms": 1000},
    "late_execution": {"ms": 1000, "answer": "504"},
    "status": {"status": 503, "code": -1008, "msg": "", "headers": {}, "html": None, "execute": False},
    "rate_limit": {"code": -1003, "retry_after": 5},
    "ban": {"retry_after": 120},
    "not_found_for": {"ms": 5000},
    "lagging_trades": {"ms": 5000},
    "clock_skew": {"ms": 0},
    "reject": {"code": -2010, "msg": "Account has insufficient balance for requested action."},
    "garbage": {"body": "<html>it works</html>", "status": 200, "execute": True},
    "fill_on_cancel": {"quantity": None},
    "hang": {"ms": 0, "execute": True},
}
"""Kinds of faults with their parameters and defaults. BTCTurk words its errors itself where the code is negative."""

BTCTURK_CALL = re.compile(r"[A-Z]+ /(api/)?v[12]/")

STREAM_KINDS: dict[str, Options] = {
    "stream_disconnect": {"deliver": False, "reset": False},
    "stream_silence": {"pings": True},
    "stream_drop": {},
    "stream_duplicate": {},
    "stream_reorder": {},
    "stream_delay": {"ms": 1000},
}
"""Kinds that events of streams suffer; `call` names the event, of market streams the channel."""

KINDS.update(STREAM_KINDS)

STANDING = frozenset({"not_found_for", "lagging_trades", "clock_skew", "stream_silence"})
"""Kinds that hold until they are deleted (or `times` runs out) and do not keep other faults from the same call."""

MATCHES = ("exchange", "account", "symbol", "client_order_id")


class BadFault(ValueError):
    """A fault description that makes no sense."""


@dataclass(slots=True)
class Fault:
    """One ordered fault. `times` None means until deleted; the first `skip` matching calls pass unharmed."""

    id: int
    kind: str
    call: str
    times: int | None
    skip: int
    match: dict[str, str]
    options: Options
    hits: int = 0

    def fits(self, call: str, facts: Mapping[str, str | None]) -> bool:
        """Whether the fault is meant for a call with these facts (exchange, account, symbol, client_order_id)."""
        if self.times is not None and self.hits >= self.times:
            return False
        if self.call not in ("*", call):
            return False
        return all(facts.get(name) == value for name, value in self.match.items())

    def describe(self) -> Options:
        """The fault as the control API shows it."""
        return {
            "id": self.id,
            "call": self.call,
            "kind": self.kind,
            "times": self.times,
            "skip": self.skip,
            "match": self.match,
            "hits": self.hits,
            **self.options,
        }


@dataclass(slots=True)
class Faults:
    """All faults in force, oldest first."""

    ordered: list[Fault] = field(default_factory=list)
    _ids: int = 0

    def add(self, description: Options) -> Fault:
        """Put a fault in force. Raises `BadFault` on an unknown kind or parameter."""
        rest = dict(description)
        kind = rest.pop("kind", None)
        if kind not in KINDS:
            raise BadFault(f"kind must be one of {', '.join(sorted(KINDS))}")
        call = rest.pop("call", "*")
        times = rest.pop("times", None if kind in STANDING else 1)
        skip = rest.pop("skip", 0)
        match = rest.pop("match", None) or {}
        if not isinstance(call, str) or not isinstance(skip, int) or not (times is None or isinstance(times, int)):
            raise BadFault("call is text, times an integer or null, skip an integer")
        if kind == "hang" and not BTCTURK_CALL.match(call):
            raise BadFault("hang needs a call of BTCTurk's, such as POST /api/v1/order")
        if not isinstance(match, dict) or set(match) - set(MATCHES):
            raise BadFault(f"match may name {', '.join(MATCHES)}")
        if unknown := set(rest) - set(KINDS[kind]):
            raise BadFault(f"{kind} has no parameter {', '.join(sorted(unknown))}")
        for name, value in rest.items():
            default = KINDS[kind][name]
            if name == "code" and isinstance(value, str):
                continue
            fits = value is None or isinstance(value, str) if default is None else type(value) is type(default)
            if not fits:
                raise BadFault(f"{name} of {kind} has the wrong type")
        self._ids += 1
        fault = Fault(self._ids, kind, call, times, skip, dict(match), {**KINDS[kind], **rest})
        self.ordered.append(fault)
        return fault

    def clear(self) -> None:
        """Lift all faults."""
        self.ordered.clear()

    def take(self, call: str, facts: Mapping[str, str | None]) -> Fault | None:
        """The fault this call suffers, counted as used; None for a healthy call."""
        for fault in self.ordered:
            if fault.kind not in STANDING and fault.kind not in STREAM_KINDS and self._hits(fault, call, facts):
                return fault
        return None

    def take_event(self, event: str, facts: Mapping[str, str | None]) -> Fault | None:
        """The fault that one event of a private stream suffers, counted as used; None for a healthy one."""
        for fault in self.ordered:
            if fault.kind in STREAM_KINDS and self._hits(fault, event, facts):
                return fault
        return None

    def take_market(self, channel: str, facts: Mapping[str, str | None]) -> Fault | None:
        """The same for a public channel, which suffers only faults that name it: `*` means private events."""
        for fault in self.ordered:
            if fault.kind in STREAM_KINDS and fault.call == channel and self._hits(fault, channel, facts):
                return fault
        return None

    @staticmethod
    def _hits(fault: Fault, call: str, facts: Mapping[str, str | None]) -> bool:
        if not fault.fits(call, facts):
            return False
        if fault.skip:
            fault.skip -= 1
            return False
        fault.hits += 1
        return True

    def lag(self, kind: str, call: str, facts: Mapping[str, str | None]) -> int:
        """The lag in ms a read suffers from standing faults of `kind`; zero when healthy."""
        lag = 0
        for fault in self.ordered:
            if fault.kind == kind and fault.fits(call, facts):
                lag = max(lag, int(fault.options["ms"]))
        return lag

    def skew(self) -> int:
        """The clock shift in force, in ms."""
        return sum(int(fault.options["ms"]) for fault in self.ordered if fault.kind == "clock_skew")
