"""A practice safeguarding contact of a hospital: told of matches, acceptances and withdrawals."""

from __future__ import annotations
