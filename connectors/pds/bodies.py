"""Reads the body of an answer, as far as it can be one of PDS's or of its token endpoint's."""

from __future__ import annotations

import httpx


async def read_plain(response: httpx.Response, *, at_most: int) -> bytes | None:
    """The body in bytes; None if it is larger than `at_most`. Empty if it is packed: none was asked
    for, and a few kilobytes may become gigabytes. Raises `httpx.TransportError`.
    """
    if response.headers.get("Content-Encoding", "identity").strip().casefold() != "identity":
        return b""
    content = bytearray()
    async for chunk in response.aiter_bytes():
        content += chunk
        if len(content) > at_most:
            return None
    return bytes(content)
