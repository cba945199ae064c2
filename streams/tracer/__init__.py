"""Spends the ration of PDS calls by priority, and releases what waits for the answers."""
