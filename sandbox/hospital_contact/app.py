"""The hospital's safeguarding contact: a receiver of ``match`` and ``receipt``."""

from __future__ import annotations

from pathlib import Path

from halyard.service import Service
from halyard.settings import Settings
from sandbox.receiver import Receiver, create_app, serve


async def run(
    service: Service,
    settings: Settings,
    *,
    name: str,
    port: int,
    secret: str | tuple[str, ...],
    journal_path: Path | None = None,
) -> None:
    """Receive on loopback until the service stops.

    Raises `ConfigurationError` if `port` is taken.
    """
    del settings, name  # a receiver needs neither: what it is told is in the webhook
    await serve(create_app(Receiver(secret=secret, journal_path=journal_path)), service, port=port)
