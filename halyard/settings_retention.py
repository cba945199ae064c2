"""Settings of retention (``HALYARD_RETENTION__…``)."""

from __future__ import annotations

from pydantic import Field

from halyard.settings_section import Section


class RetentionSettings(Section):
    """What is kept for how long (`halyard retention plan|apply`)."""

    # Days by class of data, where the class's own do not fit: {"alerts": 500}
    days: dict[str, int] = Field(default_factory=dict)
    # Monthly partitions are made for so many months after this one
    months_ahead: int = Field(default=13, ge=1, le=120)
