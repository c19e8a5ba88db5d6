"""What a program tells of by the way: values that nobody has to listen to."""

from typing import TypeAlias

from msgspec import Struct


class Retrying(Struct, frozen=True, tag="retrying"):
    """A call is about to be repeated, after a wait of so many seconds. `attempt` is 1 for the first repeat."""

    operation: str
    reason: str
    attempt: int
    wait: float


class DriftNoticed(Struct, frozen=True, tag="drift_noticed"):
    """Kick's answer holds something new. `member` is its path, such as `data[].stream.bitrate`; `value` is the text of
    an unknown value, cleaned and cut, and "" for an unknown member.
    """

    operation: str
    member: str
    value: str = ""


Notice: TypeAlias = Retrying | DriftNoticed
"""All that may be told."""
