"""Arming: configuration, the environment's word, one version and a second person, or nothing is sent live."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from exchanges.models import Account, LiveArming, ProcessVersion
from exchanges.versions import announce, prune_versions, running
from execution_project.common import clock
from execution_project.common.actors import Actor
from execution_project.common.approvals import consequences, decide_and_carry_out
from execution_project.common.models import Approval, Event
from execution_project.common.problems import Problem
from execution_project.common.rights import EVERYTHING
from execution_project.common.version import version
from risk.arming import hindrances, propose_arming, refusal_of
from tests.commands import run
from tests.factories import BY, AccountFactory, LimitFactory

pytestmark = pytest.mark.django_db
SECOND = Actor("user:second", "a test", rights=EVERYTHING)


def ready(settings: Any) -> Account:
    """A live account that lacks nothing but the approval."""
    settings.EXEC_LIVE_TRADING = True
    account: Account = AccountFactory(name="main", mode="live", rest_url="https://api.binance.com")
    LimitFactory(scope_key="main", mode="live")
    for kind in (*settings.EXEC_QUEUES, "ticker", "web"):
        ProcessVersion.objects.create(process=f"{kind}@here:1", version=version(), seen_at=clock.now())
    return account


def test_two_persons_arm_an_account_that_is_ready(settings: Any) -> None:
    account = ready(settings)
    assert refusal_of(account) == "it was not armed: run arm_live"
    proposed = propose_arming(account, reason="after two weeks on paper", by=BY)
    assert "real money" in consequences(proposed)[0]
    with pytest.raises(Problem, match="second person"):
        decide_and_carry_out(proposed.id, approved=True, by=BY)
    assert "is armed" in decide_and_carry_out(proposed.id, approved=True, by=SECOND)
    assert refusal_of(account) is None
    assert LiveArming.objects.get().approval_id == proposed.id
    assert Event.objects.filter(kind="account.armed", subject_id="main").exists()
    with pytest.raises(Problem, match="armed before"):
        propose_arming(account, reason="again", by=BY)


def _without_flag(account: Account, settings: Any) -> None:
    settings.EXEC_LIVE_TRADING = False


def _without_books(account: Account, settings: Any) -> None:
    Account.objects.update(books_opened_at=None)


def _without_limit(account: Account, settings: Any) -> None:
    LimitFactory(scope_key="main", mode="live", version=2, value=None)


def _with_another_version(account: Account, settings: Any) -> None:
    ProcessVersion.objects.filter(process__startswith="web").update(version="older")


def _without_the_cluster(account: Account, settings: Any) -> None:
    ProcessVersion.objects.filter(process__startswith="submit").update(seen_at=clock.now() - timedelta(seconds=61))


def _without_the_cancels(account: Account, settings: Any) -> None:
    ProcessVersion.objects.filter(process__startswith="cancel-binance").delete()


def _without_the_probes(account: Account, settings: Any) -> None:
    ProcessVersion.objects.filter(process__startswith="probe-binance").delete()


LACKS = {
    "EXEC_LIVE_TRADING": _without_flag,
    "open_books": _without_books,
    "set_limit": _without_limit,
    "web@here:1": _with_another_version,
    "submit-binance": _without_the_cluster,
    "cancel-binance": _without_the_cancels,
    "probe-binance": _without_the_probes,
}


@pytest.mark.parametrize("named", LACKS)
def test_whatever_is_missing_is_named_and_refuses(settings: Any, named: str) -> None:
    account = ready(settings)
    LACKS[named](account, settings)
    account.refresh_from_db()
    assert [named in sentence for sentence in hindrances(account)] == [True]
    with pytest.raises(Problem) as refused:
        propose_arming(account, reason="x", by=BY)
    assert (refused.value.code, named in refused.value.detail) == ("NOT_READY_TO_ARM", True)


def test_what_goes_missing_after_the_proposal_refuses_the_approval(settings: Any) -> None:
    account = ready(settings)
    proposed = propose_arming(account, reason="x", by=BY)
    _with_another_version(account, settings)
    assert "it will be refused" in consequences(proposed)[0]
    with pytest.raises(Problem, match="restart them"):
        decide_and_carry_out(proposed.id, approved=True, by=SECOND)
    assert not LiveArming.objects.exists()


def test_a_lapsed_approval_arms_nothing(settings: Any) -> None:
    proposed = propose_arming(ready(settings), reason="x", by=BY)
    later = clock.ManualClock(clock.now() + timedelta(hours=1, seconds=1))
    with clock.using(later), pytest.raises(Problem, match="lapsed"):
        decide_and_carry_out(proposed.id, approved=True, by=SECOND)
    assert not LiveArming.objects.exists()


def test_the_environment_can_take_its_word_back_and_other_modes_need_none(settings: Any) -> None:
    account = ready(settings)
    decide_and_carry_out(propose_arming(account, reason="x", by=BY).id, approved=True, by=SECOND)
    settings.EXEC_LIVE_TRADING = False
    assert "EXEC_LIVE_TRADING" in (refusal_of(account) or "")
    for mode, url in (("paper", ""), ("sandbox", "http://127.0.0.1:9")):
        other = AccountFactory(mode=mode, rest_url=url)
        assert refusal_of(other) is None
        with pytest.raises(Problem, match="only live ones"):
            propose_arming(other, reason="x", by=BY)


def test_the_command_proposes_and_says_what_is_missing(settings: Any) -> None:
    account = ready(settings)
    assert run("arm_live", "main", "--reason", "x", "--dry-run").code == 0
    assert not Approval.objects.exists()
    ran = run("arm_live", "main", "--reason", "x", "--json")
    assert (ran.code, ran.document["approval"]["id"]) == (3, str(Approval.objects.get().id))
    _without_flag(account, settings)
    assert "EXEC_LIVE_TRADING" in run("arm_live", "main", "--reason", "x").err


def test_processes_say_which_version_they_run() -> None:
    announce("web")
    announce("web")
    assert {name: len(processes) for name, processes in running().items()} == {version(): 1}
    ProcessVersion.objects.update(seen_at=clock.now() - timedelta(days=2))
    assert (running(), prune_versions()) == ({}, 1)


def test_a_version_is_given_or_made_of_the_source(settings: Any) -> None:
    version.cache_clear()
    made = version()
    assert len(made) == 16
    settings.EXEC_VERSION = "2026.1"
    version.cache_clear()
    assert version() == "2026.1"
    version.cache_clear()
