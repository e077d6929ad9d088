"""Exact amounts: what the field and the API take, and what they refuse."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError
from django.db import transaction
from hypothesis import example, given
from hypothesis import strategies as st

from execution_project.common.money import (
    QUANTUM,
    MoneyField,
    NotPlainDecimal,
    parse_decimal,
    plain,
    plain_or_none,
    round_down,
    round_up,
)
from risk.models import Reservation
from tests.factories import ReservationFactory

LARGEST = "99999999999999999999.999999999999999999"
AMOUNTS = st.decimals(min_value=Decimal("-" + LARGEST), max_value=Decimal(LARGEST), places=18)


@given(AMOUNTS)
@example(Decimal(LARGEST))
@example(Decimal("-0"))
def test_plain_text_reads_back_as_the_same_amount(amount: Decimal) -> None:
    text = plain(amount)
    assert "E" not in text.upper()
    assert parse_decimal(text) == amount
    assert text == "0" or not text.startswith("-0.0" + "0" * 18)
    assert "." not in text or not text.endswith(("0", "."))


@given(st.text(max_size=45))
def test_text_is_read_exactly_or_refused(text: str) -> None:
    grammar = re.fullmatch(r"-?(0|[1-9][0-9]{0,19})(\.[0-9]{1,18})?", text, re.ASCII)
    if grammar:
        assert parse_decimal(text) == Decimal(text)
    else:
        with pytest.raises(NotPlainDecimal):
            parse_decimal(text)


@pytest.mark.parametrize(
    "text",
    [
        1,
        1.5,
        True,
        None,
        Decimal("1"),
        b"1",
        "",
        " 1",
        "1 ",
        "1\n",
        "+1",
        "01",
        "00.1",
        ".5",
        "5.",
        "1e3",
        "1E-3",
        "1_000",
        "1,5",
        "0x10",
        "NaN",
        "Infinity",
        "--1",
        "\u0661\u0662",  # Arabic-Indic digits
        "\uff11",  # full-width digit
        "1\u0000",
        "0.0000000000000000001",  # 19 decimals
        "100000000000000000000",  # 21 whole digits
        "9" * 10_000,
    ],
)
def test_anything_but_a_plain_decimal_string_is_refused(text: object) -> None:
    with pytest.raises(NotPlainDecimal):
        parse_decimal(text)


@pytest.mark.parametrize("text", ["0", "-0", "1", "-1.5", "0.000000000000000001", LARGEST, "-" + LARGEST, "1.50"])
def test_plain_decimals_are_read(text: str) -> None:
    assert parse_decimal(text) == Decimal(text)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("1E+3", "1000"),
        ("1E-18", "0.000000000000000001"),
        ("100", "100"),
        ("1.500", "1.5"),
        ("-0.0", "0"),
        ("0E-8", "0"),
    ],
)
def test_plain_has_no_exponent_and_no_trailing_zeros(value: str, text: str) -> None:
    assert plain(Decimal(value)) == text
    assert plain_or_none(None) is None


@given(AMOUNTS, st.integers(1, 7).map(lambda n: Decimal(1).scaleb(-n)))
def test_rounding_goes_the_way_it_says_and_less_than_one_step(amount: Decimal, quantum: Decimal) -> None:
    down, up = round_down(amount, quantum), round_up(amount, quantum)
    assert abs(down) <= abs(amount) <= abs(up)
    assert abs(up) - abs(down) in {Decimal(0), quantum}
    assert (down == up) == (amount % quantum == 0 if abs(amount) < 10**9 else down == amount)


def test_rounding_keeps_all_38_digits() -> None:
    assert round_down(Decimal(LARGEST)) == round_up(Decimal(LARGEST)) == Decimal(LARGEST)
    assert round_up(Decimal(LARGEST + "1")) - round_down(Decimal(LARGEST + "1")) == QUANTUM


def test_sums_of_38_digits_are_exact_in_every_thread() -> None:
    with ThreadPoolExecutor(1) as pool:
        for total in (Decimal(LARGEST) - QUANTUM, pool.submit(lambda: Decimal(LARGEST) - QUANTUM).result()):
            assert str(total) == "99999999999999999999.999999999999999998"


@pytest.mark.parametrize("value", [1.5, 0.0, float("nan"), True, b"1", "1e3", "1_0", " 1", [1]])
def test_the_field_refuses_what_is_not_exact(value: object) -> None:
    with pytest.raises(ValidationError):
        MoneyField().to_python(value)


@pytest.mark.parametrize(("value", "amount"), [(3, Decimal(3)), ("1.5", Decimal("1.5")), (Decimal("2"), Decimal(2))])
def test_the_field_takes_integers_decimals_and_plain_text(value: object, amount: Decimal) -> None:
    assert MoneyField().to_python(value) == amount
    assert MoneyField().to_python(None) is None


@pytest.mark.django_db
@pytest.mark.parametrize("text", ["0.000000000000000001", LARGEST, "123.456", "0"])
def test_the_database_gives_back_every_digit(text: str) -> None:
    row = ReservationFactory(amount=Decimal(text))
    stored = Reservation.objects.get(pk=row.pk).amount
    assert isinstance(stored, Decimal)
    assert stored == Decimal(text)
    assert Reservation.objects.filter(amount=Decimal(text)).count() == 1


@pytest.mark.django_db
@pytest.mark.parametrize(
    "value",
    [
        1.5,
        Decimal("0.0000000000000000001"),
        Decimal("1E20"),
        Decimal("1E50"),
        Decimal("NaN"),
        Decimal("Infinity"),
        10**20,
    ],
)
def test_the_field_stores_nothing_that_its_column_could_not_hold_exactly(value: object) -> None:
    row = ReservationFactory(amount=Decimal(1))
    row.amount = value
    with pytest.raises(ValidationError), transaction.atomic():
        row.save()
    with pytest.raises(ValidationError), transaction.atomic():
        Reservation.objects.filter(pk=row.pk).update(amount=value)
    assert Reservation.objects.get(pk=row.pk).amount == 1


def test_migrations_do_not_repeat_the_fixed_digits() -> None:
    _, path, args, options = MoneyField(null=True).deconstruct()
    assert path == "execution_project.common.money.MoneyField"
    assert (list(args), options) == ([], {"null": True})
