"""A process to be killed: starts both embedded services, says so on a line, and waits.

``python embedded_parent.py DIRECTORY CACHE``; prints one JSON object when both are ready.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from pathlib import Path

from halyard.embedded.kafka import EmbeddedKafka
from halyard.embedded.postgres import EmbeddedPostgres


def main(directory: Path, cache: Path) -> None:
    """Start, tell, wait for ever."""
    began = time.monotonic()
    kafka = EmbeddedKafka(directory / "kafka", cache_dir=cache, heap_mb=256)
    postgres = EmbeddedPostgres(directory / "postgres")
    kafka.launch()
    postgres.start()
    kafka.wait_ready()
    told = {
        "kafka": kafka.pid,
        "postgres": postgres.pid,
        "seconds": time.monotonic() - began,
        "cluster_id": kafka.cluster_id,
        "bootstrap_servers": kafka.bootstrap_servers,
        "admin_url": postgres.admin_url,
    }
    print(json.dumps(told), flush=True)
    while True:
        signal.pause()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
