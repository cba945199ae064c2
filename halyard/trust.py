"""Whom the hub's own HTTPS clients trust: the authorities that httpx ships, read once a process.

Reading them costs 50 ms of CPU. A client a call (log-in) would stop everybody else's requests for
that long, and a process has several clients.
"""

from __future__ import annotations

import functools
import ssl

import httpx


@functools.cache
def web_authorities() -> ssl.SSLContext:
    """What an ``httpx`` client verifies with (``verify=``). Shared: nobody changes it."""
    return httpx.create_ssl_context(trust_env=False)
