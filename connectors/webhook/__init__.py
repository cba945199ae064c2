"""Alerts and receipts to other systems' HTTP endpoints, signed."""

from __future__ import annotations
