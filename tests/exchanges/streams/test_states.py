"""The condition of streams in words."""

from __future__ import annotations

from datetime import timedelta

import pytest

from exchanges.models import StreamState
from exchanges.streams.link import Condition
from exchanges.streams.states import SILENT_WRITER, known_conditions, troubles, write_conditions
from execution_project.common import clock

pytestmark = pytest.mark.django_db


def test_troubles_in_words() -> None:
    assert troubles() == []
    now = clock.now()
    write_conditions(
        {
            ("private", "main"): ("binance", Condition(connected_since=now, last_message_at=now)),
            ("private", "other"): ("btcturk", Condition(last_error="Silent: nothing was heard for 30 s")),
        }
    )
    assert troubles() == ["the private stream of other is not connected: Silent: nothing was heard for 30 s"]
    StreamState.objects.update(written_at=now - SILENT_WRITER - timedelta(seconds=1))
    assert [text.split(":")[0] for text in troubles()] == [
        "nobody keeps the private stream of main",
        "nobody keeps the private stream of other",
    ]


def test_counts_go_on_where_the_former_process_stopped() -> None:
    now = clock.now()
    write_conditions({("private", "main"): ("binance", Condition(last_message_at=now, reconnects=4, gaps=3))})
    condition = known_conditions()["private", "main"]
    assert (condition.reconnects, condition.gaps, condition.connections) == (4, 3, 1)
    assert condition.connected_since is None
    write_conditions({})
    assert not StreamState.objects.exists()
