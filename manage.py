#!/usr/bin/env python
"""Django's command line for the execution engine."""

import os
import sys


def main() -> None:
    """Run one management command under the project's settings."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "execution_project.settings")
    if sys.argv[1:2] == ["run_cluster"] and len(sys.argv) > 2:
        # django-q2 reads the name of its cluster once, when it is loaded
        os.environ["Q_CLUSTER_NAME"] = sys.argv[2]
    from django.conf import settings
    from django.core.management import execute_from_command_line
    from django.db import OperationalError

    try:
        execute_from_command_line(sys.argv)
    except OperationalError:
        if settings.EXEC_DATABASE_CONFIGURED:
            raise
        from execution_project.common.management_command import NO_DATABASE

        sys.exit(NO_DATABASE)


if __name__ == "__main__":
    main()
