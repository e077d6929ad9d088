"""Simulator accounts: credentials, exact balances, fee rates. Amounts are in units of the asset, 8 decimals."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import ROUND_DOWN, ROUND_UP, Decimal

ZERO = Decimal(0)
UNIT = Decimal("0.00000001")
"""Balance and commission precision of every asset."""


def down(amount: Decimal) -> Decimal:
    """Round towards zero to balance precision."""
    return amount.quantize(UNIT, ROUND_DOWN)


def up(amount: Decimal) -> Decimal:
    """Round away from zero to balance precision."""
    return amount.quantize(UNIT, ROUND_UP)


@dataclass(slots=True)
class Balance:
    """What an account holds of one asset: spendable and set aside for open orders."""

    free: Decimal = ZERO
    locked: Decimal = ZERO


@dataclass(slots=True)
class Account:
    """One trading account. Fee rates are fractions of the received amount (0.001 is 10 bps).

    With a `public_key` (PEM or base64) the account signs with that key instead of its secret.
    """

    name: str
    api_key: str
    api_secret: str
    uid: int
    maker_fee: Decimal = Decimal("0.001")
    taker_fee: Decimal = Decimal("0.001")
    bnb_fees: bool = False
    updated: int = 0
    balances: dict[str, Balance] = field(default_factory=dict)
    public_key: str = ""

    def balance(self, asset: str) -> Balance:
        """The balance of `asset`, created empty when new."""
        found = self.balances.get(asset)
        if found is None:
            found = self.balances[asset] = Balance()
        return found
