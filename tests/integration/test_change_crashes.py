"""A worker that dies at a commit boundary of a cancel or a replace: what is wanted comes about once, or not at all."""

from __future__ import annotations

from decimal import Decimal
from functools import partial
from pathlib import Path

import pytest

from orders.following import follow_account
from orders.models import Attempt, Command
from tests.crashing import kill_at
from tests.engines import Engine, drain
from tests.regressions.conftest import patient
from tests.regressions.rounds import (
    LONG_AGO,
    assert_all_over,
    prints,
    resting,
    rounds,
    sent_a_minute_ago,
    status,
    working_at_exchange,
)
from tests.simulators import Simulator
from tests.waiting import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

D = Decimal
SENDING = ["after_claim", "after_send", "before_answer_commit", "after_answer"]
LOOKING = ["before_look_commit", "after_look"]


def kill_a_sender_and_go_on(engine: Engine, order: str, moment: str, folder: Path) -> None:
    """Until no command is under way; the first worker dies, and long after that others go on."""
    kill_at(moment, partial(drain, "cancel"), folder)
    sent_a_minute_ago(order)
    Attempt.objects.filter(answered_at__isnull=False).update(answered_at=LONG_AGO)
    under_way = Command.objects.filter(status__in=["queued", "claimed", "unknown"])
    wait_until(lambda: (rounds(), not under_way.exists())[1], 30, "every command to be over")


def end(engine: Engine, order: str) -> None:
    """Cancel what works and settle."""
    engine.request("DELETE", f"order/{order}")
    wait_until(lambda: (rounds(), status(engine, order) == "settled")[1], 30, "the order to be settled")
    assert_all_over(engine)


@pytest.mark.parametrize("moment", [*SENDING, *LOOKING])
def test_killed_while_canceling(transactional_db: None, simulator: Simulator, tmp_path: Path, moment: str) -> None:
    turk = patient(simulator, "btcturk")
    order = resting(turk)
    prints(turk, "58990", "0.01", "SELL")
    turk.request("DELETE", f"order/{order}")
    kill_a_sender_and_go_on(turk, order, moment, tmp_path)
    assert working_at_exchange(turk) == []
    end(turk, order)
    assert (turk.order(order)["ended_as"], turk.order(order)["filled_quantity"]) == ("canceled", "0.01")


@pytest.mark.parametrize("moment", ["after_send", "after_answer", "before_look_commit"])
def test_killed_while_amending(engine: Engine, tmp_path: Path, moment: str) -> None:
    order = resting(engine)
    _, document = engine.request("PATCH", f"order/{order}", {"quantity": "0.02"})
    assert document["replace"]["method"] == "amend"
    kill_a_sender_and_go_on(engine, order, moment, tmp_path)
    assert working_at_exchange(engine) == [D("0.02")]
    assert engine.order(order)["quantity"] == "0.02"
    end(engine, order)


@pytest.mark.parametrize("moment", SENDING)
def test_killed_while_replacing_by_one_call(engine: Engine, tmp_path: Path, moment: str) -> None:
    order = resting(engine)
    _, document = engine.request("PATCH", f"order/{order}", {"price": "59500.00"})
    assert document["replace"]["method"] == "cancel_replace"
    kill_a_sender_and_go_on(engine, order, moment, tmp_path)
    assert working_at_exchange(engine) == [D("0.03")]
    replaced = moment != "after_claim"
    assert engine.order(order)["price"] == ("59500" if replaced else "59000")
    assert len(engine.simulator.posted()) == (2 if replaced else 1)
    end(engine, order)


@pytest.mark.parametrize("moment", ["after_send", "after_answer", "before_look_commit"])
def test_killed_while_canceling_before_the_rest_is_placed(engine: Engine, tmp_path: Path, moment: str) -> None:
    order = resting(engine)
    prints(engine, "58990", "0.01", "SELL")
    follow_account(engine.account)
    _, document = engine.request("PATCH", f"order/{order}", {"quantity": "0.05", "price": "58500.00"})
    assert document["replace"]["method"] == "cancel_then_place"
    prints(engine, "58990", "0.01", "SELL")
    kill_a_sender_and_go_on(engine, order, moment, tmp_path)
    assert working_at_exchange(engine) == [D("0.03")]
    assert engine.order(order)["filled_quantity"] == "0.02"
    end(engine, order)
