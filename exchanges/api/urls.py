"""Paths of exchanges under /api/exec/."""

from django.urls import path

from exchanges.api.views import InstrumentsView

urlpatterns = [path("instruments", InstrumentsView.as_view())]
