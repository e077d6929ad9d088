"""The paper exchange's balances of one account, kept in memory for one transaction. The caller holds the account's
row."""

from __future__ import annotations

from decimal import Decimal
from functools import cached_property

from exchanges.models import Account, PaperBalance

ZERO = Decimal(0)


class Wallet:
    """Free and locked amounts by asset."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._touched: set[str] = set()

    @cached_property
    def _rows(self) -> dict[str, PaperBalance]:
        return {row.asset: row for row in PaperBalance.objects.filter(account=self._account)}

    def of(self, asset: str) -> PaperBalance:
        """The asset's row, to be changed through ``move`` alone."""
        row = self._rows.get(asset)
        if row is None:
            row = self._rows[asset] = PaperBalance(account=self._account, asset=asset, free=ZERO, locked=ZERO)
        return row

    def move(self, asset: str, *, free: Decimal = ZERO, locked: Decimal = ZERO) -> None:
        """Add to what is free and to what is locked; negative takes."""
        row = self.of(asset)
        row.free += free
        row.locked += locked
        self._touched.add(asset)

    def held(self) -> list[PaperBalance]:
        """Every balance that is not zero, by asset."""
        rows = sorted(self._rows.values(), key=lambda row: row.asset)
        return [row for row in rows if row.free or row.locked]

    def store(self) -> None:
        """Write what moved."""
        for asset in sorted(self._touched):
            self._rows[asset].save()
        self._touched.clear()
