"""Paths of orders under /api/exec/."""

from django.urls import path

from orders.api.views import OrderView, PlaceOrderView, StopView

urlpatterns = [
    path("order", PlaceOrderView.as_view()),
    path("order/<uuid:order_id>", OrderView.as_view()),
    path("stop", StopView.as_view()),
]
