"""Who acts, why, and what they may do: every write names the first two and asks for the third."""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass
from typing import Protocol

from execution_project.common.problems import Problem
from execution_project.common.rights import EVERYTHING, Right


@dataclass(frozen=True, slots=True)
class Actor:
    """Somebody or something that acts: ``key:<name>``, ``user:<name>``, ``command:<user>``, ``engine:<part>``."""

    name: str
    cause: str
    request_id: str = ""
    rights: frozenset[Right] = frozenset()

    def require(self, right: Right) -> None:
        """Raise ``Problem`` (403) unless the actor has this right."""
        if right not in self.rights:
            raise Problem(403, "MISSING_RIGHT", f"{self.name} may not do this: the right '{right.value}' is missing.")


def engine(part: str, cause: str) -> Actor:
    """The engine itself, by the part that acts."""
    return Actor(f"engine:{part}", cause, rights=EVERYTHING)


def command(cause: str) -> Actor:
    """Whoever runs a management command: with the machine's account comes every right, and the name is recorded.

    The name is the account's, which no environment variable can change; its number where the account has no name.
    """
    uid = os.getuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = f"uid-{uid}"
    return Actor(f"command:{name}", cause, rights=EVERYTHING)


class StaffUser(Protocol):
    """What the engine needs to know of somebody in the admin."""

    is_active: bool

    def get_username(self) -> str:
        """The name that events carry."""

    def get_all_permissions(self) -> set[str]:
        """``app.codename`` of all that groups and user give."""


def staff(user: StaffUser, cause: str, request_id: str = "") -> Actor:
    """A person in the admin, with the rights that their groups give."""
    held = user.get_all_permissions() if user.is_active else set()
    rights = frozenset(right for right in Right if right.permission in held)
    return Actor(f"user:{user.get_username()}", cause, request_id, rights)
