"""Webhooks are a contract: what a customer wrote against version 1 goes on working.

``tests/contract/webhook/v1`` holds webhooks as they were sent once (headers and the body's text),
and `tests.contract.frozen_client_v1` a receiver as it was written once. Neither is ever changed:
a payload that cannot keep version 1 becomes version 2 with a set of its own.
"""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from connectors.webhook.signature import EVENT, VERSION, sign, verify
from streams.delivery.dispatcher import payload_version
from tests.contract.frozen_client_v1 import NotAccepted, receive
from tests.unit.delivery import payloads

EXAMPLES = sorted((Path(__file__).parents[2] / "contract" / "webhook" / "v1").glob("*.json"))
SECRET = "example"  # pragma: allowlist secret
NOW = 1_792_888_200


def example(path: Path) -> tuple[dict[str, str], bytes]:
    """Headers and body of a webhook that was sent once."""
    stored: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return stored["headers"], stored["body"].encode()


def keys_of(value: Any, path: str = "") -> set[str]:
    """Paths of every field of a body; lists count by their elements' fields."""
    if isinstance(value, dict):
        found = {f"{path}.{key}" for key in value}
        return found.union(*(keys_of(inner, f"{path}.{key}") for key, inner in value.items()))
    if isinstance(value, list):
        return set().union(*(keys_of(inner, f"{path}[]") for inner in value)) if value else set()
    return set()


def test_the_set_has_every_kind_and_change() -> None:
    """Ten examples: five alerts, three matches, two receipts."""
    assert {path.stem for path in EXAMPLES} == set(payloads.current())


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_old_webhook_still_verifies_and_parses(path: Path) -> None:
    """With today's `verify`, and with the frozen client."""
    headers, body = example(path)
    verified = verify(headers, body, SECRET, datetime.fromtimestamp(NOW, UTC))
    assert verified.event == path.stem.partition("-")[0]
    taken = receive(headers, body, SECRET, NOW)
    assert taken["delivery_id"] == str(verified.delivery_id)


@pytest.mark.parametrize("name", sorted(payloads.current()))
def test_what_is_sent_today_is_taken_by_the_frozen_client(name: str) -> None:
    """Today's payloads, signed by today's code, say the same to a client written for version 1."""
    kind, body = payloads.current()[name]
    delivery_id = uuid.uuid5(uuid.NAMESPACE_URL, name)
    headers = {
        **sign(SECRET, delivery_id=delivery_id, at=datetime.fromtimestamp(NOW, UTC), body=body),
        EVENT: kind,
        VERSION: payload_version(body),
        "Content-Type": "application/json",
    }
    now = receive(headers, body, SECRET, NOW)
    (path,) = [path for path in EXAMPLES if path.stem == name]
    assert now == receive(*example(path), SECRET, NOW)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_a_version_only_ever_gains_fields(path: Path) -> None:
    """Every field of the old example is in today's payload of the same name."""
    _, body = example(path)
    _, today = payloads.current()[path.stem]
    assert keys_of(json.loads(body)) <= keys_of(json.loads(today))


def test_the_frozen_client_is_no_pushover() -> None:
    """It refuses a changed body, an old time, a missing field and another version."""
    headers, body = example(EXAMPLES[0])
    with pytest.raises(NotAccepted):
        receive(headers, body + b" ", SECRET, NOW)
    with pytest.raises(NotAccepted):
        receive(headers, body, SECRET, NOW + 301)
    with pytest.raises(NotAccepted):
        receive({**headers, VERSION: "2"}, body, SECRET, NOW)
    stripped = json.dumps({"schema": "halyard.alert.v1"}).encode()
    at = datetime.fromtimestamp(NOW, UTC)
    signed = sign(SECRET, delivery_id=uuid.uuid4(), at=at, body=stripped)
    with pytest.raises(KeyError):
        receive({**headers, **signed}, stripped, SECRET, NOW)
