"""What the practice receiver does with a message: decisions over what it has. No network.

Rules: the same id with the same body gets the same answer; with another body it is refused
(``id-reuse``). A version below the newest is acknowledged and not applied. An update of a case that
is not known makes it; a void leaves a tombstone, also of a case that was never known.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from connectors.ncmd.message import ACKNOWLEDGEMENT, EVENT_SYSTEM, EVENTS, REJECTION
from halyard.clock import Clock, system_clock
from halyard.errors import ConfigurationError
from halyard.ids import derive
from stores.ncmd_submissions import Kind

MODES: Final = frozenset({"ok", "503", "lost", "slow", "later", "silent", "reject", "refuse"})
TAKES: Final = frozenset({"ok", "lost", "slow", "later", "silent", "reject"})
_KINDS: Final = {code: kind for kind, code in EVENTS.items()}


@dataclass(frozen=True, slots=True)
class Received:
    """One message as it came over the wire."""

    message_id: str
    case_id: str
    version: int
    kind: str
    received_at: str
    repeat: bool
    mode: str
    rule: str  # why it was rejected; empty if it was not
    digest: str
    bundle: dict[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Case:
    """A case as the receiver has it; a voided one is a tombstone without content."""

    version: int
    state: str  # held, voided
    reason: str = ""
    content: dict[str, Any] | None = field(default=None, repr=False)


class Unreadable(ValueError):
    """The body is no message of a case; the reason is a fixed identifier."""


@dataclass(slots=True)
class Inbox:
    """Everything that came, the cases it makes, and the answers that were given."""

    journal_path: Path | None = None
    clock: Clock = system_clock
    received: list[Received] = field(default_factory=list, repr=False)
    cases: dict[str, Case] = field(default_factory=dict, repr=False)
    answers: dict[str, dict[str, Any]] = field(default_factory=dict, repr=False)
    on_taken: Callable[[], None] = lambda: None
    _digests: dict[str, str] = field(default_factory=dict, repr=False)
    _mode: str = "ok"
    _left: int | None = None

    def __post_init__(self) -> None:
        """Take in what an earlier run has journalled."""
        if self.journal_path is None or not self.journal_path.exists():
            return
        for line in self.journal_path.read_bytes().splitlines():
            try:
                entry = Received(**json.loads(line))
            except (ValueError, TypeError):
                continue  # the last line of a killed run may be cut
            self.received.append(entry)
            self._settle(entry)

    def misbehave(self, mode: str, count: int | None = None) -> None:
        """Answer the next `count` messages by `mode`; None: until told otherwise."""
        if mode not in MODES:
            raise ConfigurationError(f"No mode {mode!r}; take one of {', '.join(sorted(MODES))}.")
        self._mode, self._left = mode, count

    def behaviour(self) -> tuple[str, int | None]:
        """The mode in force and for how many messages."""
        return self._mode, self._left

    def next_mode(self) -> str:
        """The mode of the message in hand."""
        mode = self._mode
        if self._left is not None:
            self._left -= 1
            if self._left <= 0:
                self._mode, self._left = "ok", None
        return mode

    def take(self, body: bytes, mode: str) -> dict[str, Any]:
        """Keep a message and give the answer to it. Raises `Unreadable`."""
        bundle, message_id, kind, case_id, version = _read(body)
        digest = hashlib.sha256(body).hexdigest()
        known = self._digests.get(message_id)
        rule = ""
        if known is not None and known != digest:
            rule = "id-reuse"
        elif known is None and mode == "reject":
            rule = "practice-rule"
        entry = Received(
            message_id=message_id,
            case_id=case_id,
            version=version,
            kind=kind.value,
            received_at=self.clock().isoformat(),
            repeat=known == digest,
            mode=mode,
            rule=rule,
            digest=digest,
            bundle=bundle,
        )
        if self.journal_path is not None:
            with self.journal_path.open("a", encoding="utf-8") as journal:
                journal.write(json.dumps(asdict(entry), sort_keys=True) + "\n")
        self.received.append(entry)
        said = self._settle(entry)
        self.on_taken()
        return said

    def _settle(self, entry: Received) -> dict[str, Any]:
        if entry.repeat:
            return self.answers[entry.message_id]
        said = _answer(entry, self.clock())
        if entry.rule == "id-reuse":
            return said  # the first answer stands
        self._digests[entry.message_id] = entry.digest
        self.answers[entry.message_id] = said
        there = self.cases.get(entry.case_id)
        if not entry.rule and (there is None or entry.version > there.version):
            self.cases[entry.case_id] = _case(entry)
        return said


def _case(entry: Received) -> Case:
    if entry.kind == Kind.VOID:
        reason = _parameter(entry.bundle, "reason", "valueCode")
        return Case(entry.version, "voided", str(reason))
    return Case(entry.version, "held", content=entry.bundle["entry"][2]["resource"])


def _read(body: bytes) -> tuple[dict[str, Any], str, Kind, str, int]:
    try:
        bundle = json.loads(body)
        header = bundle["entry"][0]["resource"]
        if bundle["resourceType"] != "Bundle" or bundle["type"] != "message":
            raise Unreadable("not-a-message")
        kind = _KINDS.get(header["eventCoding"]["code"])
        if header["eventCoding"]["system"] != EVENT_SYSTEM or kind is None:
            raise Unreadable("unknown-event")
        case_id = str(uuid.UUID(_parameter(bundle, "reference", "valueString")))
        version = _parameter(bundle, "version", "valuePositiveInt")
        if type(version) is not int or version < 1:
            raise Unreadable("no-version")
        if kind is not Kind.VOID and bundle["entry"][2]["resource"]["resourceType"] != "Bundle":
            raise Unreadable("no-case")
        return bundle, str(uuid.UUID(header["id"])), kind, case_id, version
    except Unreadable:
        raise
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        raise Unreadable("unreadable") from None


def _parameter(bundle: dict[str, Any], name: str, kind: str) -> Any:
    (found,) = (
        one[kind] for one in bundle["entry"][1]["resource"]["parameter"] if one["name"] == name
    )
    return found


def _answer(entry: Received, at: datetime) -> dict[str, Any]:
    """An acknowledgement, or a rejection with its rule."""
    outcome_id = derive("practice-ncmd-outcome", entry.message_id, entry.rule)
    answer_id = derive("practice-ncmd-answer", entry.message_id, entry.rule)
    response: dict[str, Any] = {"identifier": entry.message_id, "code": "ok"}
    entries: list[dict[str, Any]] = []
    if entry.rule:
        url = f"urn:uuid:{outcome_id}"
        response = {**response, "code": "fatal-error", "details": {"reference": url}}
        coding = {"system": "urn:halyard:practice:ncmd-rule", "code": entry.rule}
        issue = {"severity": "fatal", "code": "business-rule", "details": {"coding": [coding]}}
        entries = [
            {"fullUrl": url, "resource": {"resourceType": "OperationOutcome", "issue": [issue]}}
        ]
    header = {
        "resourceType": "MessageHeader",
        "id": str(answer_id),
        "eventCoding": {
            "system": EVENT_SYSTEM,
            "code": REJECTION if entry.rule else ACKNOWLEDGEMENT,
        },
        "source": {"endpoint": "urn:halyard:practice:ncmd"},
        "response": response,
    }
    return {
        "resourceType": "Bundle",
        "id": str(answer_id),
        "type": "message",
        "timestamp": at.isoformat(),
        "entry": [{"fullUrl": f"urn:uuid:{answer_id}", "resource": header}, *entries],
    }
