"""Versions as entity tags, weak and numbered as in FHIR (``W/"7"``), and the precondition If-Match.

A version tells everything that a caller can have read, so a tag that names it guards a write.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

from fastapi import Header

from halyard.http import HttpProblem

IfMatch = Annotated[str | None, Header(max_length=1_000)]
"""The header If-Match of a route that honours it."""

HEADER: Final[dict[str, Any]] = {
    "ETag": {
        "description": 'The version, as W/"<number>"; send it back in If-Match.',
        "schema": {"type": "string"},
    }
}

_TAG: Final = re.compile(r'(?:W/)?"([0-9]{1,18})"', re.ASCII)


def etag(version: int) -> str:
    """The entity tag of a version."""
    return f'W/"{version}"'


def matches(if_match: str | None, version: int) -> bool:
    """Whether a write of somebody who read what `if_match` names may go on (RFC 9110 13.1.1).

    Weak tags match too, as everywhere in FHIR; no header and ``*`` match any version.
    """
    if if_match is None or if_match.strip() == "*":
        return True
    found = [_TAG.fullmatch(one.strip()) for one in if_match.split(",")]
    return any(one is not None and int(one[1]) == version for one in found)


def check(if_match: str | None, version: int) -> None:
    """Raises `HttpProblem` 412 if the version is none of those that If-Match names."""
    if not matches(if_match, version):
        raise HttpProblem(
            412,
            "It has changed since it was read",
            "Read it again, decide on what stands there now, and send its new ETag in If-Match.",
            rule="http.precondition_failed",
            place="header.If-Match",
            headers={"ETag": etag(version)},
            extras={"version": version},
        )
