"""Visits as stories that know no wire: what hospitals report, and which alerts must stand."""
