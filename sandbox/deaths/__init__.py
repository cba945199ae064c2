"""Practice senders of child deaths: notifications, agencies' reports, PDS events."""
