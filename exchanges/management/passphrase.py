"""The passphrase of an emergency kit: from the environment, the settings or a prompt, never from the command line."""

from __future__ import annotations

import getpass
import os
import sys
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser

from execution_project.common.management_command import ExitCode, Refused


def add_passphrase_argument(parser: CommandParser) -> None:
    """``--passphrase-env``."""
    parser.add_argument(
        "--passphrase-env",
        metavar="VAR",
        help="environment variable that holds the kit's passphrase (default: EXEC_EMERGENCY_PASSPHRASE, else a prompt)",
    )


def read_passphrase(options: dict[str, Any], *, twice: bool = False) -> str:
    """The passphrase; ``twice``: at a prompt it is typed again. Raises ``Refused`` where none can be had."""
    variable = options.get("passphrase_env")
    if variable is not None:
        text = os.environ.get(variable, "")
        if not text:
            raise Refused("MISSING_CREDENTIAL", f"The environment variable {variable} is not set or empty.")
        return text
    configured: str = settings.EXEC_EMERGENCY_PASSPHRASE
    if configured:
        return configured
    if not sys.stdin.isatty():
        raise Refused(
            "MISSING_CREDENTIAL",
            "Set EXEC_EMERGENCY_PASSPHRASE, name a variable with --passphrase-env, or run this on a terminal.",
            exit_code=ExitCode.USAGE,
        )
    typed = getpass.getpass("Passphrase of the kit: ")
    if twice and getpass.getpass("Again: ") != typed:
        raise Refused("MISSING_CREDENTIAL", "The two passphrases differ; nothing was written.")
    return typed
