"""Invariant 11: secrets never reach logs, attempts, API answers, admin pages or error messages."""

from __future__ import annotations

import logging

import pytest
from django.apps import apps
from django.contrib.auth import get_user_model
from django.db import connection
from django.test import Client
from django.urls import NoReverseMatch, reverse

from exchanges.credentials import CredentialsUnreadable, credentials_of
from orders.models import Attempt
from tests.engines import Engine, drain

pytestmark = pytest.mark.e2e


def busy_hour(engine: Engine) -> list[str]:
    """Orders that go well and orders that fail in every way; the bodies of all API answers."""
    answers = []
    for fault in (
        None,
        {"kind": "drop_after"},
        {"kind": "reject"},
        {"kind": "status", "status": 400, "code": -1022, "msg": "Signature for this request is not valid."},
    ):
        if fault is not None:
            engine.simulator.fault(**fault)
        status, document = engine.place(quantity="0.001")
        drain()
        answers += [f"{status} {document}", str(engine.order(document["id"]))]
    engine.api_key += "x"
    answers.append(str(engine.place(quantity="0.001")))
    engine.api_key = engine.api_key[:-1]
    return answers


def everything_stored() -> str:
    """The text of every row of every table, but the two sealed columns' own bytes stay what they are: sealed."""
    parts = []
    with connection.cursor() as cursor:
        for model in (model for model in apps.get_models() if model._meta.managed):
            cursor.execute(f"SELECT t::text FROM {connection.ops.quote_name(model._meta.db_table)} t")
            parts += [row[0] for row in cursor.fetchall()]
    return "\n".join(parts)


def admin_pages() -> str:
    """Every list and every first row's page of the admin, as the superuser sees them."""
    user = get_user_model().objects.create_superuser("root")
    client = Client()
    client.force_login(user)
    text = client.get("/admin/").content.decode()
    for model in apps.get_models():
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        try:
            listing = client.get(reverse(f"{name}_changelist"))
        except NoReverseMatch:
            continue
        assert listing.status_code == 200, name
        text += listing.content.decode()
        first = model._default_manager.first()
        if first is not None:
            page = client.get(reverse(f"{name}_change", args=[first.pk]))
            assert page.status_code == 200, name
            text += page.content.decode()
    return text


def test_invariant_11_secrets_are_nowhere_to_be_read(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    secret = credentials_of(engine.account)
    with caplog.at_level(logging.DEBUG), caplog.at_level(logging.DEBUG, logger="urllib3"):
        answers = busy_hour(engine)
    assert Attempt.objects.count() >= 3
    places = {
        "API answers": "\n".join(answers),
        "the database": everything_stored(),
        "the admin": admin_pages(),
        "the log": caplog.text,
    }
    for place, text in places.items():
        assert len(text) > 100, f"{place} was not read"
        for name, value in {
            "exchange secret": secret.secret,
            "exchange key": secret.key,
            "API key": engine.api_key,
            "secret part of the API key": engine.api_key.rsplit("_", 1)[1],
        }.items():
            assert value not in text, f"{name} in {place}"
            assert value.encode().hex() not in text, f"{name} in {place}, as bytes"
    for attempt in Attempt.objects.all():
        assert "signature" not in str(attempt.request)


def test_invariant_11_errors_about_secrets_do_not_quote_them(engine: Engine) -> None:
    secret = credentials_of(engine.account).secret
    engine.account.name = "moved"
    with pytest.raises(CredentialsUnreadable) as caught:
        credentials_of(engine.account)
    assert secret not in str(caught.value)
    assert secret not in repr(caught.value.__context__)
