"""The NCMD store's connector: every version of every case, exactly once, from the bus."""
