"""Arming: a live account sends no order before somebody asked for it and a second person agreed.

It takes four things: configuration (open books and a limit on the order value), the environment's word
(``EXEC_LIVE_TRADING``), an approval that has not lapsed, and one version on all processes. The sender asks
``refusal_of`` again before each placement.
"""

from __future__ import annotations

from collections.abc import Sequence

from django.conf import settings
from django.db import transaction

from exchanges.models import Account, LiveArming, Mode
from exchanges.versions import running
from execution_project.common import clock
from execution_project.common.actors import Actor
from execution_project.common.approvals import carries_out, explains, request_approval, use
from execution_project.common.events import record
from execution_project.common.models import Approval
from execution_project.common.problems import Problem
from execution_project.common.rights import Right
from execution_project.common.version import version
from risk.limits import newest
from risk.ramp import begin_ramp, what_a_ramp_does

ARM_LIVE = "arm_live"
LIMIT = "max_order_notional"
# Kinds of processes without which no order gets anywhere, besides the queues of its exchange.
NEEDED = ("ticker", "housekeeping")


def refusal_of(account: Account) -> str | None:
    """Why an account may not place orders, None when it may. Only a live account has to be armed."""
    if account.mode != Mode.LIVE:
        return None
    if not settings.EXEC_LIVE_TRADING:
        return "EXEC_LIVE_TRADING is not true in the environment of this process"
    if not LiveArming.objects.filter(account=account).exists():
        return "it was not armed: run arm_live"
    return None


def hindrances(account: Account) -> list[str]:
    """What is still missing before a live account can be armed, in sentences; nothing when all is there."""
    found = []
    if not settings.EXEC_LIVE_TRADING:
        found.append("EXEC_LIVE_TRADING is not true: set it in the environment of every process.")
    if account.books_opened_at is None:
        found.append(f"The books are not open: run open_books {account.name}.")
    limit = newest(LIMIT, account.mode, "account", account.name)
    if limit is None or limit.value is None:
        found.append(f"There is no limit on the order value: run set_limit {LIMIT} … --scope account:{account.name}.")
    versions = running()
    if len(versions) > 1 or (versions and version() not in versions):
        told = "; ".join(f"{name}: {', '.join(sorted(processes))}" for name, processes in sorted(versions.items()))
        found.append(f"Not all processes run this version, {version()} ({told}): restart them.")
    kinds = {process.partition("@")[0] for processes in versions.values() for process in processes}
    needed = (*NEEDED, *(f"{queue}-{account.exchange}" for queue in ("submit", "cancel", "probe", "housekeeping")))
    if missing := [kind for kind in needed if kind not in kinds]:
        found.append(f"Not heard of within a minute: {', '.join(missing)}. Start the engine.")
    return found


def propose_arming(account: Account, *, reason: str, by: Actor) -> Approval:
    """Ask for a second person's word to arm a live account; it lapses after an hour.

    Raises ``Problem``: 403 without the right, 409 for an account that is not live, is armed or lacks something.
    """
    by.require(Right.MANAGE_ACCOUNTS)
    _refuse_unready(account)
    return request_approval(ARM_LIVE, account.name, reason=reason, by=by, parameters={"version": version()})


def _refuse_unready(account: Account) -> None:
    if account.mode != Mode.LIVE:
        raise Problem(409, "NOT_LIVE", f"{account.name} is a {account.mode} account: only live ones are armed.")
    if LiveArming.objects.filter(account=account).exists():
        raise Problem(409, "ALREADY_ARMED", f"{account.name} was armed before; halt it to stop it.")
    if missing := hindrances(account):
        raise Problem(409, "NOT_READY_TO_ARM", " ".join(missing))


@carries_out(ARM_LIVE)
def _arm(approval: Approval, by: Actor) -> str:
    account = Account.objects.get(name=approval.subject)
    with transaction.atomic():
        _refuse_unready(account)
        if approval.parameters.get("version") != version():
            raise Problem(409, "NOT_READY_TO_ARM", "The version is another one since it was proposed: propose again.")
        use(approval.id, ARM_LIVE, account.name, by=by)
        LiveArming.objects.create(
            account=account, approval_id=approval.id, version=version(), actor=by.name, at=clock.now()
        )
        evidence = {"approval": str(approval.id), "asked_by": approval.requested_by, "version": version()}
        begin_ramp([account], reason="armed", by=by)
        record("account.armed", "account", account.name, by, evidence=evidence)
    return f"{account.name} is armed: it sends live orders from now on."


@explains(ARM_LIVE)
def what_arming_does(approval: Approval) -> Sequence[str]:
    """What approving does as things stand, in sentences."""
    account = Account.objects.get(name=approval.subject)
    try:
        _refuse_unready(account)
    except Problem as problem:
        return [f"Nothing, it will be refused: {problem.detail}"]
    where = account.get_exchange_display()
    return [f"{account.name} sends orders with real money to {where} from then on.", *what_a_ramp_does()]
