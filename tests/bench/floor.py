"""The floor of a placing request: a bare DRF view with token look-up, one locked row and two inserts, and no more."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from django.db import models, transaction
from rest_framework import serializers
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

TOKEN = "floor-token"


class FloorToken(models.Model):
    """A client."""

    key = models.CharField(max_length=64, primary_key=True)
    is_authenticated = True

    class Meta:
        app_label = "bench"
        managed = False

    def __str__(self) -> str:
        return self.key


class FloorBucket(models.Model):
    """The row that every request locks."""

    id = models.PositiveSmallIntegerField(primary_key=True)

    class Meta:
        app_label = "bench"
        managed = False

    def __str__(self) -> str:
        return str(self.id)


class FloorOrder(models.Model):
    """What is asked for."""

    id = models.UUIDField(primary_key=True, default=uuid4)
    account = models.CharField(max_length=64)
    symbol = models.CharField(max_length=50)
    side = models.CharField(max_length=4)
    type = models.CharField(max_length=16)
    quantity = models.DecimalField(max_digits=38, decimal_places=18)
    price = models.DecimalField(max_digits=38, decimal_places=18)
    time_in_force = models.CharField(max_length=3)
    status = models.CharField(max_length=24, default="pending")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        app_label = "bench"
        managed = False

    def __str__(self) -> str:
        return str(self.id)


class FloorOutbox(models.Model):
    """What would be sent."""

    order = models.ForeignKey(FloorOrder, on_delete=models.PROTECT)
    payload = models.TextField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        app_label = "bench"
        managed = False

    def __str__(self) -> str:
        return self.payload


MODELS: tuple[type[models.Model], ...] = (FloorToken, FloorBucket, FloorOrder, FloorOutbox)


class FloorSerializer(serializers.ModelSerializer[FloorOrder]):
    """DRF's own way."""

    class Meta:
        model = FloorOrder
        fields = ["id", "account", "symbol", "side", "type", "quantity", "price", "time_in_force", "status"]
        read_only_fields = ["id", "status"]


class FloorAuthentication(BaseAuthentication):
    """One look-up by primary key."""

    def authenticate(self, request: Request) -> tuple[Any, None]:
        """The token's row."""
        token = FloorToken.objects.filter(key=request.headers.get("Authorization", "").removeprefix("Bearer ")).first()
        if token is None:
            raise AuthenticationFailed
        return token, None


class FloorView(APIView):
    """``POST /bench/floor``."""

    authentication_classes = [FloorAuthentication]
    permission_classes: list[Any] = []

    def post(self, request: Request) -> Response:
        """202 with the row."""
        serializer = FloorSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        with transaction.atomic():
            FloorBucket.objects.select_for_update().get(pk=1)
            order = serializer.save()
            FloorOutbox.objects.create(order=order, payload=str(order.pk))
        return Response(serializer.data, status=202)
