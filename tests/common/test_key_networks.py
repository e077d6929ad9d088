"""Keys that may be used from some addresses only, and which address a request comes from."""

from __future__ import annotations

import pytest
from django.conf import LazySettings
from django.test import Client

from execution_project.common.models import ApiKeyUse
from tests.factories import api_key

pytestmark = pytest.mark.django_db


def status_of(key: str, address: str = "192.0.2.1", passed: str | None = None) -> int:
    """The answer's status to a request from an address, with what X-Forwarded-For says."""
    headers = {"Authorization": f"Bearer {key}"} | ({} if passed is None else {"X-Forwarded-For": passed})
    answer = Client().get("/api/exec/fills", headers=headers, REMOTE_ADDR=address)
    if answer.status_code == 401:
        assert answer.json()["code"] == "INVALID_API_KEY"
        assert answer.json()["detail"] == "The API key is not valid.", "the client is told nothing more"
    return answer.status_code


@pytest.mark.parametrize(
    ("networks", "address", "status"),
    [
        (None, "192.0.2.1", 200),
        ([], "192.0.2.1", 401),
        (["192.0.2.1"], "192.0.2.1", 200),
        (["192.0.2.1"], "192.0.2.2", 401),
        (["10.0.0.0/8", "192.0.2.0/24"], "192.0.2.255", 200),
        (["10.0.0.0/8", "192.0.2.0/24"], "192.0.3.0", 401),
        (["2001:db8::/32"], "2001:db8:1::1", 200),
        (["2001:db8::/32"], "2001:db9::1", 401),
        (["192.0.2.0/24"], "::ffff:192.0.2.7", 200),
        (["192.0.2.0/24"], "", 401),
        (["0.0.0.0/0"], "2001:db8::1", 401),
    ],
)
def test_a_key_works_from_its_networks_alone(networks: list[str] | None, address: str, status: int) -> None:
    assert status_of(api_key(networks=networks), address) == status


def test_without_trusted_proxies_the_header_is_only_the_clients_word() -> None:
    key = api_key(networks=["10.0.0.0/8"])
    assert status_of(key, "192.0.2.1", passed="10.0.0.1") == 401
    assert status_of(key, "10.0.0.1", passed="192.0.2.1") == 200
    assert ApiKeyUse.objects.get().last_used_from == "10.0.0.1"


@pytest.mark.parametrize(
    ("proxies", "passed", "status"),
    [
        (1, "10.0.0.1", 200),
        (1, "192.0.2.1, 10.0.0.1", 200),
        (1, "10.0.0.1, 192.0.2.1", 401),
        (2, "10.0.0.1, 192.0.2.1", 200),
        (2, "10.9.9.9, 10.0.0.1, 192.0.2.1", 200),
        (2, "10.9.9.9, 192.0.2.1, 10.0.0.1", 401),
        (2, "10.0.0.1", 401),
        (1, None, 401),
        (1, "", 401),
        (1, "nonsense", 401),
    ],
)
def test_behind_proxies_the_outermost_ones_word_counts(
    settings: LazySettings, proxies: int, passed: str | None, status: int
) -> None:
    settings.EXEC_TRUSTED_PROXIES = proxies
    assert status_of(api_key(networks=["10.0.0.0/8"]), "10.0.0.9", passed) == status


def test_a_key_without_networks_works_also_where_the_address_is_not_known(settings: LazySettings) -> None:
    settings.EXEC_TRUSTED_PROXIES = 1
    assert status_of(api_key()) == 200
    assert ApiKeyUse.objects.get().last_used_from is None


def test_a_network_that_is_none_is_refused_when_the_key_is_made() -> None:
    with pytest.raises(ValueError, match="does not appear to be an IPv4 or IPv6 network"):
        api_key("read", networks=["10.0.0.0/33"])
