"""A hospital's own system (EPR, or the engine before it) that takes matches and answers by MLLP."""

from __future__ import annotations
