"""What is done to a session file after it was written: counted anew, freed of secrets, lifted to the format of today.

Files are changed member by member: what is not known here, and the octets of every answer, stay as they are.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, TypeAlias, cast

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from interpreters.sessions.aliases import ALIAS_TEXT, OPEN, ROLES, Disguise, suspicious
from interpreters.sessions.coding import read_answer, read_ask
from interpreters.sessions.finding import Found, in_answer, in_ask, in_value
from interpreters.sessions.lines import FORMAT, LARGEST, LONGEST_LINE
from kickcore.effects import Send
from kickcore.errors import SessionError
from kickcore.http import Pairs, Request, Response
from kickcore.secret import Secret
from kickcore.version import VERSION

Row: TypeAlias = dict[str, Raw]
"""A line of a file: its members in order, each as the JSON that stands there."""

_ROW: Final = msgspec.json.Decoder(Row)


def _rows(octets: bytes) -> list[tuple[int, Row]]:
    """The lines with their numbers; empty ones are passed over. Raises `SessionError` for what is no session."""
    if len(octets) > LARGEST:
        raise SessionError(f"a session has at most {LARGEST} octets; nothing was changed")
    found: list[tuple[int, Row]] = []
    for number, row in enumerate(octets.split(b"\n"), 1):
        if not row.strip():
            continue
        try:
            # What stays as it is, is not looked into; but it must be what it seems.
            _ = msgspec.json.decode(row)
            found.append((number, _ROW.decode(row)))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise SessionError(
                f"line {number} is no JSON object; correct it or delete it; nothing was changed"
            ) from None
        if len(row) > LONGEST_LINE:
            raise SessionError(f"line {number} has more than {LONGEST_LINE} octets; nothing was changed")
    if not found or type(_value(found[0][1], "kcs")) is not int:
        raise SessionError("its first line is not the header of a session; nothing was changed")
    return found


def _value(row: Row, name: str, otherwise: Any = None) -> Any:
    """A member of a line, or `otherwise` if it is not there or of another type than that."""
    value = msgspec.json.decode(row[name]) if name in row else otherwise
    return value if otherwise is None or isinstance(value, type(otherwise)) else otherwise


def _raw(value: object) -> Raw:
    return Raw(msgspec.json.encode(value))


def _joined(rows: Iterable[Row]) -> bytes:
    return b"".join(msgspec.json.encode(row) + b"\n" for row in rows)


# Counted anew


_OF_THE_FIRST: Final = ("s", "a", "run", "f")
"""Members that stand on the first line of a program."""


def fixed(octets: bytes) -> bytes:
    """A session whose lines were deleted, inserted or moved by hand, with its numbers right again.

    What is told anew: the number of each line in its program, the kinds in the header, and at the end the count of
    lines and the programs that are there. What stands on the first line of a program moves to the line that is first
    now, a line without a time gets that of the one before, and the end comes last. What was about to be done (`ask`)
    goes with its answer. A session that has no end stays without one.

    Raises `SessionError` for what is no session, and for an answer whose `ask` is not there any more.
    """
    (_, header), *others = _rows(octets)
    fixing = _Fixing()
    footer: Row | None = None
    for number, row in others:
        if "end" in row:
            footer = row
        else:
            fixing.add(number, row)
    lines = fixing.finished()
    known = cast("dict[str, Any]", _value(header, "kinds", {}))
    kinds = {str(_value(row, "k")) for row in lines if "k" in row and not _value(row, "cancel", 0)}
    header = header | {"kinds": _raw({kind: known.get(kind, 1) for kind in sorted(kinds)})}
    end = [] if footer is None else [_ended(footer, lines)]
    return _joined([header, *lines, *end])


def _ended(footer: Row, lines: Sequence[Row]) -> Row:
    count = sum(1 for row in lines if not _value(row, "ask", 0))
    there = {str(_value(row, "p")) for row in lines}
    still_open = [name for name in cast("list[object]", _value(footer, "open", [])) if name in list(there)]
    failures = cast("dict[str, str]", _value(footer, "ended", {}))
    ended = {name: kind for name, kind in failures.items() if name in there}
    return footer | {"lines": _raw(count), "open": _raw(still_open), "ended": _raw(ended)}


class _Fixing:
    """The lines of a session, counted one by one."""

    def __init__(self) -> None:
        self._lines: list[Row | None] = []
        self._counts: Counter[str] = Counter()
        self._asks: dict[str, int] = {}
        self._firsts: dict[str, Row] = {}
        self._time = Raw(b"0")

    def add(self, number: int, row: Row) -> None:
        """The next line."""
        program = _value(row, "p")
        if not isinstance(program, str):
            raise SessionError(f"line {number} does not say of which program it is; nothing was changed")
        self._keep_firsts(program, row)
        index = self._counts[program]
        if _value(row, "ask", 0):
            self._drop_ask(program)
            self._asks[program] = len(self._lines)
        else:
            self._pair(number, program, row)
            self._counts[program] += 1
        self._time = row.get("t", self._time)
        self._lines.append(_placed({**row, "i": _raw(index)}, "t", self._time))

    def _keep_firsts(self, program: str, row: Row) -> None:
        kept = self._firsts.setdefault(program, {})
        for name in _OF_THE_FIRST:
            if name in row:
                _ = kept.setdefault(name, row.pop(name))

    def _pair(self, number: int, program: str, row: Row) -> None:
        """An answer takes the place of its ask, if it has one."""
        needs_none = "q" in row or _value(row, "cancel", 0) or _value(row, "k") == "stalled"
        at = self._asks.get(program)
        asked = None if at is None else self._lines[at]
        if "q" in row or (asked is not None and "k" in row and not needs_none and not _are_of_a_kind(asked, row)):
            self._drop_ask(program)
            asked = None
        if asked is None and not needs_none:
            raise SessionError(
                f"line {number} does not say what was asked: the line with its ask, before it, is not there any more; "
                "put it back, or delete this one too; nothing was changed"
            )
        _ = self._asks.pop(program, None)

    def _drop_ask(self, program: str) -> None:
        at = self._asks.pop(program, None)
        if at is not None:
            self._lines[at] = None

    def finished(self) -> list[Row]:
        """All lines that remain."""
        lines = [row for row in self._lines if row is not None]
        for position, row in enumerate(lines):
            kept = self._firsts.pop(_value(row, "p"), None)
            if kept:
                lines[position] = row | kept
        return lines


def _are_of_a_kind(asked: Row, row: Row) -> bool:
    return _value(asked, "k") == _value(row, "k")


def _placed(row: Row, name: str, value: Raw) -> Row:
    return row if name in row else row | {name: value}


# Freed of secrets


class Suspect(Struct, frozen=True):
    """A place in a session file that holds a secret, or what looks like one: the line, the first being 1, the JSON
    pointer into it, and what it is thought to be. The text itself is not in it.
    """

    line: int
    pointer: str
    what: str

    def __str__(self) -> str:
        return f"line {self.line} {self.pointer}: {self.what}"


def scrubbed(octets: bytes, *, secret_texts: Iterable[str | Secret] = (), allow: Iterable[str] = ()) -> bytes:
    """A session with aliases in the place of the secrets that it holds, in whatever form and wherever.

    They are those that are given, those that stand where secrets do (in tokens, requests and answers, by type, endpoint
    and member), and what is long and looks like chance, unless `allow` names its member (or JSON pointer). Aliases that
    are in the file already stay. Raises `SessionError` for what is no session.
    """
    scrubbing = _Scrubbing(octets, secret_texts, allow)
    for number in range(len(scrubbing.rows)):
        for _, _, unnamed in scrubbing.found_in(number):
            if unnamed:
                scrubbing.disguise_runs(unnamed)
    hidden = [scrubbing.hidden(row) for _, row in scrubbing.rows]
    if scrubbing.new_sizes:
        kept = cast("dict[str, int]", _value(hidden[0], "sizes", {}))
        hidden[0] = hidden[0] | {"sizes": _raw(dict(sorted((scrubbing.new_sizes | kept).items())))}
    return _joined(hidden)


def secrets_in(
    octets: bytes, *, secret_texts: Iterable[str | Secret] = (), allow: Iterable[str] = ()
) -> tuple[Suspect, ...]:
    """Where a session holds what `scrubbed` would replace; nothing is changed.

    Raises `SessionError` for what is no session.
    """
    scrubbing = _Scrubbing(octets, secret_texts, allow)
    return tuple(
        Suspect(number, pointer, ROLES.get(role, "a secret") if role else "long, and as if by chance")
        for position, (number, _) in enumerate(scrubbing.rows)
        for pointer, role, _ in scrubbing.found_in(position)
    )


_WHAT: Final = frozenset({"i", "k", "ask", "cancel", "kcs", "kinds", "sizes", "lib", "t0", "seed", "end", "lines"})
"""Members that say what a line is: no secret, whatever secrets there are."""
_RUN: Final = re.compile(r"[A-Za-z0-9+/_=.~-]{32,}")


class _Scrubbing:
    """The lines of a session and the secrets in them."""

    def __init__(self, octets: bytes, secret_texts: Iterable[str | Secret], allow: Iterable[str]) -> None:
        self.rows: Final = _rows(octets)
        self._allowed = frozenset(allow)
        self._disguise = _Further(octets.decode("utf-8", "replace"))
        for text in secret_texts:
            self._see("sec", text.reveal() if isinstance(text, Secret) else text)
        asks: dict[tuple[bytes, bytes], Row] = {}
        for position, (_, row) in enumerate(self.rows):
            key = bytes(row.get("p", b"")), bytes(row.get("i", b""))
            if _value(row, "ask", 0):
                asks[key] = row
            for role, text in _in_line(asks.get(key, {}) | row) if position else _in_header(row):
                self._see(role, text)

    def _see(self, role: str, text: str) -> None:
        if not any(found[1] is not None for found in ALIAS_TEXT.finditer(text)):
            self._disguise.see(role, text)

    def disguise_runs(self, text: str) -> None:
        """Learn what of a text looks like chance; all of it, if that is no part."""
        runs = [run for run in _RUN.findall(ALIAS_TEXT.sub(" ", text)) if any(True for _ in suspicious(run))]
        for run in runs or [text]:
            self._see("sec", run)

    def found_in(self, position: int) -> Iterator[tuple[str, str, str]]:
        """The texts of a line that hold secrets: the pointer; the role of the first secret that is known; and the text
        without those that are known, if it looks like chance all the same.
        """
        row = {name: value for name, value in self.rows[position][1].items() if name not in _WHAT}
        whole = cast("dict[str, object]", msgspec.json.decode(msgspec.json.encode(row)))
        chance = {pointer for pointer in suspicious(whole) if not self._is_allowed(pointer)}
        for pointer, text in _texts(whole):
            written = msgspec.json.encode(text).decode()
            left = self._put_in(written)
            role = _new_role(written, left)
            unnamed = msgspec.json.decode(left, type=str) if pointer in chance else ""
            unnamed = unnamed if any(True for _ in suspicious(unnamed)) else ""
            if role or unnamed:
                yield pointer, role, unnamed

    def _is_allowed(self, pointer: str) -> bool:
        return pointer in self._allowed or pointer.rpartition("/")[2] in self._allowed

    def hidden(self, row: Row) -> Row:
        """A line without its secrets."""
        return {
            name: value if name in _WHAT else Raw(self._put_in(bytes(value).decode()).encode())
            for name, value in row.items()
        }

    def _put_in(self, text: str) -> str:
        # What is doubled already must not be doubled again, and aliases stay.
        return self._disguise.hide(text.replace(OPEN, "\0")).replace("\0", OPEN)

    @property
    def new_sizes(self) -> dict[str, int]:
        """The lengths of the secrets that had no alias yet."""
        return self._disguise.sizes


class _Further(Disguise):
    """A disguise whose aliases go on after those that a text has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        for role, number in re.findall(r'[«"]([a-z]{1,5}):([0-9]{1,9})[»"]', text):
            self._counts[role] = max(self._counts.get(role, 0), int(number))


def _new_role(before: str, after: str) -> str:
    """The role of the first alias that was put into a text, or nothing."""
    was = {found[0] for found in ALIAS_TEXT.finditer(before)}
    return next((found[1] for found in ALIAS_TEXT.finditer(after) if found[1] and found[0] not in was), "")


def _texts(value: object, pointer: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield pointer, value
    elif isinstance(value, dict):
        for key, item in cast("dict[str, object]", value).items():
            yield from _texts(item, f"{pointer}/{key}")
    elif isinstance(value, list):
        for number, item in enumerate(cast("list[object]", value)):
            yield from _texts(item, f"{pointer}/{number}")


def _in_header(row: Row) -> Iterable[Found]:
    app = _value(row, "app")
    secret = cast("dict[str, object]", app).get("client_secret") if isinstance(app, dict) else None
    if isinstance(secret, str):
        yield "cs", secret


def _in_line(row: Row) -> Iterable[Found]:
    """The secrets of a line: by type where it can be read as what it is, and by the names of members in any case."""
    for name, value in cast("dict[str, object]", _value(row, "run", {})).items():
        if name in _SECRET_NAMES and isinstance(value, str):
            yield from in_value(Secret(value), name)
    # What cannot be read as what it is, is looked at by its names.
    with suppress(msgspec.DecodeError, ValueError, KeyError, RecursionError):
        yield from _by_type(row)
    yield from in_answer(Send(Request("GET", "/channels")), Response(200, (), msgspec.json.encode(row)))


def _by_type(row: Row) -> Iterable[Found]:
    kind = _value(row, "k", "")
    asked = read_ask(kind, bytes(row["q"]))
    if isinstance(asked, Send):
        request = asked.request
        asked = Send(replace(request, query=_with_secrets(request.query), form=_with_secrets(request.form)))
    if asked is not None:
        yield from in_ask(asked)
        if "r" in row:
            yield from in_answer(asked, read_answer(kind, bytes(row["r"])))


_SECRET_NAMES: Final = frozenset(
    {
        "access_token",
        "client_secret",
        "code",
        "code_challenge",
        "code_verifier",
        "id_token",
        "password",
        "refresh_token",
        "state",
        "token",
    }
)
"""Members of queries and forms that are secrets."""


def _with_secrets(pairs: Pairs) -> Pairs:
    """The members of a query or a form, with the values of those that are secrets as `Secret`."""
    return tuple(
        (name, Secret(value) if isinstance(value, str) and name.lower() in _SECRET_NAMES else value)
        for name, value in pairs
    )


# Lifted


Upgrade: TypeAlias = Callable[[Row], Row]
"""Gives a line (the header and the end are lines too) of one format as the next format has it."""

UPGRADES: Final[Mapping[int, Upgrade]] = {}
"""By the format that they start from. There was never another one than the first."""


def upgraded(octets: bytes, *, upgrades: Mapping[int, Upgrade] = UPGRADES, to: int = FORMAT) -> bytes:
    """A session in the format of today, whatever older one it has; unchanged if it has today's.

    `upgrades` holds for each format what lifts a line of it to the next. Raises `SessionError` for a newer format, for
    one that nothing lifts, and for what is no session.
    """
    rows = _rows(octets)
    header = rows[0][1]
    found = cast("int", _value(header, "kcs"))
    if found > to or found < 1:
        lib = _value(header, "lib", "")
        raise SessionError(
            f"it is of format {found}, written by kickcore {str(lib)[:40]!r}; this is kickcore {VERSION} and knows up "
            f"to {to}; {'use a newer kickcore' if found > to else 'no kickcore wrote that'}; nothing was changed"
        )
    if found == to:
        return octets
    lifted = [row for _, row in rows]
    for number in range(found, to):
        step = upgrades.get(number)
        if step is None:
            raise SessionError(f"nothing here lifts a session of format {number} to {number + 1}; nothing was changed")
        lifted = [step(row) for row in lifted]
    lifted[0] = lifted[0] | {"kcs": _raw(to)}
    return _joined(lifted)
