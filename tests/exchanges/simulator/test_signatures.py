"""The simulator's own signature function against the published vectors (docs/binance.md §1.5)."""

from __future__ import annotations

import pytest

from exchanges.simulator.signatures import payload, sign, verify, without_signature

SECRET = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
TAIL = b"side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559"
WIDE = "symbol=１２３４５６&".encode() + TAIL
ENCODED = b"symbol=%EF%BC%91%EF%BC%92%EF%BC%93%EF%BC%94%EF%BC%95%EF%BC%96&" + TAIL
NEGATIVE = "ca2cdfbf21d2e2958de492c7f2dd1f059dd2ed4d4459d26a5ec7928db50c8d4f"


@pytest.mark.parametrize(
    ("query", "body", "expected"),
    [
        pytest.param(
            b"",
            b"symbol=LTCBTC&" + TAIL,
            "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71",
            id="H1",
        ),
        pytest.param(ENCODED, b"", "e1353ec6b14d888f1164ae9af8228a3dbd508bc82eb867db8ab6046442f33ef3", id="H2"),
        pytest.param(
            b"symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC",
            b"quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559",
            "0fd168b8ddb4876a0358a8d14d0c9f3da0e9b20c5d52b2a00fcf7d1c602f9a77",
            id="H3",
        ),
        pytest.param(
            b"price=0.1&quantity=1&recvWindow=5000&side=BUY&symbol=LTCBTC&timeInForce=GTC"
            b"&timestamp=1499827319559&type=LIMIT",
            b"",
            "70fd30433bc3a2e3b5ff17d075e50538dde3734841da6dc28d79113dd37fa9c7",
            id="H4",
        ),
    ],
)
def test_published_vectors(query: bytes, body: bytes, expected: str) -> None:
    assert sign(SECRET, payload(query, body)) == expected
    assert verify(SECRET, query, body, expected)
    assert verify(SECRET, query, body, expected.upper())
    assert not verify(SECRET, query, body, expected[::-1])


def test_signature_over_unencoded_text_is_refused() -> None:
    assert sign(SECRET, WIDE) == NEGATIVE
    assert not verify(SECRET, ENCODED, b"", NEGATIVE)
    assert not verify(SECRET, WIDE, b"", NEGATIVE)


@pytest.mark.parametrize("raw", [b"signature=x&a=1&b=2", b"a=1&signature=x&b=2", b"a=1&b=2&signature=x"])
def test_signature_pair_is_left_out_wherever_it_sits(raw: bytes) -> None:
    assert without_signature(raw) == b"a=1&b=2"
    assert without_signature(b"a=1&mysignature=x") == b"a=1&mysignature=x"
