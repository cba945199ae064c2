"""`halyard serve` without its command line: ``python -m tests.support.serve``."""

from __future__ import annotations

import sys

from flag_service.process import run
from halyard import service
from halyard.settings import load_settings

if __name__ == "__main__":
    settings = load_settings()
    sys.exit(service.run("serve", settings, lambda made: run(made, settings)))
