"""Changing inputs at random: what the built-in engine does instead of coverage's guidance."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Final

Change = Callable[[bytearray, random.Random, Sequence[bytes], Sequence[bytes]], None]

_ODD: Final = (0x00, 0x0A, 0x0B, 0x0D, 0x1C, 0x22, 0x7F, 0x80, 0xC3, 0xFF)


def mutated(
    chance: random.Random, inputs: Sequence[bytes], tokens: Sequence[bytes], max_bytes: int
) -> bytes:
    """One of `inputs`, changed one to five times, at most `max_bytes` long."""
    data = bytearray(chance.choice(inputs))
    for _ in range(chance.randint(1, 5)):
        chance.choice(CHANGES)(data, chance, inputs, tokens)
    return bytes(data[:max_bytes])


def _range(data: bytearray, chance: random.Random) -> tuple[int, int]:
    start = chance.randrange(len(data) + 1)
    return start, min(len(data), start + 1 + int(chance.expovariate(1 / 8)))


def _byte(data: bytearray, chance: random.Random, *_: Sequence[bytes]) -> None:
    if data:
        data[chance.randrange(len(data))] = chance.randrange(256)


def _odd(data: bytearray, chance: random.Random, *_: Sequence[bytes]) -> None:
    data.insert(chance.randrange(len(data) + 1), chance.choice(_ODD))


def _delete(data: bytearray, chance: random.Random, *_: Sequence[bytes]) -> None:
    start, end = _range(data, chance)
    del data[start:end]


def _repeat(data: bytearray, chance: random.Random, *_: Sequence[bytes]) -> None:
    start, end = _range(data, chance)
    data[end:end] = data[start:end] * chance.choice((1, 1, 2, 40))


def _move(data: bytearray, chance: random.Random, *_: Sequence[bytes]) -> None:
    start, end = _range(data, chance)
    piece = bytes(data[start:end])
    del data[start:end]
    place = chance.randrange(len(data) + 1)
    data[place:place] = piece


def _truncate(data: bytearray, chance: random.Random, *_: Sequence[bytes]) -> None:
    del data[chance.randrange(len(data) + 1) :]


def _token(
    data: bytearray, chance: random.Random, _inputs: Sequence[bytes], tokens: Sequence[bytes]
) -> None:
    start, end = _range(data, chance)
    data[start : chance.choice((start, end))] = chance.choice(tokens)


def _cross(
    data: bytearray, chance: random.Random, inputs: Sequence[bytes], _tokens: Sequence[bytes]
) -> None:
    other = chance.choice(inputs)
    start, end = sorted(chance.randrange(len(other) + 1) for _ in range(2))
    place = chance.randrange(len(data) + 1)
    data[place:place] = other[start:end]


CHANGES: Final[tuple[Change, ...]] = (
    _byte,
    _odd,
    _delete,
    _repeat,
    _move,
    _truncate,
    _token,
    _token,
    _cross,
)
