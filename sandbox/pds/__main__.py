"""``python -m sandbox.pds``: the practice PDS, small; ``halyard sandbox pds`` has every option, and
keeps whom it was told of.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from itertools import chain
from pathlib import Path

from halyard.errors import HalyardError
from sandbox.pds.people import load_people
from sandbox.pds.population import populate
from sandbox.pds.server import serve, token_url
from sandbox.pds.settings import PdsSandboxSettings
from sandbox.samples.cast import PEOPLE_FILE


def main() -> int:
    """Read the arguments and serve; the first line on stdout says where, as JSON."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.pds", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes any free port")
    parser.add_argument("--people", type=Path, default=PEOPLE_FILE, help="JSON-lines file")
    parser.add_argument("--generate", type=int, default=0, metavar="N", help="and N people more")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--calls-per-second", type=int, default=None, help="429 beyond it")
    given = parser.parse_args()
    settings = PdsSandboxSettings(
        # From the environment: arguments of a process can be read by everybody on the machine
        token=os.environ.get("HALYARD_PDS__TOKEN") or PdsSandboxSettings().token,
        calls_per_second=given.calls_per_second,
    )
    try:
        people = chain(load_people(given.people), populate(given.generate, given.seed))
        serve(people, settings, host=given.host, port=given.port, on_ready=_say)
    except HalyardError as error:
        print(error.message, file=sys.stderr)
        return 1
    return 0


def _say(base_url: str) -> None:
    line = {"base_url": base_url, "token_url": token_url(base_url)}
    print(json.dumps({"action": "practice_pds_ready", **line}), flush=True)


if __name__ == "__main__":
    sys.exit(main())
