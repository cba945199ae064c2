"""A practice PDS: the real API's shapes, and the cases that NHS England's own sandbox lacks."""
