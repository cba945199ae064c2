"""A practice OpenID Connect issuer: tokens for invented people and for registered machines."""
