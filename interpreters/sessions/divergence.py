"""What a replay says when a program and a recording disagree, so that a stranger understands it."""

from enum import StrEnum
from itertools import zip_longest
from typing import Any, Final, cast

import msgspec
from msgspec import Struct


class Reason(StrEnum):
    """How a program and a recording may disagree.

    A recording that needs another kickcore is refused when it is read, with a `SessionError`.
    """

    KIND = "kind"
    """The program asks for another effect."""
    FIELD = "field"
    """The same effect, with another value in it."""
    IDENTITY = "identity"
    """The same effect with another secret: the wrong token, for example."""
    EXTRA = "extra"
    """The program goes on where the recording ends."""
    UNFINISHED = "unfinished"
    """The recording goes on where the program ends."""
    ORDER = "order"
    """It is the turn of a program that does not ask, or was never begun."""
    LOST = "lost"
    """The recording holds no answer: it was cut off there."""


HEADLINES: Final = {
    Reason.KIND: "asked for something else than the recording has",
    Reason.FIELD: "asked the same as the recording has, with another value",
    Reason.IDENTITY: "used another secret than the recording has",
    Reason.EXTRA: "goes on where its recording ends",
    Reason.UNFINISHED: "ended, and its recording goes on",
    Reason.ORDER: "is the next by the recording, and does not ask",
    Reason.LOST: "comes to an effect whose answer was never recorded",
}


class Difference(Struct, frozen=True):
    """All that is known of a disagreement. `pointer` is a JSON pointer into what was asked; `place` is the source line
    of the program's `yield from`; texts hold aliases in place of secrets.
    """

    reason: Reason
    program: str
    index: int = 0
    line: int = 0
    lines: int = 0
    session: str = ""
    place: str = ""
    pointer: str = ""
    recorded: str = ""
    recorded_note: str = ""
    used: str = ""
    used_note: str = ""
    before: tuple[str, ...] = ()
    following: str = ""
    likely: str = ""
    fix: str = ""


class ReplayDivergence(BaseException):
    """A program and a recording disagree. Raised to whoever runs the program, and never into it.

    It is no `Exception`, so that no retry takes it for a fault of the network. `difference` has the facts.
    """

    def __init__(self, difference: Difference) -> None:
        super().__init__(told(difference))
        self.difference = difference

    @property
    def reason(self) -> Reason:
        """In what way they disagree."""
        return self.difference.reason

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.difference,)


def told(of: Difference) -> str:
    """A disagreement as a text of several lines: always in the same order, the recording before this run."""
    rows = [f"program {of.program} {HEADLINES[of.reason]}"]
    where = f", line {of.line} of {of.lines}" if of.line else ""
    rows.append(f"  session   {of.session}{where}")
    place = f", yielded at {of.place}" if of.place else ""
    rows.append(f"  program   {of.program}, effect {of.index}{place}")
    if of.pointer:
        rows.append(f"  field     {of.pointer}")
    if of.recorded or of.used:
        rows.append(f"    recorded  {of.recorded or 'nothing'}{_note(of.recorded_note)}")
        rows.append(f"    this run  {of.used or 'nothing'}{_note(of.used_note)}")
    if of.before:
        rows.append("  before    " + "   ".join(of.before))
    if of.following:
        rows.append(f"  recording expects next  {of.following}")
    if of.likely:
        rows.append(f"  likely    {of.likely}")
    if of.fix:
        rows.append(f"  fix       {of.fix}")
    return "\n".join(rows)


def _note(text: str) -> str:
    return f"   ({text})" if text else ""


LONGEST: Final = 200
"""Characters of a value that are shown."""


def cut(text: str) -> str:
    """A text for a line of a report."""
    shown = "".join(letter if letter.isprintable() else "�" for letter in text)
    return shown if len(shown) <= LONGEST else f"{shown[: LONGEST - 1]}…"


class _Slot(Struct, frozen=True):
    kind: str = ""
    account: str = ""


class _Notice(Struct, frozen=True):
    type: str = ""


class _Shortly(Struct, frozen=True):
    """What of an ask is worth a place in a list."""

    method: str = ""
    url: str = ""
    query: tuple[tuple[str, str], ...] = ()
    seconds: float | None = None
    notice: _Notice = _Notice()
    group: str = ""
    redirect_uri: str = ""
    slot: _Slot = _Slot()


_SHORTLY: Final = msgspec.json.Decoder(_Shortly)


def summary(kind: str, raw: bytes) -> str:
    """What is asked, in one short text with aliases: for lists of effects. A line that makes no sense is its kind."""
    try:
        asked = _SHORTLY.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return cut(kind)
    if kind == "send":
        query = "&".join(f"{name}={value}" for name, value in asked.query)
        address = asked.url.partition("://")[2]
        path = address[address.find("/") :] if "/" in address else address
        return cut(f"{kind} {asked.method} {path}{'?' + query if query else ''}")
    wait = "" if asked.seconds is None else f"{asked.seconds:g} s"
    slot = asked.slot.kind + (f":{asked.slot.account}" if asked.slot.account else "")
    told = wait or asked.notice.type or asked.group or asked.redirect_uri or slot
    return cut(f"{kind} {told}".rstrip())


def first_difference(recorded: Any, used: Any, pointer: str = "") -> "tuple[str, Any, Any] | None":
    """Where two decoded values differ first, and what stands there; in the order of the recording."""
    if isinstance(recorded, dict) and isinstance(used, dict):
        return _in_members(cast("dict[str, Any]", recorded), cast("dict[str, Any]", used), pointer)
    if isinstance(recorded, list) and isinstance(used, list):
        return _in_items(cast("list[Any]", recorded), cast("list[Any]", used), pointer)
    one, other = cast("object", recorded), cast("object", used)
    is_same = one == other and isinstance(one, bool) is isinstance(other, bool)
    return None if is_same else (pointer or "/", one, other)


def _in_members(recorded: dict[str, Any], used: dict[str, Any], pointer: str) -> "tuple[str, Any, Any] | None":
    for key in (*recorded, *(key for key in used if key not in recorded)):
        one, other = recorded.get(key, ABSENT), used.get(key, ABSENT)
        found = first_difference(one, other, f"{pointer}/{key}")
        if found:
            return found
    return None


def _in_items(recorded: list[Any], used: list[Any], pointer: str) -> "tuple[str, Any, Any] | None":
    for number, (one, other) in enumerate(zip_longest(recorded, used, fillvalue=ABSENT)):
        found = first_difference(one, other, f"{pointer}/{number}")
        if found:
            return found
    return None


class Absent:
    """Stands for a member that is not there."""

    def __repr__(self) -> str:
        return "nothing"


ABSENT: Final = Absent()
