"""The confusion table of labelled claims, and how the yardsticks do on them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bench.labelled.measure import Result
from bench.labelled.model import Kind, Labelled, Outcome
from bench.report import Setting, table

_SHORT = {
    Outcome.VERIFIED: "verified",
    Outcome.WRONG: "**another**",
    Outcome.POTENTIAL: "potential",
    Outcome.CONFLICT: "conflict",
    Outcome.UNRESOLVED: "none, several",
    Outcome.QUARANTINED: "quarantined",
    Outcome.NOT_ASKED: "not asked",
}


@dataclass(frozen=True, slots=True)
class Recall:
    """Of claims about somebody whom PDS knows, how many were verified to be theirs."""

    known: int
    hub: int
    number_alone: int
    exact: int

    @property
    def share(self) -> float | None:
        """The hub's recall; None where nobody may be verified."""
        return self.hub / self.known if self.known else None


def numbered(labelled: Labelled) -> bool:
    """Whether the claim has a number of any kind."""
    return labelled.claim.nhs_number is not None


def recall(results: Iterable[Result]) -> Recall:
    """The recall of some results: only what a right hub may verify counts."""
    able = [
        one
        for one in results
        if one.labelled.person is not None
        and one.labelled.counted
        and Outcome.VERIFIED in one.labelled.may
    ]
    return Recall(
        len(able),
        sum(one.outcome is Outcome.VERIFIED for one in able),
        sum(one.number_alone is Outcome.VERIFIED for one in able),
        sum(one.exact is Outcome.VERIFIED for one in able),
    )


def wrong(results: Iterable[Result]) -> tuple[int, int, int]:
    """Claims verified as somebody else: by the hub, by the number alone, by all fields equal."""
    found = list(results)
    return (
        sum(one.outcome is Outcome.WRONG for one in found),
        sum(one.number_alone is Outcome.WRONG for one in found),
        sum(one.exact is Outcome.WRONG for one in found),
    )


def rows(results: Sequence[Result]) -> dict[str, list[Result]]:
    """The results by kind, with and without a number apart, in the order of the kinds."""
    made: dict[str, list[Result]] = {}
    for kind in Kind:
        for with_number in (True, False):
            of = [
                one
                for one in results
                if one.labelled.kind is kind and numbered(one.labelled) is with_number
            ]
            if of:
                made[kind.value if with_number else f"{kind.value}; no number"] = of
    return made


@dataclass(frozen=True, slots=True)
class Beside:
    """What nobody can decide, and is not of the set: `strangers` of PDS, `unmarked` twins."""

    strangers: Sequence[Result]
    unmarked: Sequence[Result]


def taken(results: Iterable[Result]) -> int:
    """How many are verified as another by the hub."""
    return sum(one.outcome is Outcome.WRONG for one in results)


def render(results: Sequence[Result], beside: Beside, where: Setting, people: int) -> str:
    """Everything as Markdown."""
    mistaken = wrong(results)
    leaks = sum(one.leak for one in results)
    linked = sum(one.linked for one in results)
    beyond = sum(not one.allowed for one in results)
    others = sum(one.other for one in results)
    made, unmarked = calls(results), Counter(one.labelled.variant for one in beside.unmarked)
    parts = [
        where.text(),
        (
            f"{len(results):,} claims about {people:,} records. **Verified as somebody else: "
            f"{mistaken[0]}; postcodes of restricted people shown: {leaks}; adopted children "
            f"linked to who they are now: {linked}**; outcomes that the contract does not allow: "
            f"{beyond}; potential matches that are somebody else: {others}. By the number alone "
            f"{mistaken[1]} are somebody else, with all fields equal {mistaken[2]}."
        ),
        "What is said of whom:",
        confusion(results),
        (
            "Recall (of claims about somebody whom PDS knows and who may be verified), and claims "
            "verified as another:"
        ),
        comparison(results),
        (
            f"Calls to PDS a claim: {made['all']:.2f}; by number {made['by number']:.2f}, by "
            f"search {made['by search']:.2f} ({made['most of a search']:.0f} at most)."
        ),
        (
            f"Not in the set: {len(beside.strangers)} claims without a number of people whom PDS "
            "does not know, with the whole name, birth date and gender of somebody whom it does, "
            f"at another postcode. {taken(beside.strangers)} of them are verified as that person."
        ),
        (
            "Nor: twins with each other's number of whom neither the claim nor PDS says that they "
            "are twins. Verified as the other one: "
            + "; ".join(
                f"{taken(one for one in beside.unmarked if one.labelled.variant == variant)} of "
                f"{count} ({variant})"
                for variant, count in sorted(unmarked.items())
            )
            + "."
        ),
        "Which rule decided:",
        rules(results),
    ]
    return "\n\n".join(parts) + "\n"


def confusion(results: Sequence[Result]) -> str:
    """Kind by outcome, a Markdown table."""
    lines = []
    for name, of in rows(results).items():
        counted = Counter(one.outcome for one in of)
        lines.append([name, *(_cell(counted[outcome]) for outcome in Outcome)])
    total = Counter(one.outcome for one in results)
    lines.append(["**all**", *(f"{total[outcome]:,}" for outcome in Outcome)])
    return table(["", *_SHORT.values()], lines)


def comparison(results: Sequence[Result]) -> str:
    """Recall and wrong persons of the hub and both yardsticks, a Markdown table."""
    lines = []
    for name, of in [*rows(results).items(), ("**all**", list(results))]:
        got = recall(of)
        shares = [_share(count, got.known) for count in (got.hub, got.number_alone, got.exact)]
        lines.append([name, f"{len(of):,}", *shares, *(_cell(count) for count in wrong(of))])
    head = ["", "claims", "recall", "number alone", "all equal"]
    return table([*head, "another: Halyard", "number alone", "all equal"], lines)


def calls(results: Sequence[Result]) -> Mapping[str, float]:
    """Calls to PDS a claim: of questions by number, of searches, of all."""
    searches = [one.calls for one in results if one.calls and not one.by_number]
    gets = [one.calls for one in results if one.calls and one.by_number]
    return {
        "by number": sum(gets) / len(gets) if gets else 0.0,
        "by search": sum(searches) / len(searches) if searches else 0.0,
        "most of a search": float(max(searches, default=0)),
        "all": sum(one.calls for one in results) / len(results) if results else 0.0,
    }


def rules(results: Sequence[Result]) -> str:
    """Which rule decided how many claims, a Markdown table."""
    counted = Counter((one.rule, one.outcome) for one in results)
    names = sorted({rule for rule, _ in counted})
    return table(
        ["", *_SHORT.values()],
        [[f"`{rule}`", *(_cell(counted[rule, outcome]) for outcome in Outcome)] for rule in names],
    )


def _share(count: int, of: int) -> str:
    return f"{count / of:.3f}" if of else "–"


def _cell(count: int) -> str:
    return f"{count:,}" if count else "·"
