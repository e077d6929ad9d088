"""What one comparison works with and what it comes to."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from exchanges.adapters import ExchangeAdapter
from exchanges.host_clock import exchange_now_ms
from exchanges.models import Account
from execution_project.common.actors import Actor
from orders.breaks import Finding, no_longer_seen, open_or_touch
from orders.models import Break, BreakKind, BreakStatus


@dataclass(frozen=True, slots=True)
class Difference:
    """One row of what a comparison saw. ``became``: ingested, adopted, break, suspected, pending; seen in a dry run."""

    part: str
    what: str
    subject: str
    expected: str
    observed: str
    became: str

    def as_json(self) -> dict[str, str]:
        """The row as plain JSON."""
        return {name: getattr(self, name) for name in ("part", "what", "subject", "expected", "observed", "became")}


class NotReconciled(Exception):
    """A part was not compared to its end; the text says which and why."""


@dataclass(slots=True)
class Reconciliation:
    """What one run came to. ``failed``: parts without a believable answer and why; ``unfinished``: parts that ran out
    of time or that wait for the exchange to show more."""

    account: str
    parts: tuple[str, ...]
    dry_run: bool
    differences: list[Difference] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    unfinished: set[str] = field(default_factory=set)
    new_fills: int = 0

    @property
    def succeeded(self) -> bool:
        """Whether every part that was asked for was compared to its end."""
        return not self.failed and not self.unfinished

    def require(self) -> None:
        """Raise ``NotReconciled`` when a part had no believable answer."""
        if self.failed:
            raise NotReconciled("; ".join(f"{part}: {why}" for part, why in self.failed.items()))

    def as_json(self) -> dict[str, Any]:
        """The whole as plain JSON."""
        return {
            "account": self.account,
            "parts": list(self.parts),
            "dry_run": self.dry_run,
            "succeeded": self.succeeded,
            "failed": self.failed,
            "unfinished": sorted(self.unfinished),
            "new_fills": self.new_fills,
            "differences": [difference.as_json() for difference in self.differences],
        }


@dataclass(slots=True)
class Run:
    account: Account
    adapter: ExchangeAdapter
    by: Actor
    since: datetime | None
    dry_run: bool
    only_due: bool
    unless_read_since: datetime | None
    stop_at: float | None
    symbols: Collection[str] | None
    result: Reconciliation

    def now_ms(self) -> int:
        """Exchange time. Raises ``ReadFailed``."""
        return exchange_now_ms(self.account)

    def note(self, part: str, what: str, subject: str, expected: object, observed: object, became: str) -> None:
        """Add a row to the outcome."""
        became = "seen" if self.dry_run else became
        self.result.differences.append(Difference(part, what, subject, str(expected), str(observed), became))

    def found(self, part: str, finding: Finding) -> Break | None:
        """A difference that no fact explains: a break, or a suspicion; in a dry run only a row."""
        if self.dry_run:
            self.note(part, finding.kind, finding.subject, finding.expected, finding.observed, "seen")
            return None
        row = open_or_touch(self.account, finding, by=self.by)
        became = "suspected" if row.status == BreakStatus.SUSPECTED else "break"
        self.note(part, finding.kind, finding.subject, finding.expected, finding.observed, became)
        return row

    def ended(
        self, kind: BreakKind, seen: Collection[str], explanation: str, evidence: dict[str, Any], prefix: str = ""
    ) -> None:
        """End the breaks of a kind that this comparison no longer sees."""
        if not self.dry_run:
            no_longer_seen(
                self.account, kind, seen, by=self.by, explanation=explanation, evidence=evidence, prefix=prefix
            )
