"""Which process of the installation keeps the streams: the one that holds an advisory lock."""

from __future__ import annotations

import os
from typing import Any

import structlog
from django.db import connection

LEADER_LOCK = 0x6578_6563_7374_726D
"""Advisory lock of the leading process ("execstrm")."""

log = structlog.get_logger(__name__)


class Leadership:
    """The lock belongs to a connection: a new connection has to win it again. For one thread."""

    def __init__(self) -> None:
        self._led_on: Any = None

    def holds(self) -> bool:
        """Whether this process leads, after trying to. Raises what the loss of the database raises."""
        with connection.cursor() as cursor:
            if self._led_on is not None and self._led_on is connection.connection:
                cursor.execute("SELECT 1")
                return True
            self._led_on = None
            cursor.execute("SELECT pg_try_advisory_lock(%s)", [LEADER_LOCK])
            row = cursor.fetchone()
        if not row or not row[0]:
            return False
        self._led_on = connection.connection
        log.info("this process keeps the streams", pid=os.getpid())
        return True
