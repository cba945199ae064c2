"""A practice local authority: receives alerts, and accepts one when told to."""

from __future__ import annotations
