"""One attempt at one webhook: POST the bytes, say what became of it.

Only a status is read; the answer's body is cut at 4 KiB and thrown away. No URL, body or answer
is ever logged, and no error carries them.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from types import SimpleNamespace, TracebackType
from typing import Self

import aiohttp

from connectors.sending import Delivered, Message, Refused, Result, Retry, Target
from connectors.webhook import signature
from halyard.clock import Clock
from halyard.errors import PermanentError
from halyard.outbound import ANYWHERE, ForbiddenAddress, Outbound

MAX_ANSWER_BYTES = 4096
# These ask for the same request again
_AGAIN = frozenset({408, 429})
# These speak of the address or of our standing there, not of the message: a secret or a path that
# is wrong. Every other 4xx speaks of the message
_DESTINATION = frozenset({401, 403, 404, 405, 410, 421})


@dataclass(slots=True)
class _Exchange:
    """What is known of a request under way."""

    status: int | None = None
    retry_after: str | None = None
    reused: bool = False  # sent over a connection that had served before


async def _on_reuse(
    _session: aiohttp.ClientSession, context: SimpleNamespace, _params: object
) -> None:
    context.trace_request_ctx.reused = True


class WebhookSender:
    """Sends webhooks over one connection pool; an async context manager."""

    def __init__(
        self,
        clock: Clock,
        *,
        timeout_seconds: float,
        max_connections: int,
        outbound: Outbound = ANYWHERE,
    ) -> None:
        self._clock = clock
        self._outbound = outbound
        self._timeout = timeout_seconds
        self._max_connections = max_connections
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        tracing = aiohttp.TraceConfig()
        tracing.on_connection_reuseconn.append(_on_reuse)
        self._session = aiohttp.ClientSession(
            trace_configs=[tracing],
            connector=aiohttp.TCPConnector(
                limit=self._max_connections,
                # shorter than servers wait (5 s and more): theirs must not close under our request
                keepalive_timeout=2.0,
                # the address that is connected to is the one that is checked
                socket_factory=self._outbound.open_socket,
            ),
            # ours is for the whole attempt, below
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._timeout),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            # no proxy or .netrc of the machine: alerts go where the directory says
            trust_env=False,
            headers={"User-Agent": "Halyard"},
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def send(self, target: Target, message: Message) -> Result:
        """One attempt, signed now, over within the time-out. Raises nothing for what the other
        side does or fails to do.
        """
        if self._session is None:
            raise PermanentError("The webhook sender is not open; enter it first (async with).")
        exchange = _Exchange()
        try:
            async with asyncio.timeout(self._timeout):
                try:
                    await self._exchange(self._session, target, message, exchange)
                except aiohttp.ClientConnectionError:
                    # A server may close a kept connection just when we use it again: that says
                    # nothing about the destination, so this once it is tried on a new one
                    if exchange.status is not None or not exchange.reused:
                        raise
                    exchange.reused = False
                    await self._exchange(self._session, target, message, exchange)
        except TimeoutError:
            reason = "timeout"
        except aiohttp.ClientConnectorError as error:
            forbidden = isinstance(error.os_error, ForbiddenAddress)
            reason = "forbidden-address" if forbidden else "connect"
        except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError):
            reason = "address"
        except (aiohttp.ClientError, OSError):
            reason = "broken"
        else:
            reason = ""
        if exchange.status is None:
            return Retry(reason, destination_down=True)
        # Once the status is here it is the answer, whatever became of the rest
        return self._judged(exchange.status, exchange.retry_after)

    async def _exchange(
        self,
        session: aiohttp.ClientSession,
        target: Target,
        message: Message,
        exchange: _Exchange,
    ) -> None:
        if not target.secret:
            raise PermanentError(
                "A webhook without a secret cannot be signed; name one in the directory."
            )
        headers = {
            **signature.sign(
                target.secret, delivery_id=message.delivery_id, at=self._clock(), body=message.body
            ),
            signature.EVENT: message.event,
            signature.VERSION: message.version,
            "Content-Type": message.content_type,
            **({"traceparent": message.traceparent} if message.traceparent else {}),
        }
        async with session.post(
            target.url,
            data=message.body,
            headers=headers,
            allow_redirects=False,
            trace_request_ctx=exchange,
        ) as response:
            exchange.status = response.status
            exchange.retry_after = response.headers.get("Retry-After")
            await _discard(response)

    def _judged(self, status: int, retry_after: str | None) -> Result:
        if 200 <= status < 300:
            return Delivered(f"status-{status}")
        if status >= 500 or status < 400 or status in _AGAIN or status in _DESTINATION:
            return Retry(
                f"status-{status}",
                destination_down=status != 408,
                after_seconds=self._seconds(retry_after),
            )
        return Refused(f"status-{status}")

    def _seconds(self, retry_after: str | None) -> float | None:
        """Seconds that Retry-After (RFC 9110 10.2.3: a count or a date) asks for, if readable."""
        text = (retry_after or "").strip()
        if text.isascii() and text.isdigit():
            return float(text[:9])
        try:
            return max(0.0, (parsedate_to_datetime(text) - self._clock()).total_seconds())
        except (TypeError, ValueError):
            return None


async def _discard(response: aiohttp.ClientResponse) -> None:
    """Read a short answer to its end, so that the connection can be used again; drop a long one."""
    read = 0
    while chunk := await response.content.readany():
        read += len(chunk)
        if read > MAX_ANSWER_BYTES:
            response.close()
            return
