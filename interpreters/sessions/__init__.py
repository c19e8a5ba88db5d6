"""Sessions: record a whole flow once, at the level of effects; replay it anywhere, offline, without a secret in it."""

from interpreters.sessions.divergence import Difference, Reason, ReplayDivergence
from interpreters.sessions.lines import Session, load, read
from interpreters.sessions.playing import Cancelled, Order, Player, replayed
from interpreters.sessions.recording import Recording

__all__ = [
    "Cancelled",
    "Difference",
    "Order",
    "Player",
    "Reason",
    "Recording",
    "ReplayDivergence",
    "Session",
    "load",
    "read",
    "replayed",
]
