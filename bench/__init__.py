"""Measurements of the running system; docs/performance.md holds figures and how to read them."""
