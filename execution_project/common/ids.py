"""Identity: time-ordered order ids and client order ids that no restore and no second installation can repeat."""

from __future__ import annotations

import os
import re
import secrets
from datetime import datetime
from uuid import UUID

from execution_project.common import clock

CLIENT_ORDER_ID_LENGTH = 36
_ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789"
_CLIENT_ORDER_ID = re.compile(r"([A-Za-z0-9]{2})([0-9a-f]{32})([0-9A-Z]{2})")
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
MAX_GENERATION = 36 * 36 - 1


def uuid7() -> UUID:
    """A UUID version 7 (RFC 9562): 48 bits of ms since the epoch, then random bits; sorts by time of creation."""
    milliseconds = clock.now_ms() & ((1 << 48) - 1)
    tail = int.from_bytes(os.urandom(10), "big")
    value = milliseconds << 80 | 0x7 << 76 | (tail >> 68 & 0xFFF) << 64 | 0b10 << 62 | (tail & ((1 << 62) - 1))
    return UUID(int=value)


def first_uuid7_of(at: datetime) -> UUID:
    """The smallest time-ordered id of a moment; what was made earlier is smaller."""
    return UUID(int=max(0, clock.to_ms(at)) << 80)


def new_installation_prefix() -> str:
    """Two characters that mark the client order ids of one installation."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(2))


def client_order_id(prefix: str, order_id: UUID, generation: int) -> str:
    """Prefix (2) + order id (32 hex) + generation (2, base 36): 36 characters, valid on both exchanges.

    Raises ``ValueError`` beyond generation 1295.
    """
    if not 0 <= generation <= MAX_GENERATION:
        raise ValueError(f"Generation {generation} is outside 0..{MAX_GENERATION}.")
    return f"{prefix}{order_id.hex}{_DIGITS[generation // 36]}{_DIGITS[generation % 36]}"


def read_client_order_id(text: str) -> tuple[str, UUID, int] | None:
    """Prefix, order id and generation of a client order id of ours, or None for anybody else's."""
    match = _CLIENT_ORDER_ID.fullmatch(text)
    if match is None:
        return None
    tail = match.group(3)
    return match.group(1), UUID(hex=match.group(2)), _DIGITS.index(tail[0]) * 36 + _DIGITS.index(tail[1])
