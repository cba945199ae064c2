"""Labelled claims against a practice PDS over HTTP: what the hub says of whom.

    python -m bench.labelled                    # 4,500 claims, a minute; on the page
    python -m bench.labelled --each 40 --seed 7 --no-page

Ends with 1 if anybody was verified as somebody else, a restricted postcode showed, or something
was said that the contract of the identity ladder does not allow.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final

from bench import command
from bench.labelled import report
from bench.labelled.alike import unmarked
from bench.labelled.cast import assemble
from bench.labelled.claims import EACH, generate, strangers
from bench.labelled.measure import measure
from bench.labelled.model import Outcome
from sandbox.pds.server import PdsThread

MARKERS: Final = ("<!-- bench.labelled: begin -->", "<!-- bench.labelled: end -->")
SEED: Final = 2026
_TOKEN: Final = "practice-token"


@dataclass(frozen=True, slots=True)
class _Sizes:
    each: int = EACH
    seed: int = SEED


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and report; gives the exit code."""
    chosen = command.options(
        "bench.labelled",
        __doc__,
        arguments,
        sizes=(("each", int, "claims of a kind"), ("seed", int, "of people and claims")),
        defaults=_Sizes(),
    )
    where = command.setting(chosen)
    cast = assemble(chosen.seed)
    claims = list(generate(cast, chosen.seed, chosen.each))
    unknown = strangers(cast, chosen.seed, chosen.each)
    mistakable = unmarked(cast, chosen.seed, chosen.each)
    with PdsThread(cast.everybody) as pds:
        results = asyncio.run(measure(claims, pds.url, _TOKEN))
        beside = report.Beside(
            strangers=asyncio.run(measure(unknown, pds.url, _TOKEN)),
            unmarked=asyncio.run(measure(mistakable, pds.url, _TOKEN)),
        )
    wrong = report.wrong(results)
    return command.finish(
        chosen,
        where,
        report.render(results, beside, where, len(cast.everybody)),
        {
            "claims": len(results),
            "wrong": dict(zip(("hub", "number_alone", "exact"), wrong, strict=True)),
            "leaks": sum(one.leak for one in results),
            "linked": sum(one.linked for one in results),
            "not_allowed": sum(not one.allowed for one in results),
            "recall": {
                name: asdict(report.recall(of)) for name, of in report.rows(results).items()
            },
            "calls": dict(report.calls(results)),
            "strangers_verified": report.taken(beside.strangers),
            "unmarked_twins_verified": report.taken(beside.unmarked),
        },
        markers=MARKERS,
        whole=not any(
            one.leak or one.linked or one.outcome is Outcome.WRONG or not one.allowed
            for one in results
        ),
    )


if __name__ == "__main__":
    command.run(main)
