"""How many duplicates are found among generated notifications, and how many twins are mistaken.

    python -m bench.duplicates                  # 10,000 notifications, a minute; on the page
    python -m bench.duplicates --count 1000 --seed 7 --no-page

Each notification goes over the wire format and its reader, as a message would; what shares a keyed
token is compared, and the pairs proposed are held against the truth. No database, no broker.
"""

from __future__ import annotations

import itertools
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import orjson

from bench import command
from bench.report import Setting, table
from connectors.fhir.death_messages import DeathMessage
from connectors.fhir.deaths import to_death_event
from connectors.fhir.messages import read_message
from halyard.ids import derive
from halyard.privacy import Keys
from sandbox.deaths.population import Labelled, Population, generate
from schemas.deaths import DeathNotified
from schemas.events import NhsNumberStatus
from stores.directory import Feed
from streams.cases.duplicates import RULES, TELLING, TWIN_NOT_RULED_OUT, Likeness, compare
from streams.cases.model import Notification
from streams.cases.profiles import profile_of, tokens

MARKERS: Final = ("<!-- bench.duplicates: begin -->", "<!-- bench.duplicates: end -->")
KEYS: Final = Keys(bus=b"b" * 32, store=b"s" * 32)  # of this measurement alone


class Class(StrEnum):
    """What a pair of notifications truly is."""

    DUPLICATE = "one child"
    TWINS = "twins"
    OTHERS = "others"  # brothers and sisters, strangers


@dataclass(frozen=True, slots=True)
class Pair:
    """Two notifications that were compared, in order of receipt."""

    one: Labelled
    other: Labelled
    truth: Class
    likeness: Likeness


@dataclass(frozen=True, slots=True)
class Figures:
    """What came of it. `pairs` are those compared; `missed` also holds duplicates that share no
    token, and so never were (`never_compared`).
    """

    notifications: int
    pairs: tuple[Pair, ...] = field(repr=False)
    duplicates: int
    never_compared: tuple[tuple[Labelled, Labelled], ...] = field(repr=False)
    most_candidates: int
    tokens_each: float
    seconds: float

    @property
    def proposed(self) -> list[Pair]:
        """The pairs proposed."""
        return [one for one in self.pairs if one.likeness.proposed]

    def count(self, truth: Class, *, proposed: bool) -> int:
        """Pairs compared of a class."""
        return sum(one.truth is truth and one.likeness.proposed is proposed for one in self.pairs)

    @property
    def precision(self) -> float:
        """Proposals that are right, of all proposals."""
        right = self.count(Class.DUPLICATE, proposed=True)
        return right / len(self.proposed) if self.proposed else 1.0

    @property
    def recall(self) -> float:
        """Duplicates proposed, of all that there are."""
        right = self.count(Class.DUPLICATE, proposed=True)
        return right / self.duplicates if self.duplicates else 1.0

    @property
    def twins_without_difference(self) -> list[Pair]:
        """Twins proposed as one child without showing anything that tells twins apart."""
        shown = {*TELLING, *(f"{one}-nearly" for one in TELLING), TWIN_NOT_RULED_OUT}
        return [
            one
            for one in self.proposed
            if one.truth is Class.TWINS and not shown & set(one.likeness.differences)
        ]


def measure(population: Population) -> Figures:
    """Compare what shares a token."""
    told = population.notifications
    profiles = [profile_of(as_notification(one)) for one in told]
    began = time.perf_counter()
    places: dict[str, list[int]] = defaultdict(list)
    made = 0
    for at, profile in enumerate(profiles):
        for token in tokens(profile, KEYS):
            places[token].append(at)
            made += 1
    candidates = {pair for found in places.values() for pair in itertools.combinations(found, 2)}
    pairs = tuple(
        Pair(
            told[left],
            told[right],
            _truth(told[left], told[right]),
            compare(profiles[left], profiles[right]),
        )
        for left, right in sorted(candidates)
    )
    spent = time.perf_counter() - began
    each = Counter(at for pair in candidates for at in pair)
    same = list(_same(told))
    return Figures(
        notifications=len(told),
        pairs=pairs,
        duplicates=len(same),
        never_compared=tuple(
            (told[left], told[right]) for left, right in same if (left, right) not in candidates
        ),
        most_candidates=max(each.values(), default=0),
        tokens_each=made / len(told),
        seconds=spent,
    )


def as_notification(one: Labelled) -> Notification:
    """The notification as the hub holds it, before any number is verified."""
    feed = Feed(source=one.source, organisation=one.organisation, transport="fhir")
    read = read_message(orjson.dumps(one.message()))
    if not isinstance(read, DeathMessage):
        raise TypeError("a generated notification is no death message; mend sandbox.deaths")
    event = to_death_event(read, feed=feed, keys=KEYS, received_at=one.received_at)
    if not isinstance(event, DeathNotified):
        raise TypeError("a generated notification is read as another message")
    return Notification(
        source=one.source,
        reference=one.reference,
        case_id=derive("case", one.source, one.reference),
        notified=event,
        voided=False,
        indicator=NhsNumberStatus.TRACE_REQUIRED,
        identity_rule="not-traced",
        first_received_at=one.received_at,
    )


def _truth(one: Labelled, other: Labelled) -> Class:
    if one.child == other.child:
        return Class.DUPLICATE
    return Class.TWINS if one.twin_of == other.child else Class.OTHERS


def _same(told: tuple[Labelled, ...]) -> Iterator[tuple[int, int]]:
    by_child: dict[int, list[int]] = defaultdict(list)
    for at, one in enumerate(told):
        by_child[one.child].append(at)
    for found in by_child.values():
        yield from itertools.combinations(found, 2)


def render(figures: Figures, where: Setting) -> str:
    """Everything as Markdown."""
    rows = [
        [
            truth.value,
            f"{figures.count(truth, proposed=True):,}",
            f"{figures.count(truth, proposed=False):,}",
            f"{len(figures.never_compared):,}" if truth is Class.DUPLICATE else "–",
        ]
        for truth in Class
    ]
    by_rule = Counter((pair.likeness.rule, pair.truth) for pair in figures.pairs)
    rules = [[f"`{rule}`", *(f"{by_rule[rule, truth]:,}" for truth in Class)] for rule in RULES]
    missed = [pair for pair in figures.pairs if _missed(pair)]
    slips = Counter(slip for pair in missed for slip in {*pair.one.slips, *pair.other.slips})
    shared = 2 * len(figures.pairs) / figures.notifications
    parts = [
        where.text(),
        (
            f"{figures.notifications:,} notifications, {figures.duplicates:,} pairs of one child. "
            f"**Precision {figures.precision:.3f}, recall {figures.recall:.3f}**; twins proposed "
            f"without a difference that tells twins apart: {len(figures.twins_without_difference)}."
        ),
        table(["pairs that are", "proposed", "compared, not proposed", "never compared"], rows),
        "By the rule that decided:",
        table(["", *(truth.value for truth in Class)], rules),
        (
            f"Tokens of a notification: {figures.tokens_each:.1f}; others that share one: "
            f"{shared:.1f}, {figures.most_candidates} at most. "
            f"Finding and comparing all: {figures.seconds:.1f} s."
        ),
    ]
    if missed:
        told = ", ".join(f"{name} {count}" for name, count in slips.most_common(8))
        parts.append(f"What was wrong in the pairs that were missed ({len(missed)}): {told}.")
    return "\n\n".join(parts) + "\n"


def _missed(pair: Pair) -> bool:
    return pair.truth is Class.DUPLICATE and not pair.likeness.proposed


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and report; gives the exit code: not 0 if twins were proposed unseen."""
    chosen = command.options(
        "bench.duplicates",
        __doc__,
        arguments,
        sizes=(("count", int, "notifications"), ("seed", int, "of the generator")),
        defaults=_Sizes(),
    )
    where = command.setting(chosen)
    figures = measure(generate(chosen.count, chosen.seed))
    return command.finish(
        chosen,
        where,
        render(figures, where),
        {
            "notifications": figures.notifications,
            "duplicates": figures.duplicates,
            "precision": figures.precision,
            "recall": figures.recall,
            "never_compared": len(figures.never_compared),
            "twins_without_difference": len(figures.twins_without_difference),
            "pairs": {
                truth.value: {
                    "proposed": figures.count(truth, proposed=True),
                    "not_proposed": figures.count(truth, proposed=False),
                }
                for truth in Class
            },
        },
        markers=MARKERS,
        whole=not figures.twins_without_difference,
    )


@dataclass(frozen=True, slots=True)
class _Sizes:
    count: int = 10_000
    seed: int = 1


if __name__ == "__main__":
    command.run(main)
