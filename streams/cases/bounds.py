"""How much a case may say in one event: a record has a bound, and no case outgrows it (pure).

The longest texts are cut first, all to one length, so that every statement still stands. Only if
that is not enough are statements left out, from the end: what leads is kept. The messages
themselves are stored whole; a case that was cut says so among its needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from schemas.deaths import CaseFact

MAX_FACTS_BYTES: Final = 900_000
"""Of all facts of a case; a record has 1,500,000 (``kafka.max_record_bytes``)."""
SHORTEST: Final = 500
"""Bytes that a text is not cut below."""
CUT: Final = " [cut]"

_OVERHEAD: Final = 48  # of a fact: ids, times, enums, lengths


def bounded(
    facts: Sequence[CaseFact], *, limit: int = MAX_FACTS_BYTES
) -> tuple[tuple[CaseFact, ...], bool]:
    """`facts` within `limit` bytes, and whether anything was cut for it."""
    texts = [len((one.fact.value or "").encode()) for one in facts]
    fixed = [_fixed(one) for one in facts]
    if sum(texts) + sum(fixed) <= limit:
        return tuple(facts), False
    longest = max(_longest(texts, limit - sum(fixed)), SHORTEST)
    kept: list[CaseFact] = []
    used = 0
    for one, size, base in zip(facts, texts, fixed, strict=True):
        used += base + min(size, longest)
        if used > limit:
            break
        kept.append(_cut(one, longest) if size > longest else one)
    return tuple(kept), True


def _longest(texts: Sequence[int], room: int) -> int:
    """The length to which the longest of `texts` are cut so that all fit into `room`."""
    left, count = room, len(texts)
    for size in sorted(texts):
        if size * count > left:
            return max(left // count, 0)
        left -= size
        count -= 1
    return room


def _fixed(one: CaseFact) -> int:
    fact = one.fact
    words = (fact.name, fact.absent, fact.as_at, one.organisation, one.form)
    return _OVERHEAD + sum(len((word or "").encode()) for word in words)


def _cut(one: CaseFact, length: int) -> CaseFact:
    kept = (one.fact.value or "").encode()[: length - len(CUT)].decode("utf-8", "ignore")
    return replace(one, fact=replace(one.fact, value=kept + CUT))
