"""The audit chain at work: sealing, checkpoints, reviews, verifying."""
