"""Paths of positions under /api/exec/."""

from django.urls import path

from positions.api.views import FillsView, PositionsView

urlpatterns = [path("positions", PositionsView.as_view()), path("fills", FillsView.as_view())]
