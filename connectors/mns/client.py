"""Hands word of changes at PDS to a hub, as a relay does: for `halyard pds changes send`, tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

import httpx
import orjson

from connectors.hub_http import client_options
from connectors.mns.router import PATH
from halyard.errors import TransientError

_ACCEPTED: Final = 202


class RelayUnavailable(TransientError):
    """The hub gave no answer; keep the notification, check the address, and send it again."""


@dataclass(frozen=True, slots=True)
class RelayAnswer:
    """What the hub said: how many events it took, why it has no use for others, and of a refusal
    rule, place and what to do.
    """

    status: int
    taken: int = 0
    ignored: tuple[str, ...] = ()
    rule: str | None = None
    place: str | None = None
    advice: str | None = None

    @property
    def accepted(self) -> bool:
        """Whether the hub has it for good."""
        return self.status == _ACCEPTED


class RelayClient:
    """Posts notifications one at a time with the relay's token. A context manager."""

    def __init__(self, base_url: str, token: str, *, timeout: float = 30.0) -> None:
        self._http = httpx.Client(**client_options(base_url, token, timeout=timeout))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.close()

    def send(self, notification: Mapping[str, Any]) -> RelayAnswer:
        """A CloudEvent, or a FHIR Bundle. Raises `RelayUnavailable`: it may or may not have been
        taken, and is sent again.
        """
        fhir = notification.get("resourceType") == "Bundle"
        kind = "application/fhir+json" if fhir else "application/cloudevents+json"
        try:
            answer = self._http.post(
                PATH, content=orjson.dumps(notification), headers={"Content-Type": kind}
            )
        except httpx.HTTPError as error:
            # its text would hold the URL
            raise RelayUnavailable(
                f"The hub gave no answer ({type(error).__name__}); check its address and that "
                "`halyard serve` runs, then send the notification again."
            ) from None
        try:
            said = answer.json()
        except ValueError:
            said = None
        return _read(answer.status_code, said if isinstance(said, dict) else {})


def _read(status: int, said: Mapping[str, Any]) -> RelayAnswer:
    if status == _ACCEPTED:
        ignored = tuple(str(one.get("why")) for one in said.get("ignored", ()))
        return RelayAnswer(status, taken=int(said.get("taken", 0)), ignored=ignored)
    rule, place = said.get("rule"), said.get("place")
    return RelayAnswer(
        status,
        rule=str(rule) if rule else None,
        place=str(place) if place else None,
        advice=str(said.get("detail") or said.get("title") or "") or None,
    )
