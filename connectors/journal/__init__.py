"""The journal: an index of every topic, off the hot path; `halyard trace` reads it."""
