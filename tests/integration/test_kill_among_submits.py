"""A kill at a random moment among fifty submits at once, on both exchanges, with late, lost and reordered answers.

Ten seeds, with ``PROOF_ROUNDS`` that many and at most a hundred; ``KILL_SEEDS`` names others (comma-separated).
"""

from __future__ import annotations

import os
import random
import time
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from execution_project.common.problems import Problem
from orders.killing import Killed, kill
from orders.models import Attempt, Order
from orders.placing import OrderRequest, Placed, place
from risk.models import KillEpisode
from tests.engines import BY, Engine, holdings, make_engine
from tests.kills import until_verified
from tests.regressions.rounds import PLACE, lift_faults, working_at_exchange
from tests.simulators import Simulator
from tests.threads import run_together, workers

pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]
SEEDS = [int(seed) for seed in os.environ.get("KILL_SEEDS", "").split(",") if seed] or list(
    range(min(int(os.environ.get("PROOF_ROUNDS", "10")), 100))
)
SUBMITS, WORKERS = 50, 6
PATIENCE_S = 60.0
D = Decimal


def troubles(engine: Engine, dice: random.Random) -> None:
    """Every placement has a trouble of its own; the order in which answers come is the order of nothing."""
    for _ in range(SUBMITS):
        kind, parameters = dice.choice(
            [
                ("delay_answer", {"ms": dice.randint(10, 400)}),
                ("delay", {"ms": dice.randint(10, 300)}),
                ("drop_after", {}),
                ("drop_before", {}),
                ("late_execution", {"ms": dice.randint(50, 900)}),
                ("delay_answer", {"ms": 0}),
            ]
        )
        engine.simulator.fault(kind, call=PLACE[engine.account.exchange], **parameters)


def submit(engine: Engine, number: int) -> Placed:
    """Every other order rests; the others trade at once. Told that the gate is busy, the client sends it again."""
    price = D("59000") + number if number % 2 else D("60100")
    request = OrderRequest(
        engine.account.name, "BTCUSDT", "BUY", "LIMIT", D("0.001"), price=price, time_in_force="GTC", valid_for=60
    )
    key, ends = str(uuid4()), time.monotonic() + PATIENCE_S
    while True:
        try:
            return place(request, idempotency_key=key, body_hash="x", account=engine.account, by=BY)
        except Problem as problem:
            if problem.code != "RISK_BUSY" or time.monotonic() > ends:
                raise


@pytest.mark.parametrize("seed", SEEDS)
def test_what_was_not_claimed_is_never_sent_and_nothing_lives_when_it_says_verified(
    simulator: Simulator, seed: int
) -> None:
    dice = random.Random(seed)
    simulator.call("POST", "/sim/btcturk", {"limits_on": False})
    engines = [make_engine(simulator, exchange=exchange) for exchange in ("binance", "btcturk")]
    for engine in engines:
        troubles(engine, dice)
    moment = dice.uniform(0.05, 1.5)
    claimed: set[Any] = set()

    def kill_it() -> Killed:
        time.sleep(moment)
        killed = kill("global", "", reason=f"seed {seed}", by=BY)
        # Whatever was claimed before the latch committed can be seen now.
        claimed.update(Attempt.objects.filter(kind="submit").values_list("id", flat=True))
        return killed

    with workers(*[None] * WORKERS):
        acts: list[Any] = [
            lambda n=n: (time.sleep(dice.random() * moment), submit(engines[n % 2], n))[1] for n in range(SUBMITS)
        ]
        results = run_together([*acts, kill_it])
    errors = [result for result in results if isinstance(result, Exception)]
    assert errors == []
    lift_faults(engines[0])
    until_verified(within=40)

    assert [working_at_exchange(engine) for engine in engines] == [[], []]
    assert set(Attempt.objects.filter(kind="submit").values_list("id", flat=True)) == claimed
    sent = set(Attempt.objects.filter(id__in=claimed).values_list("exchange_order__client_order_id", flat=True))
    assert set(simulator.posted()) <= sent
    assert all(count == 1 for count in simulator.posted().values())
    episode = KillEpisode.objects.get()
    for placed in results:
        assert (
            not isinstance(placed, Placed)
            or placed.order.gate_seq < episode.halt_seq
            or (placed.order.status == "denied")
        )
    assert not Order.objects.filter(status__in=["pending", "submitting", "open", "partially_filled"]).exists()
    for engine in engines:
        assert holdings(engine) == simulator.balances(engine.account.name), "every fill is in the books"
