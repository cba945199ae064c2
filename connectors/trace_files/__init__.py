"""Files by which people are traced: an authority's list, the result, and the trace file."""
