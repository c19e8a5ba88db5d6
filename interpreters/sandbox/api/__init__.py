"""The simulated API host, a file for each resource, as in `kickcore.api`."""
