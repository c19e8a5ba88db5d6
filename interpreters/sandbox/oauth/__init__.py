"""The simulated identity host: consent, tokens, revocation, introspection (reference 3)."""
