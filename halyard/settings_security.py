"""Settings of the hub's keys (``HALYARD_SECURITY__…``)."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, model_validator

from halyard.settings_section import Section


class SecuritySettings(Section):
    """Keys: from one secrets file, or each from a file or variable of its own (never from the
    repository). What stands alone wins over the secrets file.
    """

    # TOML file (mode 0600): bus_key, store_key (hex, 32 bytes), and under [webhook] for each name a
    # secret, or a list of them while it is being changed (docs/reference/keys.md)
    secrets_file: Path | None = None
    bus_key: SecretStr | None = None
    bus_key_file: Path | None = None  # holds the one key, as text; mode 0600, or 0400
    store_key: SecretStr | None = None
    store_key_file: Path | None = None
    # Name = secret, or several with commas between: all of them sign
    webhook: dict[str, SecretStr] = Field(default_factory=dict)
    webhook_dir: Path | None = None  # a file for each name, a secret a line

    @model_validator(mode="after")
    def _one_place_each(self) -> Self:
        for name in ("bus_key", "store_key"):
            if getattr(self, name) is not None and getattr(self, f"{name}_file") is not None:
                raise ValueError(f"{name} comes from a variable or from a file; unset one")
        return self

    @property
    def given(self) -> bool:
        """Whether there is a secrets file, or both keys stand elsewhere."""
        return self.secrets_file is not None or all(
            getattr(self, name) is not None or getattr(self, f"{name}_file") is not None
            for name in ("bus_key", "store_key")
        )
