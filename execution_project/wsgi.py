"""WSGI entry point."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "execution_project.settings")

application = get_wsgi_application()

from exchanges.versions import announce_always  # noqa: E402  models need the application

announce_always("web")
