"""Two sessions beside each other: in what they differ, and whether Kick's answers still have the same shape."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from typing import Final, Literal, TypeAlias, cast

import msgspec
from msgspec import Struct

from interpreters.sessions.aliases import ALIAS_TEXT
from interpreters.sessions.coding import Answered
from interpreters.sessions.divergence import ABSENT, Absent, cut, summary
from interpreters.sessions.lines import Line, Session, answered
from kickcore.errors import SessionError

What: TypeAlias = Literal["app", "program", "account", "kind", "asked", "answered", "raised", "outcome", "ended"]


class Change(Struct, frozen=True):
    """One difference of two sessions, `first` against `second`.

    `what` says where: in the app, in which programs there are, in a program's account, or in a line: its kind, what was
    asked, what was answered, what was raised, or which of these came of it; or in how a program ended. `pointer` is a
    JSON pointer into that; `lines` are the line numbers in the two files, 0 where there is none. Texts hold aliases.
    """

    what: What
    program: str = ""
    index: int = 0
    pointer: str = ""
    first: str = ""
    second: str = ""
    lines: tuple[int, int] = (0, 0)

    def __str__(self) -> str:
        where = f"{cut(self.program)} #{self.index}" if any(self.lines) else cut(self.program)
        told = " ".join(part for part in (where, self.what, cut(self.pointer)) if part)
        numbers = "/".join(str(number or "-") for number in self.lines)
        return f"{told}: {self.first} | {self.second}" + (f"  (line {numbers})" if any(self.lines) else "")


INSTANTS: Final = frozenset(
    {"expires_at", "issued_at", "granted_at", "refresh_issued_at", "at_least", "until", "at", "version"}
)
"""Members that say when something was, or how often a token was stored: two recordings of the same differ in them."""


def changes(first: Session, second: Session) -> tuple[Change, ...]:
    """The differences of two sessions, in the order of the first one.

    Programs are found by name, their lines by index; the order between programs is left aside. So are times: those of
    lines, the header's `t0` and seed, and in tokens, waiting and `date` headers what says when something was. Aliases
    are the same if they have one role and stand in the same places: «at:1» may be «at:3» in the other session, but not
    in one place only.

    Raises `SessionError` if one of them holds what is no JSON.
    """
    try:
        return tuple(_changes(first, second))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _not_comparable(first, second) from None


def _not_comparable(first: Session, second: Session) -> SessionError:
    return SessionError(f"{first.name} and {second.name} cannot be compared: a line holds what no effect can be")


def _changes(first: Session, second: Session) -> Iterator[Change]:
    names = _Names()
    for pointer, one, other in _differences(_app(first), _app(second), "", names, with_instants=True):
        yield Change("app", pointer=pointer, first=one, second=other)
    theirs, ours = _by_program(second), _by_program(first)
    for name, rows in ours.items():
        others = theirs.pop(name, None)
        if others is None:
            yield Change("program", name, first=_counted(rows), second="nothing")
            continue
        yield from _of_program(name, rows, others, names)
        then, now = _end(first, rows), _end(second, others)
        if then != now:
            yield Change("ended", name, first=cut(then), second=cut(now))
    for name, rows in theirs.items():
        yield Change("program", name, first="nothing", second=_counted(rows))


_Row: TypeAlias = tuple[int, Line, bool]
"""A line, its number in the file, and whether it was answered."""


def _by_program(session: Session) -> dict[str, list[_Row]]:
    """The lines of each program by its name, with the numbers of aliases left out of it."""
    found: defaultdict[str, list[_Row]] = defaultdict(list)
    for number, line in zip(session.numbers, session.lines, strict=True):
        found[line.p].append((number, line, True))
    for line in session.lost:
        found[line.p].append((0, line, False))
    numbered: dict[str, list[_Row]] = {}
    for name, rows in found.items():
        plain = ALIAS_TEXT.sub(lambda alias: f"«{alias[1]}»" if alias[1] else "««", name)
        again, count = plain, 1
        while again in numbered:
            count += 1
            again = f"{plain} ({count})"
        numbered[again] = rows
    return numbered


def _counted(rows: list[_Row]) -> str:
    return f"{len(rows)} line{'' if len(rows) == 1 else 's'}"


def _app(session: Session) -> object:
    app = session.header.app
    return None if app is None else msgspec.json.decode(msgspec.json.encode(app))


def _end(session: Session, rows: list[_Row]) -> str:
    name = rows[0][1].p
    footer = session.footer
    if footer is None or name in footer.open:
        return "had not ended"
    failure = footer.ended.get(name)
    return f"raised {failure}" if failure else "gave a value"


def _of_program(name: str, rows: list[_Row], others: list[_Row], names: "_Names") -> Iterator[Change]:
    one, other = rows[0][1].a, others[0][1].a
    if one != other:
        yield Change("account", name, first=cut(one) or "nobody", second=cut(other) or "nobody")
    for index, (row, another) in enumerate(zip_longest(rows, others)):
        numbers = (row[0] if row else 0, another[0] if another else 0)
        if row is None or another is None or row[1].k != another[1].k:
            yield Change("kind", name, index, "", _told(row), _told(another), numbers)
        else:
            for what, pointer, then, now in _of_line(row, another, names):
                yield Change(what, name, index, pointer, then, now, numbers)


def _told(row: _Row | None) -> str:
    if row is None:
        return "nothing"
    line = row[1]
    return "cancelled" if line.cancel else summary(line.k, bytes(line.q))


def _of_line(row: _Row, other: _Row, names: "_Names") -> Iterator[tuple[What, str, str, str]]:
    line, another = row[1], other[1]
    for pointer, then, now in _differences(_json(bytes(line.q)), _json(bytes(another.q)), "", names):
        yield "asked", pointer, then, now
    outcomes = _outcome(row), _outcome(other)
    if outcomes[0] != outcomes[1]:
        yield "outcome", "", *outcomes
        return
    for pointer, then, now in _differences(_json(line.answer), _json(another.answer), "", names):
        yield "answered", pointer, then, now
    for pointer, then, now in _differences(_json(line.failure), _json(another.failure), "", names):
        yield "raised", pointer, then, now


def _outcome(row: _Row) -> str:
    _, line, is_answered = row
    if not is_answered:
        return "never answered"
    return "cancelled" if line.cancel else "raised" if line.failure else "answered"


def _json(raw: bytes) -> object:
    return msgspec.json.decode(raw) if raw else None


class _Names:
    """Which alias of the one session is which of the other: one to one, from first sight on."""

    def __init__(self) -> None:
        self._there: dict[str, str] = {}
        self._back: dict[str, str] = {}

    def are_one(self, first: str, second: str) -> bool:
        """Whether two texts are the same but for the numbers of their aliases."""
        if "«" not in first or "«" not in second:
            return first == second
        ones, others = _SPLIT.split(first), _SPLIT.split(second)
        if len(ones) != len(others) or ones[::2] != others[::2]:
            return False
        return all(self._is_one(one, other) for one, other in zip(ones[1::2], others[1::2], strict=True))

    def _is_one(self, one: str, other: str) -> bool:
        if one.partition(":")[0] != other.partition(":")[0]:
            return False
        there, back = self._there.get(one), self._back.get(other)
        if there is None and back is None:
            self._there[one], self._back[other] = other, one
            return True
        return there == other and back == one


_SPLIT: Final = re.compile("(««|«[a-z]{1,5}:[0-9]{1,9}»)")


def _differences(
    one: object, other: object, pointer: str, names: _Names, *, with_instants: bool = False
) -> Iterator[tuple[str, str, str]]:
    """Every place in which two decoded values differ: its pointer, and what stands there."""
    if isinstance(one, dict) and isinstance(other, dict):
        first, second = cast("dict[str, object]", one), cast("dict[str, object]", other)
        for key in (*first, *(key for key in second if key not in first)):
            if with_instants or key not in INSTANTS:
                at = f"{pointer}/{key.replace('~', '~0').replace('/', '~1')}"
                is_body = with_instants or (key == "json" and not pointer)
                then, now = first.get(key, ABSENT), second.get(key, ABSENT)
                yield from _differences(then, now, at, names, with_instants=is_body)
    elif isinstance(one, list) and isinstance(other, list):
        items = zip_longest(cast("list[object]", one), cast("list[object]", other), fillvalue=ABSENT)
        for number, (then, now) in enumerate(items):
            if not (_is_a_date(then) and _is_a_date(now)):
                yield from _differences(then, now, f"{pointer}/{number}", names, with_instants=with_instants)
    else:
        then, now = cast("object", one), other
        if not _is_same(then, now, names):
            told = _shown(then), _shown(now)
            # One number, and by all other places two secrets.
            yield pointer or "/", told[0], told[1] + (" (another one)" if told[0] == told[1] else "")


def _is_a_date(value: object) -> bool:
    """Whether it is a header of an answer that says when it was made."""
    pair = cast("list[object]", value) if isinstance(value, list) else []
    return len(pair) == 2 and pair[0] == "date"


def _is_same(one: object, other: object, names: _Names) -> bool:
    if isinstance(one, str) and isinstance(other, str):
        return names.are_one(one, other)
    return one == other and isinstance(one, bool) is isinstance(other, bool)


def _shown(value: object) -> str:
    return "nothing" if isinstance(value, Absent) else cut(msgspec.json.encode(value).decode())


# Shapes


def shape_changes(recorded: Session, now: Session) -> tuple[str, ...]:
    """In what the HTTP answers of `now` have another shape than those of `recorded`: status, members, types.

    Texts such as `fetch_user(user_id=1) #1 /data/0/email: was string, is null`, with the number that the answer has in
    the recording. Values are not compared. Answers are those of the same program to the same method and path; of
    several, the last ones are compared with each other, because earlier ones may be those that were asked for again.
    The token endpoints are left aside: what is asked of them depends on the tokens that are held.

    Items of a list count as one shape. A list that is empty tells nothing, and neither does a member that was null in
    the recording: it may have any type now, as another item may have. A member that never was null and is now is a
    change, and so is one that was in every item and is missing in one, and one that is new.

    Raises `SessionError` if one of the sessions holds what is no JSON.
    """
    try:
        return _shape_changes(recorded, now)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _not_comparable(recorded, now) from None


def _shape_changes(recorded: Session, now: Session) -> tuple[str, ...]:
    told: list[str] = []
    answers = _by_ask(now)
    for (program, ask), rows in _by_ask(recorded).items():
        others = answers.get((program, ask))
        if others is None:
            told.append(f"{cut(program)} #{rows[-1].i}: {cut(ask)} was answered, is not asked for")
            continue
        for row, other in list(zip(reversed(rows), reversed(others), strict=False))[::-1]:
            told += [f"{cut(program)} #{row.i} {change}" for change in _of_answer(row, other)]
    return tuple(dict.fromkeys(told))


def _by_ask(session: Session) -> Mapping[tuple[str, str], list[Line]]:
    found: defaultdict[tuple[str, str], list[Line]] = defaultdict(list)
    for line in session.lines:
        if line.k == "send" and line.answer:
            ask = _ASK.decode(bytes(line.q))
            path = ask.url.partition("://")[2].partition("/")[2].partition("?")[0]
            if not path.startswith("oauth/"):
                found[line.p, f"{ask.method} /{path}"].append(line)
    return found


class _Asked(Struct):
    method: str = ""
    url: str = ""


_ASK: Final = msgspec.json.Decoder(_Asked)


def _of_answer(recorded: Line, now: Line) -> Iterator[str]:
    then, today = answered(recorded), answered(now)
    if then is None:
        return
    if today is None:
        yield f"status: was {then.status}, is no answer"
    elif then.status != today.status:
        yield f"status: was {then.status}, is {today.status}"
    elif _body(then) != _body(today):
        yield f"body: was {_body(then)}, is {_body(today)}"
    elif _body(then) == "JSON":
        before, after = Shape(), Shape()
        before.add(msgspec.json.decode(bytes(then.json)), "")
        after.add(msgspec.json.decode(bytes(today.json)), "")
        yield from before.changes(after)


def _body(answer: Answered) -> str:
    if bytes(answer.json):
        return "JSON"
    return "text" if answer.text else "octets" if answer.octets else "empty"


_TYPES: Final[Mapping[type, str]] = {
    dict: "object",
    list: "list",
    str: "string",
    bool: "boolean",
    int: "number",
    float: "number",
    type(None): "null",
}


class Shape:
    """The shape of one or several JSON values: of which types they were, and of what members and items."""

    def __init__(self) -> None:
        self.pointers: dict[str, str] = {}
        """For each type the place of the first value that had it."""
        self.members: dict[str, Shape] = {}
        self.items: Shape | None = None
        self.without: dict[str, str] = {}
        """Members that some object has not, and the place where the first one of these should have it."""

    def add(self, value: object, pointer: str) -> None:
        """Take one more value into account."""
        kind = _TYPES[type(value)]
        is_first = kind not in self.pointers
        _ = self.pointers.setdefault(kind, pointer)
        if isinstance(value, dict):
            self._add_members(cast("dict[str, object]", value), pointer, is_first=is_first)
        elif isinstance(value, list):
            for number, item in enumerate(cast("list[object]", value)):
                if self.items is None:
                    self.items = Shape()
                self.items.add(item, f"{pointer}/{number}")

    def _add_members(self, value: dict[str, object], pointer: str, *, is_first: bool) -> None:
        for name in self.members:
            if name not in value:
                _ = self.without.setdefault(name, f"{pointer}/{name}")
        for name, item in value.items():
            if name not in self.members:
                self.members[name] = Shape()
                if not is_first:
                    self.without[name] = f"{self.pointers['object']}/{name}"
            self.members[name].add(item, f"{pointer}/{name}")

    def changes(self, now: "Shape") -> Iterator[str]:
        """What is otherwise in `now`."""
        known = self.pointers.keys() - {"null"}
        for kind in sorted(now.pointers.keys() - self.pointers.keys()) if known else ():
            yield f"{now.pointers[kind] or '/'}: was {' or '.join(sorted(known))}, is {kind}"
        if "object" in self.pointers and "object" in now.pointers:
            yield from self._other_members(now)
        if self.items is not None and now.items is not None:
            yield from self.items.changes(now.items)

    def _other_members(self, now: "Shape") -> Iterator[str]:
        for name, shape in self.members.items():
            if name not in now.members or (name in now.without and name not in self.without):
                if name in self.without:
                    continue
                where = now.without.get(name, f"{now.pointers['object']}/{name}")
                yield f"{where}: was {shape.types}, is missing"
            if name in now.members:
                yield from shape.changes(now.members[name])
        for name, shape in now.members.items():
            if name not in self.members:
                yield f"{next(iter(shape.pointers.values()))}: is new, {shape.types}"

    @property
    def types(self) -> str:
        """The types, for people."""
        return " or ".join(sorted(self.pointers))


__all__ = ["INSTANTS", "Change", "Shape", "changes", "shape_changes"]
