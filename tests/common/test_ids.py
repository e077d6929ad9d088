"""Order ids sort by time; client order ids are valid at both exchanges and never equal for two things."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution_project.common import clock, ids

PREFIXES = st.from_regex(r"[A-Za-z0-9]{2}", fullmatch=True)
GENERATIONS = st.integers(0, 1295)


def test_order_ids_are_version_7_and_sort_by_time_of_creation() -> None:
    made = []
    with clock.using(clock.ManualClock(datetime(2026, 1, 1, tzinfo=UTC))) as manual:
        for _ in range(200):
            made.append(ids.uuid7())
            manual.advance(timedelta(milliseconds=1))
    assert made == sorted(made, key=lambda value: value.bytes) == sorted(made)
    assert {(value.version, value.variant) for value in made} == {(7, "specified in RFC 4122")}
    assert clock.from_ms(made[5].int >> 80) == datetime(2026, 1, 1, 0, 0, 0, 5000, tzinfo=UTC)


def test_order_ids_of_one_millisecond_differ() -> None:
    with clock.using(clock.ManualClock(datetime(2026, 1, 1, tzinfo=UTC))):
        assert len({ids.uuid7() for _ in range(1000)}) == 1000


@given(PREFIXES, st.uuids(), GENERATIONS)
def test_client_order_ids_are_36_plain_characters_and_read_back(prefix: str, order_id: UUID, generation: int) -> None:
    text = ids.client_order_id(prefix, order_id, generation)
    assert re.fullmatch(r"[a-zA-Z0-9-_]{36}", text)
    assert ids.read_client_order_id(text) == (prefix, order_id, generation)


PARTS = st.tuples(PREFIXES, st.uuids(), GENERATIONS)


@given(PARTS, PARTS)
def test_two_client_order_ids_are_equal_only_when_all_their_parts_are(
    one: tuple[str, UUID, int], other: tuple[str, UUID, int]
) -> None:
    assert (ids.client_order_id(*one) == ids.client_order_id(*other)) == (one == other)


def test_all_generations_of_an_order_differ() -> None:
    order_id = ids.uuid7()
    assert len({ids.client_order_id("AB", order_id, generation) for generation in range(1296)}) == 1296


@pytest.mark.parametrize("generation", [-1, 1296])
def test_a_generation_beyond_two_characters_is_refused(generation: int) -> None:
    with pytest.raises(ValueError, match="outside"):
        ids.client_order_id("AB", ids.uuid7(), generation)


OURS = ids.client_order_id("AB", UUID(int=5), 7)


@pytest.mark.parametrize(
    "text",
    ["", "web_1234", OURS[:-1], OURS + "0", OURS + "\n", "x" + OURS[1:-1], OURS[:-2] + "ab", OURS.upper()[:-2] + "é0"],
)
def test_an_id_of_another_program_is_not_taken_for_ours(text: str) -> None:
    assert ids.read_client_order_id(text) is None


def test_prefixes_avoid_characters_that_are_mistaken_for_each_other() -> None:
    prefixes = {ids.new_installation_prefix() for _ in range(500)}
    assert len(prefixes) > 300
    assert all(re.fullmatch(r"[A-HJ-NP-Za-km-z2-9]{2}", prefix) for prefix in prefixes), "0, O, 1, I and l"
