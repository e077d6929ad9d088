"""Cost, profit and currency effect by hand: every number here can be worked out on paper, and is, beside it."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from execution_project.common.models import Event
from positions.models import BookedRate, Fill, Holding, LedgerEntry, PendingRate, Position, RealisedPnl
from positions.rates import give_rates, look_again
from tests.factories import BY, AccountFactory, StrategyFactory
from tests.positions.books import after, book, held, mark, pair, posted, suspense, text, trade

pytestmark = pytest.mark.django_db
D = Decimal


def test_a_fee_in_base_leaves_less_at_the_whole_cost() -> None:
    account = AccountFactory()
    posted(account, "deposit", "USDT", "1000")
    book(account, pair("BTC"), trade(1, "BUY", "1", "100", "0.001 BTC"))
    # 100 paid for 0.999: 100 / 0.999 = 100.1001…
    assert held(account, "BTC") == ("0.999", "100", "100.1001001001001001", "0")
    book(account, pair("BTC"), trade(2, "SELL", "0.999", "100"))
    # received 99.9 for what cost 100: the fee is the loss
    assert held(account, "BTC") == ("0", "0", "-", "-0.1")
    assert held(account, "USDT") == ("999.9", "999.9", "1", "0")


def test_a_fee_in_bnb_goes_into_the_cost_and_disposes_of_bnb() -> None:
    account = AccountFactory()
    posted(account, "deposit", "USDT", "1000")
    posted(account, "deposit", "BNB", "2", value=D(1000))  # 500 each
    mark("BNB", "600")
    book(account, pair("BTC"), trade(1, "BUY", "1", "100", "0.01 BNB"))
    # the fee is worth 0.01 × 600 = 6; the BNB for it cost 0.01 × 500 = 5, so 1 is won on BNB
    assert held(account, "BTC") == ("1", "106", "106", "0")
    assert held(account, "BNB") == ("1.99", "995", "500", "1")
    book(account, pair("BTC"), trade(2, "SELL", "1", "120", "0.01 BNB"))
    # 120 less a fee of 6 for what cost 106
    assert held(account, "BTC") == ("0", "0", "-", "8")
    assert held(account, "BNB") == ("1.98", "990", "500", "2")
    # in all: 120 − 100 − 2 × 5 of BNB at its cost = 10
    assert text(sum((row.realised_pnl for row in Holding.objects.all()), D(0))) == "10"


def test_bnb_bought_with_a_fee_in_bnb_is_a_fee_in_base() -> None:
    account = AccountFactory()
    posted(account, "deposit", "USDT", "1000")
    book(account, pair("BNB"), trade(1, "BUY", "2", "300", "0.0015 BNB"))
    assert held(account, "BNB")[:2] == ("1.9985", "600")
    assert not BookedRate.objects.exists(), "no rate is needed: the quote is the currency, the fee is the base"


def test_fee_and_tax_of_btcturk_both_come_out_of_the_proceeds() -> None:
    account = AccountFactory()
    mark("TRY", "0.03")
    posted(account, "deposit", "BTC", "1", value=D(60000))
    book(account, pair("BTC", "TRY"), trade(1, "SELL", "1", "2100000", "2100 TRY", "378 TRY tax"))
    # 2,100,000 − 2,100 − 378 = 2,097,522 TRY, at 0.03 = 62,925.66; the coin cost 60,000
    assert held(account, "TRY") == ("2097522", "62925.66", "0.03", "0")
    assert held(account, "BTC") == ("0", "0", "-", "2925.66")
    booked = {(row.book, row.amount) for row in LedgerEntry.objects.filter(asset="TRY", amount__gt=0)}
    assert {("fees", D(2100)), ("tax", D(378))} <= booked


def test_bought_for_try_and_sold_for_usdt_with_a_fee_in_bnb() -> None:
    account = AccountFactory()
    mark("TRY", "0.03")
    mark("BNB", "600")
    posted(account, "deposit", "TRY", "2000000", value=D(56000))  # 0.028 each
    posted(account, "deposit", "BNB", "1", value=D(600))
    book(account, pair("BTC", "TRY"), trade(1, "BUY", "1", "2000000"))
    # 2,000,000 TRY are worth 60,000 now and cost 56,000: 4,000 is the currency's doing
    assert held(account, "BTC") == ("1", "60000", "60000", "0")
    assert held(account, "TRY") == ("0", "0", "-", "4000")
    book(account, pair("BTC"), trade(2, "SELL", "1", "61000", "0.1 BNB"))
    # 61,000 less 0.1 × 600 = 60,940 for what cost 60,000
    assert held(account, "BTC") == ("0", "0", "-", "940")
    assert held(account, "USDT")[:2] == ("61000", "61000")
    effects = {row.asset: text(row.currency_effect) for row in RealisedPnl.objects.exclude(currency_effect=0)}
    assert effects == {"TRY": "4000"}
    assert text(Holding.objects.get(asset="TRY").currency_effect) == "4000"
    # the trader's view: one long position in TRY, one short in USDT, and the fee in USDT
    views = {row.instrument.symbol: (row.net_quantity, text(row.fees_valued)) for row in Position.objects.all()}
    assert views == {"BTCTRY": (1, "0"), "BTCUSDT": (-1, "60")}


def test_paying_with_btc_disposes_of_btc() -> None:
    account = AccountFactory()
    posted(account, "deposit", "BTC", "2", value=D(100000))  # 50,000 each
    mark("BTC", "60000")
    book(account, pair("ETH", "BTC"), trade(1, "BUY", "10", "0.05"))
    # 0.5 BTC given, worth 30,000, cost 25,000
    assert held(account, "ETH") == ("10", "30000", "3000", "0")
    assert held(account, "BTC") == ("1.5", "75000", "50000", "5000")
    assert not RealisedPnl.objects.exclude(currency_effect=0).exists(), "a coin's profit is no currency effect"


def test_try_and_usdt_together_cost_each_at_its_own_rate_of_the_day() -> None:
    account = AccountFactory()
    mark("TRY", "0.03")
    mark("TRY", "0.025", 3600)
    posted(account, "deposit", "USDT", "100000")
    posted(account, "deposit", "TRY", "4000000")  # at its mark: 120,000
    book(account, pair("BTC"), trade(1, "BUY", "1", "60000"))
    book(account, pair("BTC", "TRY"), trade(2, "BUY", "1", "2000000"))
    # 60,000 and 2,000,000 × 0.03 = 60,000
    assert held(account, "BTC") == ("2", "120000", "60000", "0")
    book(account, pair("BTC", "TRY"), trade(3, "SELL", "1", "2600000", traded_at=after(3700)))
    # 2,600,000 × 0.025 = 65,000: 5,000 won in USDT, though 600,000 TRY × 0.025 = 15,000 by price alone
    assert held(account, "BTC") == ("1", "60000", "60000", "5000")
    # 2,000,000 TRY at 0.03 and 2,600,000 at 0.025
    assert held(account, "TRY")[:2] == ("4600000", "125000")


def test_buying_the_currency_itself_costs_what_it_is() -> None:
    account = AccountFactory()
    posted(account, "deposit", "TRY", "3500", value=D(105))
    book(account, pair("USDT", "TRY"), trade(1, "BUY", "100", "35"))
    # no mark is needed: 3,500 TRY brought 100 USDT and cost 105
    assert held(account, "USDT") == ("100", "100", "1", "0")
    assert held(account, "TRY") == ("0", "0", "-", "-5")


def test_closed_and_opened_again_knows_nothing_of_before() -> None:
    account = AccountFactory()
    posted(account, "deposit", "USDT", "1000")
    btc = pair("BTC")
    book(account, btc, trade(1, "BUY", "3", "33.333333333333333333"), trade(2, "SELL", "1", "50"))
    book(account, btc, trade(3, "SELL", "2", "50"))
    assert held(account, "BTC")[:3] == ("0", "0", "-")
    book(account, btc, trade(4, "BUY", "1", "500"))
    assert held(account, "BTC")[:3] == ("1", "500", "500")


def test_what_is_sold_beyond_everything_held_goes_to_suspense_and_no_profit() -> None:
    account = AccountFactory()
    posted(account, "deposit", "BTC", "1", value=D(100))
    book(account, pair("BTC"), trade(1, "SELL", "3", "200"))
    # one of three for 200 that cost 100; two for 400 that nobody had
    assert held(account, "BTC") == ("0", "0", "-", "100")
    assert suspense(account, "BTC") == ("-2", "-400")
    event = Event.objects.get(kind="holding.oversold")
    assert event.evidence["in_suspense"] == "2"
    assert Event.objects.get(kind="suspense.limit_exceeded").evidence["value"] == "400"
    book(account, pair("BTC"), trade(2, "BUY", "5", "150"))
    assert suspense(account, "BTC") == ("-2", "-400"), "a later purchase explains nothing"
    posted(account, "deposit", "BTC", "2", seconds=3, value=D(360))
    # the missing two came in at 180 each: 400 − 360
    assert suspense(account, "BTC") == ("0", "0")
    assert held(account, "BTC") == ("5", "750", "150", "140")


def test_a_strategy_sells_what_it_and_unallocated_hold_and_borrows_the_rest() -> None:
    account, alpha, beta = AccountFactory(), StrategyFactory(), StrategyFactory()
    btc = pair("BTC")
    posted(account, "deposit", "BTC", "1", value=D(100))
    posted(account, "deposit", "USDT", "1000")
    book(account, btc, trade(1, "BUY", "1", "110"), strategy=alpha)
    book(account, btc, trade(2, "BUY", "2", "120"), strategy=beta)
    book(account, btc, trade(3, "SELL", "2.5", "200"), strategy=alpha)
    # own 1 at 110 and unallocated 1 at 100 sold for 400: 190; half a coin of beta's is borrowed
    assert held(account, "BTC", alpha) == ("-0.5", "-100", "200", "190")
    assert held(account, "BTC") == ("0", "0", "-", "0")
    assert held(account, "BTC", beta)[:2] == ("2", "240")
    taken = account.allocation_set.get(asset="BTC")
    assert (taken.strategy, text(taken.quantity), text(taken.cost)) == (alpha, "1", "100")
    book(account, btc, trade(4, "BUY", "1", "180"), strategy=alpha)
    # half of it at 90 gives back what brought 100
    assert held(account, "BTC", alpha) == ("0.5", "90", "180", "200")
    assert not Holding.objects.filter(in_suspense=True).exists()


def test_a_late_fill_restates_cost_and_profit_and_says_so() -> None:
    account = AccountFactory()
    posted(account, "deposit", "USDT", "1000")
    btc = pair("BTC")
    book(account, btc, trade(1, "BUY", "1", "100"), trade(3, "SELL", "1", "300"))
    assert held(account, "BTC") == ("0", "0", "-", "200")
    book(account, btc, trade(2, "BUY", "1", "200"))
    # two at 150 on average; one sold for 300
    assert held(account, "BTC") == ("1", "150", "150", "150")
    assert [text(row.realised) for row in RealisedPnl.objects.filter(asset="BTC")] == ["150"]
    event = Event.objects.get(kind="holding.restated", subject_id=f"{account.name}:BTC")
    assert (event.evidence["realised_pnl_before"], event.evidence["realised_pnl"]) == ("200", "150")


def test_a_late_purchase_explains_what_was_sold_unseen() -> None:
    account = AccountFactory()
    btc = pair("BTC")
    book(account, btc, trade(2, "SELL", "1", "300"))
    assert suspense(account, "BTC") == ("-1", "-300")
    posted(account, "deposit", "USDT", "1000")
    book(account, btc, trade(1, "BUY", "1", "100"))
    assert suspense(account, "BTC") == ("0", "0")
    assert held(account, "BTC") == ("0", "0", "-", "200")


def test_a_missing_rate_is_pending_and_never_zero_and_a_later_one_restates() -> None:
    account = AccountFactory()
    posted(account, "deposit", "USDT", "1000")
    posted(account, "deposit", "BNB", "1", value=D(500))
    book(account, pair("BTC"), trade(1, "BUY", "1", "100", "0.01 BNB"))
    row = Holding.objects.get(asset="BTC")
    assert (row.quantity, row.average_cost, row.pending) == (1, None, 1)
    assert held(account, "BNB")[0] == "0.99"
    assert Position.objects.get().confidence == "provisional"
    assert PendingRate.objects.get().asset == "BNB"
    mark("BNB", "600")
    PendingRate.objects.update(next_at=after(0))
    assert look_again() == 1
    assert held(account, "BTC") == ("1", "106", "106", "0")
    assert held(account, "BNB") == ("0.99", "495", "500", "1")
    assert Position.objects.get().confidence == "confirmed"
    assert not PendingRate.objects.exists()
    assert BookedRate.objects.get().source == "history"


def test_a_rate_can_be_given_by_a_person() -> None:
    account = AccountFactory()
    posted(account, "deposit", "BTC", "2")
    assert Holding.objects.get(asset="BTC").pending == 1
    assert give_rates(account, "BTC", D(50000), reason="the exchange's own statement", by=BY) == 1
    assert held(account, "BTC") == ("2", "100000", "50000", "0")
    assert Event.objects.get(kind="rate.given").evidence["price"] == "50000"


def test_an_airdrop_is_income_at_its_mark_and_a_deposit_is_none() -> None:
    account = AccountFactory()
    mark("BNB", "600")
    posted(account, "airdrop", "BNB", "0.5")
    assert held(account, "BNB") == ("0.5", "300", "600", "300")
    posted(account, "deposit", "BNB", "0.5")
    assert held(account, "BNB") == ("1", "600", "600", "300")


def test_the_database_refuses_legs_that_do_not_balance() -> None:
    account = AccountFactory()
    book(account, pair("BTC"), trade(1, "BUY", "1", "100"))
    entry = LedgerEntry.objects.filter(fill=Fill.objects.get(), asset="BTC").first()
    assert entry is not None
    entry.pk = None
    entry._state.adding = True
    with pytest.raises(IntegrityError, match="do not balance"), transaction.atomic():
        entry.save()


def booked_with(account_fills: int, page: int) -> int:
    """How many statements it takes to book ``page`` more fills on that many."""
    account, btc = AccountFactory(), pair("BTC")
    posted(account, "deposit", "USDT", "100000000")
    book(account, btc, *(trade(n, "BUY", "1", "100") for n in range(1, account_fills + 1)))
    more = [trade(n, "SELL", "0.001", "100") for n in range(account_fills + 1, account_fills + 1 + page)]
    with CaptureQueriesContext(
        connection,
    ) as captured:
        book(account, btc, *more)
    return len(captured)


def test_statements_do_not_grow_with_history_nor_with_the_page() -> None:
    one = booked_with(1, 1)
    assert booked_with(600, 1) == one
    assert booked_with(1, 100) == one
    assert one <= 30
