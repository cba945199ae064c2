"""The dispatcher: takes what is to be sent, sends it, and records what became of it."""

from __future__ import annotations
