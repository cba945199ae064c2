"""A world of identity with worklists."""

from __future__ import annotations

from tests.integration.identity.conftest import pds, world

__all__ = ["pds", "world"]
