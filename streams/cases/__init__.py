"""One case for each child who has died: what is notified, reported, asked and decided."""
