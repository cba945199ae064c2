"""One attempt at one delivery, whatever the wire: what goes in, and what may come of it.

`connectors.webhook.sender` posts signed JSON, `connectors.hl7v2.sender` speaks HL7 v2 over MLLP;
the dispatcher knows only this module.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Target:
    """Where a delivery goes: the directory's endpoint, with what its kind of wire needs."""

    name: str
    url: str = field(repr=False)
    # signs a webhook: with each of several, while it is being changed
    secret: str | tuple[str, ...] | None = field(default=None, repr=False)
    application: str = ""  # MSH-5 of HL7 v2
    facility: str = ""  # MSH-6


@dataclass(frozen=True, slots=True)
class Message:
    """What one attempt sends; `body` is the same at every attempt."""

    delivery_id: uuid.UUID
    event: str  # kind: alert, match, receipt; of a letter its message event
    version: str  # of the payload's shape
    body: bytes = field(repr=False)
    traceparent: str
    content_type: str = "application/json"  # of a webhook


@dataclass(frozen=True, slots=True)
class Delivered:
    """The receiver has it; `answer` is what it said (``status-200``, ``ack-aa``)."""

    answer: str


@dataclass(frozen=True, slots=True)
class Retry:
    """No answer, or one that asks to come again.

    `reason` is a fixed identifier (``connect``, ``timeout``, ``broken``, ``status-503``,
    ``ack-ar``, …); `destination_down` tells whether the destination as a whole is in question;
    `after_seconds` is what the receiver asked for. `answered`: the receiver has read this message
    and answered about it, so that the message itself may be the reason after all.
    """

    reason: str
    destination_down: bool
    after_seconds: float | None = None
    answered: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """The receiver refuses this one message: sending it again changes nothing. `reason` is a fixed
    identifier (``status-422``, ``ack-ae``).
    """

    reason: str


Result = Delivered | Retry | Refused


class Sender(Protocol):
    """Makes one attempt."""

    async def send(self, target: Target, message: Message) -> Result:
        """One attempt, over within the sender's time-out. Raises nothing for what the other side
        does or fails to do.
        """
