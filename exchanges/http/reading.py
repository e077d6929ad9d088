"""How every adapter reads: hooks around each HTTP call, and an answer that is either believed or raises."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from exchanges.http.calls import Answer
from exchanges.http.decoding import Unparsable, decode
from exchanges.reports import Evidence, Outcome, OutcomeKind, ReadFailed, ServerTime

T = TypeVar("T")
C = TypeVar("C")

BeforeCall = Callable[[str], None]
AfterCall = Callable[[str, Evidence], None]


def unbelievable(evidence: Evidence, error: Unparsable) -> Outcome:
    """A success by its status whose content proves nothing."""
    return Outcome(OutcomeKind.UNKNOWN, evidence, message=f"{error.reason}: {error}", reason=error.reason)


# Failures that another try may mend. A limit, a key, the clock or words that cannot be read stay what they are.
PASSING = frozenset(
    {"connect_failed", "connect_timeout", "connection_lost", "server_error", "server_busy", "backend_timeout"}
)


@dataclass(frozen=True, slots=True)
class Patience:
    """How a read is asked again: at most ``tries`` calls, none begun ``deadline_s`` after the first one.

    Pauses double from ``pause_s`` on and are drawn between half and the whole, so that many readers do not come back
    together. The deadline keeps every try within the receive window of the first stamp.
    """

    tries: int = 3
    pause_s: float = 0.1
    deadline_s: float = 2.0

    def pause(self, made: int, passed_s: float, outcome: Outcome) -> float | None:
        """Seconds to wait before the next call after ``made`` calls and ``passed_s``; None to give up."""
        if outcome.reason not in PASSING or made >= self.tries:
            return None
        pause = self.pause_s * 2 ** (made - 1) * random.uniform(0.5, 1)  # noqa: S311  not a secret
        return None if passed_s + pause > self.deadline_s else pause


@dataclass(frozen=True, slots=True)
class Reads(Generic[C]):
    """Makes reads of one adapter; ``C`` is its kind of call. Never for writes: a read may be asked again.

    ``failed`` gives the outcome of an answer that is no success, or None. ``before_call(name)`` runs before each call;
    what it raises stops the read. ``after_call(name, evidence)`` runs after each. Without ``patience`` nothing is asked
    twice.
    """

    evidence: Callable[[Answer], Evidence]
    failed: Callable[[C, Answer, Evidence], Outcome | None]
    before_call: BeforeCall | None = None
    after_call: AfterCall | None = None
    patience: Patience | None = None

    def run(self, call: C, name: str, fetch: Callable[[], Answer], parse: Callable[[Any], T]) -> T:
        """One read, parsed. Raises ``ReadFailed`` for everything that cannot be believed."""
        if self.patience is None:
            return self._once(call, name, fetch, parse)
        began, made = time.monotonic(), 0
        while True:
            made += 1
            try:
                return self._once(call, name, fetch, parse)
            except ReadFailed as failed:
                pause = self.patience.pause(made, time.monotonic() - began, failed.outcome)
                if pause is None:
                    raise
            time.sleep(pause)

    def _once(self, call: C, name: str, fetch: Callable[[], Answer], parse: Callable[[Any], T]) -> T:
        if self.before_call is not None:
            self.before_call(name)
        answer = fetch()
        evidence = self.evidence(answer)
        if self.after_call is not None:
            self.after_call(name, evidence)
        outcome = self.failed(call, answer, evidence)
        if outcome is None:
            try:
                return parse(decode(answer.content))
            except Unparsable as error:
                outcome = unbelievable(evidence, error)
        raise ReadFailed(outcome)


class Stopwatch:
    """Times one call for a clock sample: the exchange's time is taken to be that of the middle of the round trip."""

    def __init__(self) -> None:
        self._wall = self._began = self._ended = 0.0

    def timed(self, fetch: Callable[[], Answer]) -> Answer:
        """``fetch()``, timed."""
        self._wall, self._began = time.time(), time.monotonic()
        answer = fetch()
        self._ended = time.monotonic()
        return answer

    def sample(self, server_ms: int) -> ServerTime:
        """The sample of the call that was timed."""
        round_trip = self._ended - self._began
        offset_ms = server_ms - (self._wall + round_trip / 2) * 1000
        return ServerTime(server_ms, round(offset_ms), round(round_trip * 1000))
