"""Settings of batch tracing and of traces of one person (``HALYARD_TRACING__…``)."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from halyard.settings_section import Section


class TracingSettings(Section):
    """What organisations may have traced, and how much of it at once."""

    # Questions of one organisation's batches that are before PDS at a time; the next come as these
    # are answered, so that no file keeps another's waiting
    live_requests: int = Field(default=10, ge=1, le=1_000)
    # Traces of one person that are before PDS at a time, of all organisations: they go with flags,
    # and must not take the ration for themselves
    live_persons: int = Field(default=10, ge=1, le=1_000)
    # Lines of one file, and batches of one organisation that are not done
    max_lines: int = Field(default=100_000, ge=1)
    open_batches: int = Field(default=5, ge=1)
    # Traces of one person, for each organisation. RISK: a trace tells whether guessed details are
    # somebody's; more of them is more guesses
    persons_per_hour: int = Field(default=60, ge=0)
    # How long the answer to a trace of one person is waited for before 202
    person_wait_seconds: float = Field(default=10.0, ge=0, le=25)
    # Columns of trace files (TOML); none: those of docs/reference/tracing.md
    layout_file: Path | None = None
    # RISK: a number that a trace file confirms or finds by details alone is told as verified; PDS
    # is not asked, and whether the child's record is restricted is not known
    trust_trace_file: bool = False
