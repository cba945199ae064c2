"""Claims whose truth is known, run through the client, the comparison and the judge."""
