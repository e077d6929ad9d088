"""Keys: the secret is shown once and stored as a hash; whatever is wrong with a key, the answer is the same."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.db import IntegrityError, connection, transaction

from execution_project.common import clock
from execution_project.common.api_keys import InvalidApiKey, authenticate, create_api_key
from execution_project.common.models import ApiKey, Event
from tests.factories import BY

pytestmark = pytest.mark.django_db


def test_a_new_key_authenticates_and_only_the_hash_of_its_secret_is_stored() -> None:
    key, text = create_api_key("desk", ["read", "trade"], by=BY, accounts=["main"])
    assert authenticate(text) == key
    _, identity, secret = text.split("_")
    stored = ApiKey.objects.get()
    assert (stored.id, stored.scopes, stored.accounts) == (identity, ["read", "trade"], ["main"])
    assert stored.secret_hash == hashlib.sha256(secret.encode()).hexdigest()
    with connection.cursor() as cursor:
        for table in ("common_apikey", "common_event"):
            cursor.execute(f"SELECT string_agg(t::text, ' ') FROM {table} t")
            assert secret not in cursor.fetchone()[0]
    assert Event.objects.get().kind == "api_key.created"


def test_two_keys_never_share_id_or_secret() -> None:
    texts = [create_api_key(f"key-{n}", ["read"], by=BY)[1] for n in range(20)]
    assert len({part for text in texts for part in text.split("_")[1:]}) == 40


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text[:-1] + ("0" if text[-1] != "0" else "1"),
        lambda text: text + "0",
        lambda text: text.rsplit("_", 1)[0] + "_",
        lambda text: text.replace("exk_", "key_"),
        lambda text: text.upper(),
        lambda text: text + "_x",
        lambda text: "exk_000000000000_" + text.rsplit("_", 1)[1],
        lambda text: "",
        lambda text: "exk__",
    ],
)
def test_a_text_that_is_not_the_key_proves_nothing(spoil: Callable[[str], str]) -> None:
    _, text = create_api_key("desk", ["read"], by=BY)
    with pytest.raises(InvalidApiKey):
        authenticate(spoil(text))
    authenticate(text)


def test_the_secret_of_one_key_does_not_open_another() -> None:
    (_, one), (_, other) = (create_api_key(name, ["read"], by=BY) for name in ("one", "other"))
    with pytest.raises(InvalidApiKey):
        authenticate("_".join([*one.split("_")[:2], other.split("_")[2]]))


def test_a_key_ends_at_its_time_and_at_its_revocation() -> None:
    with clock.using(clock.ManualClock(datetime(2026, 1, 1, tzinfo=UTC))) as manual:
        key, text = create_api_key("desk", ["read"], by=BY, expires_at=clock.now() + timedelta(hours=1))
        manual.advance(timedelta(minutes=59, seconds=59))
        authenticate(text)
        manual.advance(timedelta(seconds=1))
        with pytest.raises(InvalidApiKey):
            authenticate(text)
        ApiKey.objects.update(expires_at=None)
        authenticate(text)
        ApiKey.objects.filter(pk=key.pk).update(revoked_at=clock.now())
        with pytest.raises(InvalidApiKey):
            authenticate(text)


@pytest.mark.parametrize("scopes", [[], ["admin"], ["read", "admin"], ["Read"]])
def test_an_unknown_scope_is_refused_by_function_and_database(scopes: list[str]) -> None:
    with pytest.raises(ValueError, match="Scopes must be"):
        create_api_key("desk", scopes, by=BY)
    create_api_key("desk", ["read"], by=BY)
    with pytest.raises(IntegrityError, match="api_key_scopes_known"), transaction.atomic():
        ApiKey.objects.update(scopes=scopes)


@pytest.mark.django_db
def test_a_key_that_would_have_expired_already_is_not_made() -> None:
    with pytest.raises(ValueError, match="expired already"):
        create_api_key("late", ["read"], by=BY, expires_at=clock.now())
    assert not ApiKey.objects.exists()
