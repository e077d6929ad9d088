"""Credentials open only where they were sealed, under a key that is configured, and show no more than a tail."""

from __future__ import annotations

import base64
import os
from typing import Any

import pytest

from exchanges.credentials import CredentialsUnreadable, credentials_of, seal, seal_into
from exchanges.models import Account

KEY, SECRET = "the-whole-api-key-ABCD", "the-whole-secret"


def new_key(name: str) -> str:
    return f"{name}:{base64.b64encode(os.urandom(32)).decode()}"


def account(name: str = "main") -> Account:
    made = Account(name=name)
    seal_into(made, KEY, SECRET)
    return made


def test_what_was_sealed_opens_again() -> None:
    opened = credentials_of(account())
    assert (opened.key, opened.secret) == (KEY, SECRET)


def test_neither_row_nor_repr_shows_more_than_a_tail() -> None:
    row = account()
    assert row.api_key_tail == "ABCD"
    for sealed in (row.api_key_sealed, row.api_secret_sealed):
        assert KEY.encode() not in sealed
        assert SECRET.encode() not in sealed
    assert repr(credentials_of(row)) == str(credentials_of(row)) == "Credentials(…ABCD)"


def test_the_same_text_is_never_sealed_twice_alike() -> None:
    assert len({seal("main", "key", KEY) for _ in range(50)}) == 50


def test_sealed_text_of_another_account_or_field_does_not_open() -> None:
    one, other = account("one"), account("other")
    one.api_secret_sealed = other.api_secret_sealed
    with pytest.raises(CredentialsUnreadable):
        credentials_of(one)
    swapped = account()
    swapped.api_key_sealed, swapped.api_secret_sealed = swapped.api_secret_sealed, swapped.api_key_sealed
    with pytest.raises(CredentialsUnreadable):
        credentials_of(swapped)
    renamed = account()
    renamed.name = "renamed"
    with pytest.raises(CredentialsUnreadable):
        credentials_of(renamed)


def test_text_that_was_changed_cut_or_never_sealed_does_not_open() -> None:
    whole = account().api_secret_sealed
    spoilt = [whole[:cut] for cut in range(0, len(whole), 5)] + [whole + b"x", b"garbage", b":", b"\xff:\xff"]
    spoilt += [whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in range(len(whole))]
    for text in spoilt:
        row = account()
        row.api_secret_sealed = text
        with pytest.raises(CredentialsUnreadable) as caught:
            credentials_of(row)
        assert SECRET not in str(caught.value)


def test_keys_rotate(settings: Any) -> None:
    old, new = new_key("k1"), new_key("k2")
    settings.EXEC_ENCRYPTION_KEYS = [old]
    row = account()
    settings.EXEC_ENCRYPTION_KEYS = [new, old]
    assert credentials_of(row).secret == SECRET
    fresh = account()
    assert bytes(fresh.api_secret_sealed).startswith(b"k2:"), "the first key seals"
    settings.EXEC_ENCRYPTION_KEYS = [new]
    assert credentials_of(fresh).secret == SECRET
    with pytest.raises(CredentialsUnreadable, match="not configured"):
        credentials_of(row)


def test_another_key_under_the_same_name_does_not_open(settings: Any) -> None:
    settings.EXEC_ENCRYPTION_KEYS = [new_key("k1")]
    row = account()
    settings.EXEC_ENCRYPTION_KEYS = [new_key("k1")]
    with pytest.raises(CredentialsUnreadable):
        credentials_of(row)


@pytest.mark.parametrize("keys", [[], ["k1:c2hvcnQ="], ["k1:"], ["k1"], ["k1:not base64!"]])
def test_a_key_list_that_cannot_be_used_is_said_so(keys: list[str], settings: Any) -> None:
    row = account()
    settings.EXEC_ENCRYPTION_KEYS = keys
    with pytest.raises(CredentialsUnreadable):
        credentials_of(row)
    with pytest.raises(CredentialsUnreadable):
        seal("main", "key", KEY)
