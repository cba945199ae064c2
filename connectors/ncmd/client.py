"""One attempt at the HTTP interface: POST a message, or ask for the answer to one.

No address, body or answer is ever logged, and no error carries them.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

import aiohttp
from pydantic import SecretStr

from connectors.ncmd.message import Answer, answer
from halyard.errors import PermanentError
from halyard.outbound import ANYWHERE, Outbound

MAX_ANSWER_BYTES: Final = 65_536
CONTENT_TYPE: Final = "application/fhir+json"
# These speak of the address or of our standing there, not of the message
_DESTINATION: Final = frozenset({401, 403, 404, 405, 410, 421})
_AGAIN: Final = frozenset({408, 425, 429})


@dataclass(frozen=True, slots=True)
class Taken:
    """The receiver has the message and has not answered yet."""


@dataclass(frozen=True, slots=True)
class Again:
    """No answer that settles it. `reason` is a fixed identifier; `down` tells whether the
    destination as a whole is in question."""

    reason: str
    down: bool
    after_seconds: float | None = None


Outcome = Answer | Taken | Again


class Client:
    """Speaks with one receiver over one connection pool; an async context manager."""

    def __init__(
        self,
        url: str,
        token: SecretStr | None,
        *,
        timeout_seconds: float,
        outbound: Outbound = ANYWHERE,
    ) -> None:
        self._url = url.rstrip("/")
        self._outbound = outbound
        self._token = token
        self._timeout = timeout_seconds
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        headers = {"User-Agent": "Halyard", "Accept": CONTENT_TYPE}
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token.get_secret_value()}"
        self._session = aiohttp.ClientSession(
            # shorter than servers wait: theirs must not close under our request
            connector=aiohttp.TCPConnector(
                limit=8, keepalive_timeout=2.0, socket_factory=self._outbound.open_socket
            ),
            timeout=aiohttp.ClientTimeout(total=self._timeout),
            cookie_jar=aiohttp.DummyCookieJar(),
            # no proxy or .netrc of the machine: cases go where the settings say
            trust_env=False,
            headers=headers,
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

    async def post(self, message_id: uuid.UUID, body: bytes) -> Outcome:
        """Send a message once. Raises nothing for what the other side does or fails to do."""
        return await self._exchange("POST", "/messages", message_id, body)

    async def ask(self, message_id: uuid.UUID) -> Outcome:
        """Ask for the answer to a message that was taken; `Taken` if there is none yet."""
        found = await self._exchange("GET", f"/messages/{message_id}/answer", message_id, None)
        if isinstance(found, Again) and found.reason == "status-404":
            return Again("not-known", down=False)  # it lost the message: to be sent again
        return found

    async def _exchange(
        self, method: str, path: str, message_id: uuid.UUID, body: bytes | None
    ) -> Outcome:
        if self._session is None:
            raise PermanentError("The client is not open; enter it first (async with).")
        headers = {} if body is None else {"Content-Type": CONTENT_TYPE}
        try:
            async with self._session.request(
                method, self._url + path, data=body, headers=headers, allow_redirects=False
            ) as response:
                retry_after = response.headers.get("Retry-After")
                content = await response.content.read(MAX_ANSWER_BYTES + 1)
                while len(content) <= MAX_ANSWER_BYTES and not response.content.at_eof():
                    content += await response.content.read(MAX_ANSWER_BYTES + 1)
                return judged(response.status, content, message_id, retry_after)
        except TimeoutError:
            return Again("timeout", down=True)
        except aiohttp.ClientConnectorError:
            return Again("connect", down=True)
        except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError):
            return Again("address", down=True)
        except (aiohttp.ClientError, OSError):
            return Again("broken", down=True)


def judged(status: int, content: bytes, message_id: uuid.UUID, retry_after: str | None) -> Outcome:
    """What a response means. An answer settles the message, whatever the status."""
    said = answer(content, message_id) if len(content) <= MAX_ANSWER_BYTES else None
    if said is not None:
        return said
    if status == 202:
        return Taken()
    if 200 <= status < 300:
        return Again("no-answer", down=False)
    if status >= 500 or status < 400 or status in _DESTINATION or status in _AGAIN:
        return Again(f"status-{status}", status not in _AGAIN, _seconds(retry_after))
    return Answer(False, f"status-{status}")


def _seconds(retry_after: str | None) -> float | None:
    text = (retry_after or "").strip()
    return float(text[:6]) if text.isascii() and text.isdigit() else None
