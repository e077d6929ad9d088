"""Puts our admin site in the place of the default one, and loads its pages only where pages are served."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.contrib.admin.apps import SimpleAdminConfig
from django.contrib.admin.checks import check_admin_app, check_dependencies
from django.core.checks import CheckMessage, Tags, register


class BackOfficeConfig(SimpleAdminConfig):
    """``django.contrib.admin`` with our site. Its pages are loaded with the URLs: workers, ticker and streams serve
    none and start a quarter sooner without them."""

    default_site = "execution_project.back_office.site.BackOfficeSite"

    def ready(self) -> None:
        """Register the admin's checks, which need the pages."""
        register(check_dependencies, Tags.admin)
        register(check_pages, Tags.admin)


def check_pages(app_configs: Any, **options: Any) -> Iterable[CheckMessage]:
    """Django's checks of every page of the admin."""
    admin.autodiscover()
    return check_admin_app(app_configs, **options)
