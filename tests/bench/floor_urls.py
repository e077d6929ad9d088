"""The project's paths and, beside them, the floor."""

from django.urls import path

from execution_project.urls import handler404, handler500, urlpatterns
from tests.bench.floor import FloorView

__all__ = ["handler404", "handler500", "urlpatterns"]

urlpatterns = [*urlpatterns, path("bench/floor", FloorView.as_view())]
