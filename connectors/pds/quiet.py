"""Keeps what httpx and httpcore would log of PDS out of every log: URLs and headers."""

from __future__ import annotations

import logging
from typing import Final

_CHATTY_LOGGERS: Final = (
    "httpx",
    "httpcore",
    "httpcore.connection",
    "httpcore.http11",
    "httpcore.http2",
    "httpcore.proxy",
    "httpcore.socks",
)


class _WarningsOnly(logging.Filter):
    """Drops what httpx and httpcore say below WARNING, whatever level somebody gives them."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno >= logging.WARNING


_FILTER: Final = _WarningsOnly()


def silence_http_logs() -> None:
    """Keep URLs and headers out of every log: httpx writes them at INFO, httpcore at DEBUG.

    A level alone is undone by the next ``setLevel``; the filter stays. Idempotent.
    """
    for name in _CHATTY_LOGGERS:
        logger = logging.getLogger(name)
        logger.setLevel(logging.WARNING)
        logger.addFilter(_FILTER)  # the same object is added once
