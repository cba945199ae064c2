"""The Personal Demographics Service (PDS): ask, compare, and never log what was asked."""
