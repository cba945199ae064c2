"""Named fault points, for tests: ``HALYARD_FAULT=identity.after_commit:kill:1``.

``POINT:ACTION[:N]`` — at the Nth time the point is passed (default 1) the action happens:
``kill`` (SIGKILL to ourselves), ``raise`` (a `FaultInjected`), ``poison`` (a `ContractError`),
``hang`` (never returns). Several are separated by commas. Refused in the production profile by
`halyard.settings`.
"""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass

from halyard.errors import ConfigurationError, ContractError, TransientError

POINTS = frozenset(
    {
        "hl7v2.before_produce",
        "hl7v2.after_produce",
        "identity.before_commit",
        "identity.after_commit",
        "identity.after_produce",
        "matching.before_commit",
        "matching.after_commit",
        "matching.after_produce",
        "cases.before_commit",
        "cases.after_commit",
        "cases.after_produce",
        "tracer.after_claim",
        "tracer.after_call",
        "tracer.after_commit",
        "tracer.after_produce",
        "tracer.after_query",
        "dispatcher.after_claim",
        "dispatcher.after_send",
        "dispatcher.after_commit",
        "dispatcher.after_produce",
        "letters.after_claim",
        "letters.after_send",
        "accept.before_commit",
        "accept.after_commit",
        "accept.after_produce",
        "channel.before_commit_offsets",
        "journal.before_commit",
        "journal.after_commit",
        "ncmd.before_commit",
        "ncmd.after_commit",
        "ncmd.after_send",
    }
)


class FaultInjected(TransientError):
    """A fault point fired; unset HALYARD_FAULT to run without it."""


@dataclass(slots=True)
class _Fault:
    action: str
    at: int
    passed: int = 0


_armed: dict[str, _Fault] = {}


def arm(text: str | None) -> None:
    """Set the fault points of this process from `text`; None clears them.

    Raises `ConfigurationError` for an unknown point or action.
    """
    _armed.clear()
    for entry in (text or "").split(","):
        if not entry.strip():
            continue
        point, _, rest = entry.strip().partition(":")
        action, _, number = rest.partition(":")
        if point not in POINTS or action not in {"kill", "raise", "poison", "hang"}:
            raise ConfigurationError(
                f"HALYARD_FAULT: {point}:{action} is unknown; see halyard/faults.py."
            )
        if not (number or "1").isdecimal() or int(number or 1) < 1:
            raise ConfigurationError(f"HALYARD_FAULT: {point}:{action} counts from 1.")
        _armed[point] = _Fault(action, int(number or 1))


def point(name: str) -> None:
    """Pass the fault point `name`; nothing happens unless it is armed."""
    if not _armed or (fault := _armed.get(name)) is None:
        return
    fault.passed += 1
    if fault.passed != fault.at:
        return
    if fault.action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif fault.action == "raise":
        raise FaultInjected
    elif fault.action == "poison":
        raise ContractError("A fault point calls this event poison.")
    else:
        while True:  # deliberately blocks the loop: a hung process
            time.sleep(60)
