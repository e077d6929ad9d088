"""Limits: versioned rows per limit, mode and scope; a change is a new version, never an edit.

One person may set a limit that was not there and tighten one, at once. Loosening, switching off and weakening its
enforcement take a second person. Every change takes the exposure row of its mode: what is decided after it commits is
decided by it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.db.models import Max, Q, QuerySet

from exchanges.models import Account, Instrument
from execution_project.common import clock
from execution_project.common.actors import Actor
from execution_project.common.approvals import carries_out, explains, request_approval, use
from execution_project.common.events import record
from execution_project.common.locking import Locks, one_at_a_time
from execution_project.common.models import Approval
from execution_project.common.money import plain, plain_or_none
from execution_project.common.problems import Problem
from execution_project.common.rights import Right
from risk.controls.catalogue import CATALOGUE, LimitSpec
from risk.intent import scope_name
from risk.models import Enforcement, Exposure, Limit, LimitScopeKind, ScopeKind
from risk.scopes import scope_exists

CHANGE_LIMIT = "change_limit"
SHORTEST_REASON = 10
_STRENGTH = {Enforcement.BLOCK: 2, Enforcement.WARN: 1, Enforcement.SHADOW: 0}


@dataclass(frozen=True, slots=True)
class Change:
    """What a limit is to become. ``value`` None switches it off, ``expires_at`` None is for good."""

    control: str
    mode: str
    kind: str
    key: str
    value: Decimal | None
    enforcement: str
    expires_at: datetime | None = None

    @property
    def subject(self) -> str:
        """As events and proposals name it."""
        return f"{self.control}/{self.mode}/{scope_name(self.kind, self.key)}"


def in_force(at: datetime | None = None) -> QuerySet[Limit]:
    """The versions that count at a moment, now if not given: of each limit, mode and scope the newest not expired."""
    now = at or clock.now()
    valid = Limit.objects.filter(Q(expires_at__isnull=True) | Q(expires_at__gt=now))
    key = ("control", "mode", "scope_kind", "scope_key")
    newest_ids = valid.order_by(*key, "-version").distinct(*key).values("id")
    return Limit.objects.filter(id__in=newest_ids)


def newest(control: str, mode: str, kind: str, key: str) -> Limit | None:
    """The version that counts now."""
    return _counting(control, mode, kind, key, clock.now())


def _counting(control: str, mode: str, kind: str, key: str, at: datetime) -> Limit | None:
    rows = Limit.objects.filter(control=control, mode=mode, scope_kind=kind, scope_key=key)
    return rows.filter(Q(expires_at__isnull=True) | Q(expires_at__gt=at)).order_by("-version").first()


@dataclass(frozen=True, slots=True)
class NotSet:
    """A limit that has to be set for a scope and is not, or is switched off."""

    control: str
    mode: str
    kind: str
    key: str


def mandatory_not_set(mode: str) -> list[NotSet]:
    """The mandatory limits that are missing in a mode: while they are, nothing that increases exposure passes there."""
    wanted = [(spec.name, kind) for spec in CATALOGUE.values() for kind in spec.mandatory]
    rows = in_force().filter(mode=mode, control__in={name for name, _ in wanted}, value__isnull=False)
    known = set(rows.values_list("control", "scope_kind", "scope_key"))
    return [
        NotSet(control, mode, kind, key)
        for control, kind in wanted
        for key in _WHERE_MANDATORY[kind](mode)
        if (control, kind, key) not in known
    ]


_WHERE_MANDATORY: Mapping[str, Callable[[str], list[str]]] = {
    ScopeKind.ACCOUNT.value: lambda mode: list(
        Account.objects.filter(mode=mode).order_by("name").values_list("name", flat=True)
    ),
}
"""Every scope of a kind for which a limit may be mandatory (``LimitSpec.mandatory``), by the mode."""


def spec_of(control: str) -> LimitSpec:
    """The limit's entry in the table; raises ``Problem`` (400) for a name that is not there."""
    spec = CATALOGUE.get(control)
    if spec is None:
        raise Problem(400, "UNKNOWN_LIMIT", f"There is no limit {control!r}; there are {', '.join(CATALOGUE)}.")
    return spec


def limit_scope_exists(kind: str, key: str) -> bool:
    """Whether there is anything of this kind and name that a limit may be set for."""
    if kind == LimitScopeKind.ASSET:
        return Instrument.objects.filter(Q(base_asset=key) | Q(quote_asset=key)).exists()
    return scope_exists(kind, key)


def mode_of_scope(kind: str, key: str, given: str | None) -> str:
    """The mode of a limit: an account's own, else as given. Raises ``Problem`` (400) for none, or another one."""
    if kind == ScopeKind.ACCOUNT:
        own = Account.objects.filter(name=key).values_list("mode", flat=True).first()
        if own is not None and given not in {None, own}:
            raise Problem(400, "WRONG_MODE", f"{key} is a {own} account: leave mode out.")
        if own is not None:
            return str(own)
    if given is None:
        raise Problem(400, "WRONG_MODE", "Give a mode: only an account's scope has one of its own.")
    return given


def tighten_or_set(
    control: str,
    mode: str,
    kind: str,
    key: str,
    value: Decimal,
    *,
    reason: str,
    by: Actor,
    enforcement: str | None = None,
    expires_at: datetime | None = None,
) -> Limit:
    """Set a limit that did not exist, or a tighter one, at once.

    ``enforcement``: as it is, else the limit's own default. What is tighter only than a version that expires expires
    with it. Raises ``Problem``: 409 ``LOOSENING_NEEDS_APPROVAL`` for a looser one, 400 for a limit or a scope that
    there is not, 403 without the right.
    """
    by.require(Right.CHANGE_LIMITS)
    change = _change(control, mode, kind, key, value, enforcement, expires_at)
    with transaction.atomic():
        before = _locked(change)
        if before is not None and looser(change, before):
            raise Problem(409, "LOOSENING_NEEDS_APPROVAL", "A looser limit needs a second person's approval.")
        return _write(_ending_with(change, before), before, reason, by)


def impose(
    control: str, mode: str, kind: str, key: str, value: Decimal, *, reason: str, by: Actor, expires_at: datetime
) -> Limit:
    """A version that belongs to an act that two persons decided on, in that act's transaction; of two values the
    tighter, the lower one."""
    change = _change(control, mode, kind, key, value, None, expires_at)
    before = _locked(change)
    if before is not None and before.value is not None and before.value < value:
        change = replace(change, value=before.value)
    return _write(change, before, reason, by)


def propose(change: Change, *, reason: str, by: Actor) -> Approval:
    """Ask for a second person's word to loosen a limit, to switch it off or to weaken its enforcement.

    The proposal is about the version that counts now. Raises ``Problem``: 409 ``LIMIT_NOT_LOOSER`` for what one person
    may do, 400 ``REASON_TOO_SHORT``, an expiry that has passed, or a limit or scope that there is not; 403.
    """
    by.require(Right.CHANGE_LIMITS)
    change = _change(*(getattr(change, name) for name in Change.__dataclass_fields__))
    before = newest(change.control, change.mode, change.kind, change.key)
    if before is None or not looser(change, before):
        raise Problem(409, "LIMIT_NOT_LOOSER", f"{change.subject} does not get looser by this: one person may set it.")
    if len(reason.strip()) < SHORTEST_REASON:
        detail = f"reason: at least {SHORTEST_REASON} characters, for whoever approves and for the record."
        raise Problem(400, "REASON_TOO_SHORT", detail)
    parameters = {
        "control": change.control,
        "mode": change.mode,
        "kind": change.kind,
        "key": change.key,
        "value": plain_or_none(change.value),
        "enforcement": change.enforcement,
        "expires_at": None if change.expires_at is None else change.expires_at.isoformat(),
        "version": before.version,
    }
    return request_approval(CHANGE_LIMIT, change.subject, reason=reason, by=by, parameters=parameters)


def looser(change: Change, before: Limit) -> bool:
    """Whether a change lets more through than the version before; what was switched off is never set by one person."""
    if before.value is None or change.value is None:
        return True
    if _STRENGTH[Enforcement(change.enforcement)] < _STRENGTH[Enforcement(before.enforcement)]:
        return True
    tighter_is_higher = CATALOGUE[change.control].higher_is_tighter
    return bool(change.value < before.value if tighter_is_higher else change.value > before.value)


def _change(
    control: str,
    mode: str,
    kind: str,
    key: str,
    value: Decimal | None,
    enforcement: str | None,
    expires_at: datetime | None,
) -> Change:
    spec = spec_of(control)
    if kind not in spec.scopes:
        raise Problem(400, "LIMIT_SCOPE", f"{control} is set for {', '.join(spec.scopes)}, not for {kind}.")
    if expires_at is not None and expires_at <= clock.now():
        raise Problem(400, "EXPIRY_PASSED", "expires_at has passed already.")
    if enforcement is None:
        before = newest(control, mode, kind, key)
        enforcement = spec.enforcement if before is None else before.enforcement
    return Change(control, mode, kind, key, value, enforcement, expires_at)


def _locked(change: Change) -> Limit | None:
    """The version that counts, with its next one and every decision of the mode held off until commit."""
    one_at_a_time(f"limit/{change.subject}")
    Locks().exposure(Exposure, change.mode)
    return newest(change.control, change.mode, change.kind, change.key)


def _ending_with(change: Change, before: Limit | None) -> Change:
    """The change, ending with a temporary version where it is tighter than that one only: the one before comes back."""
    if before is None or before.expires_at is None:
        return change
    then = _counting(change.control, change.mode, change.kind, change.key, before.expires_at)
    if then is None or not looser(change, then):
        return change
    ends = min(before.expires_at, change.expires_at or before.expires_at)
    return Change(change.control, change.mode, change.kind, change.key, change.value, change.enforcement, ends)


def _write(change: Change, before: Limit | None, reason: str, by: Actor, approval: Approval | None = None) -> Limit:
    top = Limit.objects.filter(
        control=change.control, mode=change.mode, scope_kind=change.kind, scope_key=change.key
    ).aggregate(top=Max("version"))["top"]
    row = Limit.objects.create(
        control=change.control,
        mode=change.mode,
        scope_kind=change.kind,
        scope_key=change.key,
        version=(top or 0) + 1,
        value=change.value,
        enforcement=change.enforcement,
        expires_at=change.expires_at,
        reason=reason[:256],
        set_by=by.name,
        set_at=clock.now(),
    )
    evidence: dict[str, Any] = {
        "version": row.version,
        "value": plain_or_none(change.value),
        "before": None if before is None else plain_or_none(before.value),
        "enforcement": row.enforcement,
        "expires_at": None if row.expires_at is None else clock.rfc3339(row.expires_at),
        "reason": reason,
    }
    if approval is not None:
        evidence["approval"] = str(approval.id)
    record("limit.set", "limit", change.subject, by, evidence=evidence)
    return row


def _proposed(parameters: Mapping[str, Any]) -> Change:
    value, expires = parameters["value"], parameters["expires_at"]
    return Change(
        parameters["control"],
        parameters["mode"],
        parameters["kind"],
        parameters["key"],
        None if value is None else Decimal(value),
        parameters["enforcement"],
        None if expires is None else datetime.fromisoformat(expires),
    )


def _refuse_changed(approval: Approval, change: Change, before: Limit | None) -> None:
    if before is None or before.version != approval.parameters["version"]:
        raise Problem(409, "LIMIT_CHANGED", f"{change.subject} was changed since this was proposed: propose again.")
    if change.expires_at is not None and change.expires_at <= clock.now():
        raise Problem(409, "LIMIT_CHANGED", "The proposed version has expired already: propose again.")


@carries_out(CHANGE_LIMIT)
def _change_by_two(approval: Approval, by: Actor) -> str:
    change = _proposed(approval.parameters)
    with transaction.atomic():
        before = _locked(change)
        _refuse_changed(approval, change, before)
        use(approval.id, CHANGE_LIMIT, change.subject, by=by)
        row = _write(change, before, f"{approval.reason} (asked by {approval.requested_by})", by, approval)
    return f"{change.subject} is {described(row.value, row.enforcement, row.expires_at)} now, version {row.version}."


@explains(CHANGE_LIMIT)
def what_an_approved_change_does(approval: Approval) -> list[str]:
    """What approving a proposed limit does as things stand, in sentences."""
    change = _proposed(approval.parameters)
    before = newest(change.control, change.mode, change.kind, change.key)
    try:
        _refuse_changed(approval, change, before)
    except Problem as problem:
        return [f"Nothing, it will be refused: {problem.detail}"]
    assert before is not None  # noqa: S101  refused otherwise
    spec = CATALOGUE[change.control]
    was = described(before.value, before.enforcement, before.expires_at)
    becomes = described(change.value, change.enforcement, change.expires_at)
    return [
        f"{spec.about} ({spec.unit}, control {spec.number})",
        f"{change.subject}: {was} becomes {becomes}, at once.",
        *([] if change.expires_at is None else ["When it expires, what counts today counts again."]),
    ]


def described(value: Decimal | None, enforcement: str, expires_at: datetime | None) -> str:
    """A version in words."""
    until = "" if expires_at is None else f" until {clock.rfc3339(expires_at)}"
    return f"{'off' if value is None else f'{plain(value)} ({enforcement})'}{until}"
