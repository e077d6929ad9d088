"""Puts our admin site in the place of the default one."""

from __future__ import annotations

from django.contrib.admin.apps import AdminConfig


class BackOfficeConfig(AdminConfig):
    """``django.contrib.admin`` with our site."""

    default_site = "execution_project.back_office.site.BackOfficeSite"
