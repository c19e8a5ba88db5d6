"""Sessions: record a whole flow once, at the level of effects; replay it anywhere, offline, without a secret in it.

Importing the package loads nothing else: the pytest plugin is part of it, and costs nothing until it is used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from interpreters.sessions.divergence import Difference, Reason, ReplayDivergence
    from interpreters.sessions.lines import Session, load, read
    from interpreters.sessions.modes import Mode, Take
    from interpreters.sessions.playing import Cancelled, Order, Player, replayed
    from interpreters.sessions.recording import Recording

__all__ = [
    "Cancelled",
    "Difference",
    "Mode",
    "Order",
    "Player",
    "Reason",
    "Recording",
    "ReplayDivergence",
    "Session",
    "Take",
    "load",
    "read",
    "replayed",
]

_HOMES: Final = {
    "divergence": ("Difference", "Reason", "ReplayDivergence"),
    "lines": ("Session", "load", "read"),
    "modes": ("Mode", "Take"),
    "playing": ("Cancelled", "Order", "Player", "replayed"),
    "recording": ("Recording",),
}
"""The module of each name; the names are those above."""


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            found = getattr(import_module(f"{__name__}.{home}"), name)
            globals()[name] = found
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
