"""Commands that make accounts and keys: credentials come from the environment, and are never shown."""

from __future__ import annotations

import base64
import getpass
import sys
from typing import Any

import pytest

from exchanges.credentials import credentials_of, is_sealed_under_first_key
from exchanges.models import Account
from execution_project.common.api_keys import authenticate
from execution_project.common.models import ApiKey, Event, Strategy
from tests.commands import Ran, row_counts, run
from tests.factories import AccountFactory

KEY, SECRET = "exchange-key-0123456789", base64.b64encode(b"exchange-secret-0123456789").decode()
NEW_KEY, NEW_SECRET = "another-key-0123456789", base64.b64encode(b"another-secret-012345678").decode()
LOCAL = ("--rest-url", "http://127.0.0.1:9")


@pytest.fixture(autouse=True)
def _credentials(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"X_KEY": KEY, "X_SECRET": SECRET, "Y_KEY": NEW_KEY, "Y_SECRET": NEW_SECRET}.items():
        monkeypatch.setenv(name, value)


def add(name: str, *arguments: str, exchange: str = "binance", mode: str = "sandbox") -> Ran:
    given = () if mode == "paper" else ("--key-env", "X_KEY", "--secret-env", "X_SECRET")
    return run("add_account", name, "--exchange", exchange, "--mode", mode, *given, *arguments)


@pytest.mark.parametrize(
    ("exchange", "mode", "rest_url", "ws_url"),
    [
        ("binance", "live", "https://api.binance.com", "wss://ws-api.binance.com:443/ws-api/v3"),
        ("binance", "sandbox", "https://testnet.binance.vision", "wss://ws-api.testnet.binance.vision/ws-api/v3"),
        ("btcturk", "live", "https://api.btcturk.com", "wss://ws-feed-pro.btcturk.com"),
        ("btcturk", "paper", "", ""),
    ],
)
def test_an_account_gets_its_exchanges_own_urls(exchange: str, mode: str, rest_url: str, ws_url: str) -> None:
    document = add("main", "--json", exchange=exchange, mode=mode).document
    account = Account.objects.get()
    assert (account.rest_url, account.ws_url) == (document["rest_url"], document["ws_url"]) == (rest_url, ws_url)
    assert document["api_key_tail"] == account.api_key_tail == ("" if mode == "paper" else KEY[-4:])
    if mode != "paper":
        assert credentials_of(account).secret == SECRET


def test_a_host_of_ones_own_takes_no_stream_of_the_exchanges() -> None:
    assert add("main", *LOCAL, "--json").document["ws_url"] == ""


def test_an_account_that_cannot_be_is_refused_in_words_and_stores_nothing() -> None:
    AccountFactory(name="taken")
    before = row_counts()
    for ran, words in [
        (add("taken", *LOCAL), "There is an account taken already"),
        (add("no blanks", *LOCAL), "no blanks"),
        (add("main", *LOCAL, mode="live"), "live account and may not reach"),
        (add("main", "--rest-url", "https://api.binance.com"), "may not reach"),
        (add("main", exchange="btcturk"), "no sandbox host of its own: give --rest-url"),
        (add("main", *LOCAL, mode="paper"), "A paper account has no host"),
        (add("main", *LOCAL, "--key-env", "NOT_SET"), "NOT_SET is not set or empty"),
    ]:
        assert ran.code == 1
        assert words in ran.err
    assert row_counts() == before


def test_credentials_are_typed_at_a_prompt_where_there_is_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ("add_account", "main", "--exchange", "binance", "--mode", "sandbox", *LOCAL)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)
    assert run(*arguments).code == 2
    typed = iter([KEY, SECRET])
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(getpass, "getpass", lambda prompt: next(typed))
    assert run(*arguments).code == 0
    assert credentials_of(Account.objects.get()).key == KEY


def test_secrets_reach_neither_output_nor_events() -> None:
    said = [add("main", *LOCAL), add("other", *LOCAL, "--json"), add("third", *LOCAL, "--dry-run")]
    said.append(run("rotate_credentials", "main", "--key-env", "Y_KEY", "--secret-env", "Y_SECRET", "--json"))
    said.append(run("rotate_credentials", "main", "--key-env", "Y_KEY", "--secret-env", "X_KEY", "--dry-run"))
    text = "".join(ran.out + ran.err for ran in said) + str(list(Event.objects.values()))
    assert len(text) > 500
    for secret in (KEY, SECRET, NEW_KEY, NEW_SECRET):
        assert secret not in text


def test_credentials_are_rotated_and_only_then() -> None:
    add("main", *LOCAL)
    new = ("--key-env", "Y_KEY", "--secret-env", "Y_SECRET")
    assert "Would replace" in run("rotate_credentials", "main", *new, "--dry-run").out
    assert credentials_of(Account.objects.get()).key == KEY
    assert run("rotate_credentials", "main", *new).code == 0
    assert credentials_of(Account.objects.get()).secret == NEW_SECRET
    assert Event.objects.filter(kind="account.credentials_replaced").count() == 1
    assert run("rotate_credentials").code == 2
    unknown = run("rotate_credentials", "nobody", *new)
    assert (unknown.code, unknown.err) == (1, "There is no account 'nobody'. Accounts: main.")


def test_everything_is_sealed_again_under_the_first_key(settings: Any) -> None:
    add("one", *LOCAL)
    add("two", *LOCAL)
    add("paper", mode="paper")
    old = settings.EXEC_ENCRYPTION_KEYS
    settings.EXEC_ENCRYPTION_KEYS = ["new:" + base64.b64encode(b"n" * 32).decode(), *old]
    assert run("rotate_credentials", "--reseal", "--dry-run", "--json").documents[0]["resealed"] is True
    assert not any(is_sealed_under_first_key(account) for account in Account.objects.exclude(mode="paper"))
    ran = run("rotate_credentials", "--reseal", "--progress")
    assert (ran.code, ran.out) == (0, "one: sealed again.\ntwo: sealed again.\n")
    assert ran.err.splitlines() == ["1/2 accounts", "2/2 accounts"]
    assert "already" in run("rotate_credentials", "--reseal", "one").out
    settings.EXEC_ENCRYPTION_KEYS = settings.EXEC_ENCRYPTION_KEYS[:1]
    assert {credentials_of(account).secret for account in Account.objects.exclude(mode="paper")} == {SECRET}


def test_one_account_that_does_not_open_keeps_no_other_from_being_sealed_again(settings: Any) -> None:
    add("one", *LOCAL)
    add("two", *LOCAL)
    Account.objects.filter(name="one").update(api_secret_sealed=b"gone:nonsense")
    settings.EXEC_ENCRYPTION_KEYS = ["new:" + base64.b64encode(b"n" * 32).decode(), *settings.EXEC_ENCRYPTION_KEYS]
    ran = run("rotate_credentials", "--reseal", "--json")
    assert ran.code == 3
    assert [(row["account"], row["ok"]) for row in ran.documents] == [("one", False), ("two", True)]


def test_an_api_key_is_shown_once_and_works() -> None:
    Strategy.objects.create(name="trend")
    AccountFactory(name="main")
    options = ("--scope", "read", "--scope", "trade", "--account", "main", "--strategy", "trend", "--rate", 7)
    more = ("--network", "10.0.0.0/8", "--expires", "2099-01-31T00:00:00Z", "--owner", "desk")
    document = run("create_api_key", "client", *options, *more, "--json").document
    key = ApiKey.objects.get()
    assert document["api_key"].startswith(f"exk_{key.id}_")
    assert (key.scopes, key.accounts, key.strategies, key.networks) == (
        ["read", "trade"],
        ["main"],
        ["trend"],
        ["10.0.0.0/8"],
    )
    assert (key.requests_per_second, key.owner, key.expires_at.isoformat()) == (7, "desk", "2099-01-31T00:00:00+00:00")
    plain = run("create_api_key", "second", "--scope", "operate")
    assert authenticate(plain.out.strip()).name == "second"
    assert "cannot be shown again" in plain.err
    assert plain.out.strip().rpartition("_")[2] not in str(list(Event.objects.values()))


def test_a_key_for_what_there_is_not_is_refused() -> None:
    before = row_counts()
    for arguments, code, words in [
        (("--scope", "read", "--account", "nobody"), 1, "There is no account 'nobody'. Accounts: none yet."),
        (("--scope", "read", "--strategy", "none"), 1, "register it with add_strategy"),
        (("--scope", "read", "--network", "10.0.0.0/99"), 1, "10.0.0.0/99"),
        (("--scope", "read", "--owner", "x" * 1000), 1, "does not fit"),
    ]:
        ran = run("create_api_key", "client", *arguments)
        assert ran.code == code
        assert words in ran.err
    assert run("create_api_key", "client", "--scope", "read", "--dry-run", "--json").document["api_key"] is None
    assert row_counts() == before
