"""Fuzzing of everything that reads a stranger's bytes (docs/howto/test.md)."""
