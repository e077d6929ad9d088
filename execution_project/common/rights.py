"""What one may be allowed to do, and which API key scopes and staff groups are allowed what.

One table for the API, the admin and the commands: a domain function asks its actor for the right it needs, so that no
way in can forget to. Tripping a halt or a kill takes less than lifting one: the risk is in going on, not in stopping.
"""

from __future__ import annotations

from enum import StrEnum


class Right(StrEnum):
    """One thing that somebody may be allowed to do."""

    VIEW = "view"
    PLACE = "place"
    CANCEL = "cancel"
    HALT = "halt"
    KILL = "kill"
    START = "start"
    SYNC = "sync"
    RESOLVE = "resolve"
    APPROVE = "approve"
    CHANGE_LIMITS = "change_limits"
    MANAGE_ACCOUNTS = "manage_accounts"
    MANAGE_KEYS = "manage_keys"

    @property
    def permission(self) -> str:
        """The Django permission that stands for it on a user or a group: ``common.act_<right>``."""
        return f"common.act_{self.value}"


EVERYTHING = frozenset(Right)

OF_SCOPE: dict[str, frozenset[Right]] = {
    "read": frozenset({Right.VIEW}),
    "trade": frozenset({Right.PLACE, Right.CANCEL}),
    "operate": frozenset(
        {
            *(Right.CANCEL, Right.HALT, Right.KILL, Right.START),
            *(Right.SYNC, Right.RESOLVE, Right.CHANGE_LIMITS),
        }
    ),
    # Apart from asking, so that a key which proposes all day is nobody's second person.
    "approve": frozenset({Right.APPROVE}),
}

OF_GROUP: dict[str, frozenset[Right]] = {
    "auditor": frozenset({Right.VIEW}),
    "trader": frozenset({Right.VIEW, Right.PLACE, Right.CANCEL, Right.HALT, Right.KILL}),
    "risk": frozenset(
        {Right.VIEW, Right.CANCEL, Right.HALT, Right.KILL, Right.START, Right.CHANGE_LIMITS, Right.APPROVE}
    ),
    "operations": frozenset(
        {
            *(Right.VIEW, Right.CANCEL, Right.HALT, Right.KILL, Right.START),
            *(Right.SYNC, Right.RESOLVE, Right.APPROVE),
        }
    ),
    "administrator": EVERYTHING,
}


def scopes_with(right: Right) -> list[str]:
    """The API key scopes that hold a right."""
    return [scope for scope, rights in OF_SCOPE.items() if right in rights]
