"""One target under atheris (libFuzzer for Python): inputs that reach new code are kept.

A program of its own, started by `tests.fuzz.run` in the environment that has atheris:
``python -m tests.fuzz.guided TARGET FINDINGS CORPUS [-libFuzzer options]``. Exceptions are written
to FINDINGS and the run goes on; only a hang or the memory limit ends it early. libFuzzer starts
itself again to merge: ``FUZZ_AGAIN`` names a script that does so.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(
    include=["connectors", "halyard", "schemas", "stores"], enable_loader_override=False
):
    from tests.fuzz.targets import TARGETS
from tests.fuzz.corpus import name_of
from tests.fuzz.trial import Trial


def main() -> None:
    """Run until libFuzzer's own limits (``-runs``, ``-max_total_time``)."""
    name, findings, *options = sys.argv[1:]
    folder = Path(findings)

    def report(rule: str, data: bytes) -> None:
        slug = re.sub(r"[^a-z0-9.-]+", "-", rule.lower())
        (folder / f"{slug}--{name_of(data)}").write_bytes(data)

    trial = Trial(TARGETS[name], report)

    def tried(data: bytes) -> None:  # atheris wants None of it
        trial.one(data)

    atheris.Setup([os.environ["FUZZ_AGAIN"], *options], tried)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
