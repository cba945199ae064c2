"""Settings of the sharing policies."""

from __future__ import annotations

from pathlib import Path

from halyard.settings_section import Section


class PolicySettings(Section):
    """Which policies hold."""

    # A folder of *.yaml files, which holds every policy; none: those that come with the product
    directory: Path | None = None
