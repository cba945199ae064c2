"""Derived ids: the same cause always gives the same id, so sending twice is harmless.

UUIDv5 (RFC 9562) under one namespace of our own; the parts are length-prefixed, so that no two
lists of parts can run together.
"""

from __future__ import annotations

import uuid

_NAMESPACE = uuid.UUID("6f1c1a6e-5b0a-5c86-9a53-4f4d1f8f6a10")


def derive(kind: str, *parts: str | int) -> uuid.UUID:
    """Id of a `kind` (``attendance``, ``alert``, …) caused by `parts`, stable for ever."""
    texts = [kind, *(str(part) for part in parts)]
    return uuid.uuid5(_NAMESPACE, "".join(f"{len(text)}:{text}" for text in texts))
