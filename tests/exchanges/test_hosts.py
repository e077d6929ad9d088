"""No account of play money reaches a live host, however the host is spelt; database and sender say the same."""

from __future__ import annotations

import itertools

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction

from exchanges.accounts import add_account
from exchanges.connections import WrongHost, adapter_for, refuse_wrong_host
from exchanges.models import Account
from execution_project.common.models import Event
from tests.factories import BY, AccountFactory

LIVE = ["https://api.binance.com", "https://api1.binance.com", "https://api-gcp.binance.com", "https://api.btcturk.com"]
LIVE += [
    "https://api.binance.com:443",
    "https://api.binance.com/",
    "https://binance.com",
    "wss://ws-api.binance.com:443",
]
SANDBOX = ["http://127.0.0.1:8900", "http://localhost:8900", "http://[::1]:8900", "https://testnet.binance.vision"]
SANDBOX += ["https://demo-api.binance.com", "https://testnet.binance.com", "http://simulator:8900/binance"]
SANDBOX += [
    "https://api.binance.com.evil.example",  # not the exchange, and no real money there
    "https://notbinance.com",
    "https://binance.com-api.example",
]
NOBODY = [
    "",
    "api.binance.com",
    "//api.binance.com",
    "http://api.binance.com",
    "ws://ws-api.binance.com",
    "ftp://api.binance.com",
    "HTTPS://api.binance.com",
    "https://API.binance.com",
    "https://api.BINANCE.COM",
    "https://api.binance.com.",
    "https://api.binance.com.:443",
    "https://api.binance.com:",
    "https://api.binance.com?",
    "https://api.binance.com?x=1",
    "https://api.binance.com#x",
    "https://api.binance.com\\@127.0.0.1",
    "https://user@api.binance.com",
    "https://user:pw@api.binance.com",
    "https://127.0.0.1@api.binance.com",
    "https://127.0.0.1:8900@api.binance.com",
    "https://api.binance.com@127.0.0.1",
    "https://127.0.0.1\\@api.binance.com",
    "https://127.0.0.1#@api.binance.com",
    "https:/api.binance.com",
    "https:///api.binance.com",
    "https:\\\\api.binance.com",
    " https://api.binance.com",
    "https://api.binance.com ",
    "https://api.binance.com\n",
    "https://api.binance.com\n.evil.example",
    "\nhttps://api.binance.com",
    "https://api.bin\tance.com",
    "https://api%2ebinance.com",
    "https://api.binance%2ecom",
    "https://api。binance。com",  # dots that IDNA takes for dots
    "https://ａｐｉ.binance.com",  # full-width letters that IDNA maps to plain ones
    "https://api.bınance.com",  # dotless i
    "https://api.BİNANCE.com",
    "http://127.0.0.1:8900\n",
    "http://127.0.0.1:8900?https://api.binance.com",
    "https://demo-api.binance.com@api.binance.com",
    "https://demo-api.binance.com\n",
]
URLS = [*LIVE, *SANDBOX, *NOBODY]


def may_send(mode: str, url: str) -> bool:
    """What the sender decides."""
    try:
        refuse_wrong_host(Account(name="a", exchange="binance", mode=mode, rest_url=url))
    except WrongHost:
        return False
    return True


def may_be_stored(mode: str, url: str) -> bool:
    """What the database decides."""
    try:
        with transaction.atomic():
            AccountFactory(mode=mode, rest_url=url)
    except IntegrityError:
        return False
    return True


@pytest.mark.django_db
@pytest.mark.parametrize(("mode", "url"), list(itertools.product(["live", "sandbox"], URLS)))
def test_invariant_7_mode_and_host_go_together_for_sender_and_database(mode: str, url: str) -> None:
    wanted = url in {"live": LIVE, "sandbox": SANDBOX}[mode]
    assert (may_send(mode, url), may_be_stored(mode, url)) == (wanted, wanted)


@pytest.mark.django_db
@pytest.mark.parametrize("url", URLS)
def test_invariant_7_a_paper_account_has_no_host_at_all(url: str) -> None:
    assert may_send("paper", url) is (url == "")
    assert may_be_stored("paper", url) is (url == "")


@pytest.mark.django_db
@pytest.mark.parametrize("field", ["api_key_sealed", "api_secret_sealed"])
def test_a_paper_account_has_no_credentials(field: str) -> None:
    with pytest.raises(IntegrityError, match="account_paper_has_no_host_or_key"), transaction.atomic():
        AccountFactory(mode="paper", rest_url="", **{field: b"x"})


def test_the_sender_refuses_before_it_reads_credentials() -> None:
    with pytest.raises(WrongHost, match="sandbox account"):
        adapter_for(Account(pk=1, name="a", exchange="binance", mode="sandbox", rest_url=LIVE[0]))


@pytest.mark.django_db
def test_a_new_account_is_checked_sealed_and_recorded() -> None:
    with pytest.raises(WrongHost):
        add_account("main", exchange="binance", mode="sandbox", rest_url=LIVE[0], key="k", secret="s", by=BY)
    assert not Account.objects.exists()
    key = "a-long-enough-key"
    add_account("main", exchange="binance", mode="sandbox", rest_url=SANDBOX[0] + "/", key=key, secret="s", by=BY)
    account = Account.objects.get()
    assert (account.rest_url, account.api_key_tail) == (SANDBOX[0], "-key")
    assert b"a-key" not in bytes(account.api_key_sealed)
    add_account("paper", exchange="binance", mode="paper", by=BY)
    assert [event.subject_id for event in Event.objects.order_by("at")] == ["main", "paper"]


@pytest.mark.django_db
@pytest.mark.parametrize(
    "change", ["mode = 'live', rest_url = 'https://api.binance.com'", "mode = 'paper'", "exchange = 'btcturk'"]
)
def test_mode_and_exchange_of_an_account_are_final(change: str) -> None:
    AccountFactory()
    with pytest.raises(DatabaseError, match="are final"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"UPDATE exchanges_account SET {change}")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE exchanges_account SET mode = mode, rest_url = 'http://127.0.0.1:1'")
        assert cursor.rowcount == 1


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("field", "constraint"), [("exchange", "account_exchange_known"), ("mode", "account_mode_known")]
)
def test_an_unknown_exchange_or_mode_is_refused(field: str, constraint: str) -> None:
    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        AccountFactory(**{field: "other"})
