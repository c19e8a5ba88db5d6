"""Kick's public API, one module per resource: first its values, then its programs."""
