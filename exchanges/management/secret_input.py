"""Credentials from environment variables or a prompt, never from the command line, which everybody can read."""

from __future__ import annotations

import getpass
import os
import sys

from django.core.management.base import CommandParser

from execution_project.common.management_command import ExitCode, Refused


def add_secret_arguments(parser: CommandParser) -> None:
    """``--key-env`` and ``--secret-env``."""
    parser.add_argument("--key-env", metavar="VAR", help="environment variable that holds the exchange's API key")
    parser.add_argument("--secret-env", metavar="VAR", help="environment variable that holds its secret")


def read_secret(option: str, variable: str | None, prompt: str) -> str:
    """The text of the environment variable, else what is typed at the prompt; raises ``Refused`` without either."""
    if variable is not None:
        text = os.environ.get(variable, "")
        if not text:
            raise Refused("MISSING_CREDENTIAL", f"The environment variable {variable} is not set or empty.")
        return text
    if not sys.stdin.isatty():
        raise Refused(
            "MISSING_CREDENTIAL",
            f"Name an environment variable with {option}, or run this on a terminal to be asked.",
            exit_code=ExitCode.USAGE,
        )
    return getpass.getpass(f"{prompt}: ").strip()
