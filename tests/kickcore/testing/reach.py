"""How many examples are tried, and how they are looked for where any will do."""

from hypothesis import HealthCheck, Phase, settings

SOME = settings(max_examples=25, deadline=None)
"""What is drawn is simple, and a machine may be slow."""
FIRST = settings(
    max_examples=5000,
    database=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
"""The first that is found, without looking for a simpler one."""
