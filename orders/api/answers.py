"""What answers about orders look like, for the API's schema; ``orders.api.documents`` makes them."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from exchanges.models import Exchange, Mode
from execution_project.common.api.fields import DecimalString
from orders.api.kills import KillEpisodeSerializer
from orders.effect import Effect
from orders.lifecycle import ENDED_AS, CommandStatus, OrderStatus
from orders.models import AbsenceVerdict, AttemptKind, CommandKind, OrderType, Origin, ReplaceMethod, Side, TimeInForce
from positions.api.documents import FillSerializer
from risk.api.decision_documents import DecisionSerializer
from risk.api.documents import StateOfScopeSerializer


class OrderSerializer(serializers.Serializer[Any]):
    """An order: quantities in the base asset, quotes in the quote asset."""

    id = serializers.UUIDField()
    account = serializers.CharField()
    mode = serializers.ChoiceField(choices=Mode.values)
    exchange = serializers.ChoiceField(choices=Exchange.values)
    symbol = serializers.CharField()
    strategy = serializers.CharField(allow_null=True)
    side = serializers.ChoiceField(choices=Side.values)
    type = serializers.ChoiceField(choices=OrderType.values)
    origin = serializers.ChoiceField(
        choices=Origin.values, help_text="adopted: ours, but forgotten; external: another program's."
    )
    quantity = DecimalString(allow_null=True, help_text="null: sized by quote_quantity")
    quote_quantity = DecimalString(allow_null=True)
    price = DecimalString(allow_null=True)
    stop_price = DecimalString(allow_null=True)
    time_in_force = serializers.ChoiceField(choices=TimeInForce.values, allow_null=True)
    protection_price = DecimalString(
        allow_null=True, help_text="Of a MARKET order that is sent as LIMIT IOC, as its account says: the limit."
    )
    reduce_only = serializers.BooleanField()
    effect = serializers.ChoiceField(
        choices=Effect.values,
        allow_null=True,
        help_text=(
            "On exposure, as its decision knew it: a sale, for a cash asset, of no more than was available reduces."
            " null: found at the exchange, without a decision."
        ),
    )
    status = serializers.ChoiceField(choices=OrderStatus.values)
    ended_as = serializers.ChoiceField(choices=sorted(ENDED_AS), allow_null=True, help_text="Kept when it is settled.")
    reason = serializers.CharField(allow_blank=True, help_text="A stable code: why it was denied, rejected or ended.")
    detail = serializers.CharField(allow_blank=True, help_text="The same as a sentence.")
    filled_quantity = DecimalString()
    filled_quote = DecimalString()
    average_price = DecimalString(allow_null=True)
    idempotency_key = serializers.CharField(allow_blank=True)
    valid_until = serializers.DateTimeField(help_text="What was not sent by then is denied.")
    version = serializers.IntegerField(min_value=1, help_text="For If-Match.")
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()


class RehearsalSerializer(DecisionSerializer):
    """The answer to `validate_only`: the decision that the order would get now; nothing is stored."""

    id = serializers.UUIDField(allow_null=True, help_text="null: it is not stored")
    validate_only = serializers.BooleanField()


class ExchangeOrderSerializer(serializers.Serializer[Any]):
    """One thing sent to the exchange for an order."""

    generation = serializers.IntegerField(min_value=0)
    client_order_id = serializers.CharField()
    exchange_order_id = serializers.CharField(allow_null=True)
    quantity = DecimalString(allow_null=True)
    quote_quantity = DecimalString(allow_null=True)
    price = DecimalString(allow_null=True)
    planned = serializers.BooleanField(help_text="Part of a replace that is under way.")
    reported_status = serializers.CharField(allow_null=True)
    cumulative_quantity = DecimalString(help_text="Filled, as the exchange reported it.")
    unbooked_quantity = DecimalString(help_text="Of that, what no trade has accounted for yet.")
    end_proof = serializers.CharField(allow_null=True, help_text="By what it is proven that it can trade no more.")
    created_at = serializers.DateTimeField()


class AttemptSerializer(serializers.Serializer[Any]):
    """One HTTP call to the exchange; request and answer are redacted."""

    id = serializers.UUIDField()
    kind = serializers.ChoiceField(choices=AttemptKind.values)
    stamp_ms = serializers.IntegerField()
    recv_window_ms = serializers.IntegerField()
    claimed_at = serializers.DateTimeField()
    send_by = serializers.DateTimeField()
    answered_at = serializers.DateTimeField(allow_null=True)
    outcome = serializers.CharField(allow_null=True)
    code = serializers.CharField(allow_blank=True)
    message = serializers.CharField(allow_blank=True)
    request = serializers.DictField()
    response = serializers.DictField()


class CommandSerializer(serializers.Serializer[Any]):
    """One instruction to the exchange."""

    id = serializers.UUIDField()
    kind = serializers.ChoiceField(choices=CommandKind.values)
    status = serializers.ChoiceField(choices=CommandStatus.values)
    generation = serializers.IntegerField(min_value=0)
    method = serializers.ChoiceField(choices=ReplaceMethod.values, allow_null=True)
    new_quantity = DecimalString(allow_null=True)
    new_price = DecimalString(allow_null=True)
    requested_by = serializers.CharField()
    reason = serializers.CharField(allow_blank=True)
    created_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)
    attempts = AttemptSerializer(many=True)


class EventSerializer(serializers.Serializer[Any]):
    """One thing that happened to the order or to one of its commands."""

    id = serializers.UUIDField()
    at = serializers.DateTimeField()
    kind = serializers.CharField()
    subject = serializers.CharField()
    subject_id = serializers.CharField()
    from_status = serializers.CharField(allow_null=True)
    to_status = serializers.CharField(allow_null=True)
    actor = serializers.CharField()
    cause = serializers.CharField()
    request_id = serializers.CharField(allow_null=True)
    evidence = serializers.DictField()


class RoundAnswerSerializer(serializers.Serializer[Any]):
    """One question of a round and how it was answered."""

    call = serializers.CharField()
    path = serializers.CharField(allow_null=True)
    parameters = serializers.DictField(allow_null=True)
    http_status = serializers.IntegerField(allow_null=True)
    error = serializers.CharField(allow_null=True, allow_blank=True)
    characters = serializers.IntegerField(allow_null=True, help_text="Length of the answer's body.")


class RoundSerializer(serializers.Serializer[Any]):
    """One round of looking for what nobody had seen: enough that count are proof that it is not there."""

    id = serializers.UUIDField()
    generation = serializers.IntegerField(min_value=0, help_text="Of the exchange order that was looked for.")
    client_order_id = serializers.CharField()
    verdict = serializers.ChoiceField(choices=AbsenceVerdict.values)
    detail = serializers.CharField(allow_blank=True, help_text="What was found, or what failed.")
    counts = serializers.BooleanField(help_text="As things stood when the newest round was answered.")
    why_not = serializers.CharField(allow_null=True, help_text="Why it does not count.")
    asked_at = serializers.DateTimeField()
    answered_at = serializers.DateTimeField()
    exchange_ms = serializers.IntegerField(allow_null=True, help_text="The exchange's time when it began.")
    counts_from_ms = serializers.IntegerField(help_text="From then on (exchange time) a round counts.")
    bounds = serializers.DictField()
    answers = RoundAnswerSerializer(many=True)


class OrderWithHistorySerializer(OrderSerializer):
    """An order with all that is on record about it, every list oldest first."""

    exchange_orders = ExchangeOrderSerializer(many=True)
    commands = CommandSerializer(many=True)
    fills = FillSerializer(many=True, help_text="The newest 500.")
    events = EventSerializer(many=True, help_text="The newest 500.")
    decision = DecisionSerializer(allow_null=True, help_text="null: the order was found at the exchange.")
    replace_decisions = DecisionSerializer(many=True)
    evidence = RoundSerializer(
        many=True, help_text="The newest 100 rounds; empty for an order that was not looked for."
    )


class OrdersSerializer(serializers.Serializer[Any]):
    """A page of orders, newest first."""

    orders = OrderSerializer(many=True)
    next = serializers.CharField(allow_null=True, help_text="Send it as `after` for the next page; null at the end.")


class ReplaceSerializer(serializers.Serializer[Any]):
    """A replace that the gate accepted."""

    id = serializers.UUIDField()
    method = serializers.ChoiceField(choices=ReplaceMethod.values)
    quantity = DecimalString()
    price = DecimalString()
    decision = DecisionSerializer()


class ReplacedOrderSerializer(OrderSerializer):
    """The order as it still is, and the replace under way."""

    replace = ReplaceSerializer()


class MassCancelSerializer(serializers.Serializer[Any]):
    """The orders whose end was asked for."""

    cancels_requested = serializers.IntegerField(min_value=0)
    orders = serializers.ListField(child=serializers.UUIDField())


class StopSerializer(StateOfScopeSerializer):
    """The halted scope."""

    cancels_requested = serializers.IntegerField(
        min_value=0, allow_null=True, help_text="null: no cancel was asked for."
    )


class KillSerializer(StateOfScopeSerializer):
    """The latched scope and its kill."""

    cancels_requested = serializers.IntegerField(min_value=0)
    kill = KillEpisodeSerializer()
