"""The inbox of approvals: what waits for this person's word, and what they asked for and others decide."""

from __future__ import annotations

from dataclasses import dataclass

from execution_project.common.actors import Actor
from execution_project.common.approvals import open_approvals, split_by_asker
from execution_project.common.models import Approval
from execution_project.common.rights import Right

LOOKED_AT = 100
SHOWN = 10


@dataclass(frozen=True, slots=True)
class Inbox:
    """Open proposals, oldest first. ``waiting``: those that this person may decide or carry out now."""

    waiting: list[Approval]
    others: list[Approval]
    """Those that somebody else has to decide: the person's own, or all, for whoever may not approve."""

    @property
    def shown_waiting(self) -> list[Approval]:
        """As many as the desk has room for."""
        return self.waiting[:SHOWN]

    @property
    def shown_others(self) -> list[Approval]:
        """As many as the desk has room for."""
        return self.others[:SHOWN]

    @property
    def left_out(self) -> int:
        """Open ones that the desk does not show."""
        return max(len(self.waiting) - SHOWN, 0) + max(len(self.others) - SHOWN, 0)


def read_inbox(by: Actor) -> Inbox:
    """At most two queries; of more than 100 open proposals the oldest. A granted one waits for whoever carries it out,
    also for the person who asked."""
    rows = list(open_approvals()[:LOOKED_AT])
    if Right.APPROVE not in by.rights:
        return Inbox([], rows)
    own = {row.id for row in split_by_asker(rows, by)[0]}
    waiting = [row for row in rows if row.approved or row.id not in own]
    return Inbox(waiting, [row for row in rows if row not in waiting])
