"""What the values of the API have in common."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, ClassVar, TypeAlias

from msgspec import Meta, Struct
from msgspec.structs import force_setattr

Instant: TypeAlias = Annotated[datetime, Meta(tz=True)]
"""An instant with its zone."""

NEVER_YEAR = 1
"""Kick writes 0001-01-01T00:00:00Z where there is no time."""


class Model(Struct, frozen=True):
    """A value of the API: frozen, and forgiving about members that are new.

    Kick writes "" for a text that is not there, 0 for a category that is not set and the year 1 for a time that never
    was. The fields named in `absent` hold None instead.
    """

    absent: ClassVar[tuple[str, ...]] = ()
    known: ClassVar[dict[str, type[StrEnum]]] = {}
    """Fields whose texts come from a set that Kick may extend; unknown ones are kept as they are."""

    def __post_init__(self) -> None:
        # A page has thousands of fields, nearly all of them texts that are there: those cost one look each.
        for name in self.absent:
            value = getattr(self, name)
            if value.__class__ is str:
                if not value:
                    force_setattr(self, name, None)
            elif value is not None and _stands_for_nothing(value):
                force_setattr(self, name, None)


def _stands_for_nothing(value: Any) -> bool:
    if isinstance(value, datetime):
        return value.year == NEVER_YEAR
    if isinstance(value, Model):
        return getattr(value, "id", None) == 0
    return not value
