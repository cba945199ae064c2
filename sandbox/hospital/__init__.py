"""Practice hospitals: what they send on a night, at a birth, and when their feed goes mad."""
