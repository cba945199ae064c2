"""Word of PDS's changes, in the shapes of the Multicast Notification Service (MNS)."""
