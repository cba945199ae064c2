"""Settings of the audit chain: sealing, checkpoints, reviews (``HALYARD_AUDIT__…``)."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr, field_validator

from halyard.local_hours import LocalHours
from halyard.settings_section import Section


class AuditSettings(Section):
    """The audit chain (`halyard sealer`)."""

    # The sealer's own role: it alone adds seals and checkpoints
    database_url: SecretStr = SecretStr("postgresql://halyard_sealer@127.0.0.1:5432/halyard")
    # Where checkpoints are exported: in production somewhere the database's owner cannot write.
    # None: in practice `audit-checkpoints` in the data directory; in production the sealer refuses
    checkpoint_dir: Path | None = None
    # The keys of checkpoints, if not in the secrets file: only the sealer need be able to read them
    keys_file: Path | None = None
    # The open window: how long, or how many, entries may stand under no exported checkpoint
    window_seconds: float = Field(default=10.0, ge=1, le=600)
    window_entries: int = Field(default=1_000, ge=1)
    # The sealer signs at least so often, also when nothing happens; verifying finds three times as
    # long without a checkpoint
    heartbeat_seconds: float = Field(default=300.0, ge=1)
    seal_seconds: float = Field(default=1.0, gt=0)  # between two passes of the sealer
    seal_batch: int = Field(default=2_000, ge=1, le=20_000)
    # Reviews: 1 in so many accesses is looked at by a person; 0 takes no sample
    sample_one_in: int = Field(default=100, ge=0)
    review_days: int = Field(default=7, ge=1)  # until a review is due
    urgent_review_hours: int = Field(default=24, ge=1)  # of break-glass and restricted children
    # Unusual: one actor at more children, or refused more often, within an hour
    children_an_hour: int = Field(default=30, ge=1)
    refusals_an_hour: int = Field(default=10, ge=1)
    # Organisation = local hours in which accesses are usual: {"E06000001": "07:00-20:00"}
    usual_hours: dict[str, str] = Field(default_factory=dict)

    @field_validator("usual_hours")
    @classmethod
    def _are_hours(cls, value: dict[str, str]) -> dict[str, str]:
        for text in value.values():
            LocalHours.parse(text)
        return value
