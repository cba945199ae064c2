"""Local authorities: flags by JSON lines, answers by line, alerts to accept."""
