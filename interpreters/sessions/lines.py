"""The session file: JSON Lines, UTF-8, a header, one line per delivered answer, and an end with counts.

    {"kcs":1,"lib":"0.1.0","t0":"2026-06-01T00:00:00.000000Z","seed":"7c1e","kinds":{"send":1},"app":{…},"sizes":{…}}
    {"p":"fetch_user(user_id=676)","i":0,"k":"load_token","q":{…},"r":{…},"t":1200,"d":310}
    {"end":1,"lines":1,"open":[],"ended":{},"leaks":0}

The order of the lines is the order in which answers were delivered. What is read here is data: nothing of it is run.
"""

import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from interpreters.sessions.coding import KINDS, NO_RAW, Answered, decoder
from kickcore.errors import SessionError
from kickcore.oauth.tokens import API_URL, ID_URL, App, checked_account
from kickcore.policy import Policy
from kickcore.secret import Secret
from kickcore.version import VERSION

FORMAT: Final = 1
"""The format's number. A reader refuses a higher one, and lifts a lower one line by line."""
LONGEST_LINE: Final = 32 * 1024 * 1024
"""Octets of one line. Kick's largest answer that is read has 8 MiB."""
LARGEST: Final = 256 * 1024 * 1024
"""Octets of a whole file."""


class AppTold(Struct, omit_defaults=True):
    """The app of a session, without what belongs to one program: its account."""

    client_id: str
    client_secret: str
    api_url: str = API_URL
    id_url: str = ID_URL
    policy: Policy = Policy()

    def app(self, account: str = "") -> App:
        """The app again, acting for an account."""
        return App(
            self.client_id, Secret(self.client_secret), self.api_url, self.id_url, checked_account(account), self.policy
        )


class Header(Struct, omit_defaults=True):
    """The first line. `kinds` are the kinds of lines that a reader must know, each with its version; `sizes` are the
    lengths of the secrets in characters; `t0` is the instant from which `t` counts.
    """

    kcs: int
    lib: str = ""
    t0: str = "1970-01-01T00:00:00.000000Z"
    seed: str = ""
    kinds: dict[str, int] = {}
    app: AppTold | None = None
    sizes: dict[str, int] = {}

    @property
    def micros(self) -> int:
        """`t0` in microseconds since the epoch."""
        return micros_of(self.t0)


class Line(Struct, omit_defaults=True):
    """One delivered answer: to program `p`, which asked for `q` of kind `k` as its `i`-th, `t` microseconds after `t0`
    and after a wait of `d`. Instead of the answer `r` there may be an exception `x`, or `cancel`: the program was
    cancelled there. With `ask` it is no answer yet, but says that something is about to be done that cannot be undone.

    On a program's first line: `s`, when it began, if that was not `d` before `t`; `a`, its account; `run`, its
    arguments, if it is one of kickcore's; and then `f`, what it is called, if its name is another.
    """

    p: str
    i: int = 0
    k: str = ""
    q: Raw = NO_RAW
    r: Raw = NO_RAW
    x: Raw = NO_RAW
    t: int = 0
    d: int = 0
    s: int | None = None
    a: str = ""
    run: Raw = NO_RAW
    f: str = ""
    ask: int = 0
    cancel: int = 0

    @property
    def answer(self) -> bytes:
        """The answer as JSON with aliases, or nothing."""
        return bytes(self.r)

    @property
    def failure(self) -> bytes:
        """The exception as JSON with aliases, or nothing."""
        return bytes(self.x)


class Footer(Struct, omit_defaults=True):
    """The last line of a session that was closed. `open` are programs that had not ended; `ended` names those that
    ended with an exception, and its kind; `leaks` is 0, or the file would not be there.
    """

    end: int = 0
    lines: int = 0
    open: list[str] = []
    ended: dict[str, str] = {}
    leaks: int = 0


_KNOWN: Final = frozenset(KINDS)
_HEADER: Final = decoder(Header)
_LINE: Final = decoder(Line)
_FOOTER: Final = decoder(Footer)


class Session(Struct, frozen=True):
    """A session that was read: its header, its answered lines in order, and its end, if it has one.

    `lost` are the asks that never got an answer: the process died, or the program was cancelled, in the middle.
    `numbers` are the line numbers in the file. `name` is for people.
    """

    header: Header
    lines: tuple[Line, ...]
    numbers: tuple[int, ...]
    lost: tuple[Line, ...] = ()
    footer: Footer | None = None
    name: str = "a session"

    @property
    def is_whole(self) -> bool:
        """Whether it was closed."""
        return self.footer is not None

    @property
    def programs(self) -> tuple[str, ...]:
        """The names of its programs, in the order of their first lines."""
        return tuple(dict.fromkeys(line.p for line in self.lines))


def micros_of(instant: str) -> int:
    """Microseconds since the epoch. Raises `ValueError` for what is no instant."""
    moment = datetime.fromisoformat(instant)
    if moment.tzinfo is None:
        raise ValueError("an instant without a time zone")
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def instant_of(micros: int) -> str:
    """Microseconds since the epoch as a text, in UTC."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def read(octets: bytes, name: str = "a session", *, partial: bool = False) -> Session:
    """Read a session. `partial` takes one that has no end, as it is after a crash; its last line may be cut.

    Raises `SessionError`, which names the line and what is wrong with it.
    """
    if len(octets) > LARGEST:
        raise _broken(name, 0, f"it has more than {LARGEST} octets")
    rows = octets.split(b"\n")
    is_cut = rows.pop() != b""
    if not rows and not is_cut:
        raise _broken(name, 0, "it is empty")
    header = _header(rows[0] if rows else octets, name)
    lines, numbers, pending = list[Line](), list[int](), dict[tuple[str, int], Line]()
    following: dict[str, int] = {}
    footer: Footer | None = None
    for number, row in enumerate(rows[1:], 2):
        if footer is not None:
            raise _broken(name, number, "there is something after the end")
        if row.startswith(b'{"end"'):
            footer = _decoded(_FOOTER, row, name, number)
            continue
        line: Line = _decoded(_LINE, row, name, number)
        if line.ask:
            pending[line.p, line.i] = line
            continue
        asked = pending.pop((line.p, line.i), None) if pending else None
        if asked is not None and not line.cancel and line.k != "stalled":
            line.k, line.q = asked.k, asked.q
            line.s, line.a, line.run, line.f = asked.s, asked.a, asked.run, asked.f
        flaw = _flaw(line, header, following.get(line.p, 0))
        if flaw:
            raise _broken(name, number, flaw)
        following[line.p] = line.i + 1
        lines.append(line)
        numbers.append(number)
    if is_cut and not partial:
        raise _broken(name, len(rows) + 1, "the last line is cut: the recording was not closed; partial=True takes it")
    _check_end(footer, len(lines), name, partial=partial)
    return Session(header, tuple(lines), tuple(numbers), tuple(pending.values()), footer, name)


def _check_end(footer: Footer | None, count: int, name: str, *, partial: bool) -> None:
    if footer is None:
        if not partial:
            raise SessionError(
                f"{name} has no end: the process that recorded it did not close it; partial=True takes what is there"
            )
    elif footer.lines != count:
        raise SessionError(
            f"{name} says that it has {footer.lines} lines and has {count}; if you edited it by hand, run: "
            "kickcore session fix"
        )


def _flaw(line: Line, header: Header, expected: int) -> str:
    """What is wrong with a line that can be read, or nothing."""
    if line.i != expected:
        return f"it is number {line.i} of its program, after {expected - 1}; run: kickcore session fix"
    if line.cancel:
        line.k = ""
        return ""
    if line.k not in header.kinds or line.k not in _KNOWN:
        return f"nothing of the kind {line.k[:40]!r} is known"
    if line.k != "stalled":
        if bool(bytes(line.r)) is bool(bytes(line.x)):
            return "it has not exactly one of an answer and an exception"
        if not bytes(line.q):
            return "it does not say what was asked"
    return ""


def _header(row: bytes, name: str) -> Header:
    try:
        header = _HEADER.decode(row)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _broken(name, 1, "it is not the header of a session") from None
    if header.kcs > FORMAT:
        raise SessionError(
            f"{name} is of format {header.kcs}, written by kickcore {header.lib[:40]!r}; this is kickcore "
            f"{VERSION} and reads up to {FORMAT}; use a newer kickcore"
        )
    unknown = sorted(
        f"{kind[:40]} {version}" for kind, version in header.kinds.items() if version != 1 or kind not in KINDS
    )
    if unknown or header.kcs < 1:
        raise SessionError(
            f"{name} was written by kickcore {header.lib[:40]!r} and holds what this one ({VERSION}) does not "
            f"know: {', '.join(unknown[:5]) or 'format ' + str(header.kcs)}"
        )
    try:
        _ = header.micros
    except (ValueError, OverflowError):
        raise _broken(name, 1, "its t0 is no instant") from None
    return header


def _decoded(reader: "msgspec.json.Decoder[Any]", row: bytes, name: str, number: int) -> Any:
    if len(row) > LONGEST_LINE:
        raise _broken(name, number, f"it has more than {LONGEST_LINE} octets")
    try:
        return reader.decode(row)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        # msgspec names the member and the types, never a value.
        told = str(error) if isinstance(error, msgspec.DecodeError) else type(error).__name__
        raise _broken(name, number, told) from None


def _broken(name: str, number: int, what: str) -> SessionError:
    where = f"{name}, line {number}" if number else name
    return SessionError(f"{where} cannot be read: {what}; nothing of it was used")


def load(path: str | os.PathLike[str], *, partial: bool = False) -> Session:
    """Read a session file. `partial` takes one that was not closed.

    Raises `SessionError` for what is not there, is no regular file, is too large or is no session.
    """
    name = shown_path(path)
    try:
        # Without waiting, because a pipe would otherwise be waited for.
        with os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as file:
            state = os.fstat(file.fileno())
            if not stat.S_ISREG(state.st_mode):
                raise SessionError(f"{name} is no regular file")
            if state.st_size > LARGEST:
                raise SessionError(f"{name} has more than {LARGEST} octets; a session is smaller")
            octets = file.read(LARGEST + 1)
    except OSError as error:
        hint = "; record it first" if isinstance(error, FileNotFoundError) else ""
        raise SessionError(f"{name} cannot be read: {error.strerror}{hint}") from None
    return read(octets, name, partial=partial)


def shown_path(path: str | os.PathLike[str]) -> str:
    """A path for people: as short as it can be from here."""
    whole = Path(path)
    try:
        return str(whole.relative_to(Path.cwd()))
    except (ValueError, OSError):
        return str(whole)


def answered(line: Line) -> Answered | None:
    """The HTTP answer of a line, if it holds one, with aliases in place."""
    if line.k != "send" or not line.answer or line.answer.startswith(b'{"reason"'):
        return None
    return msgspec.json.decode(line.answer, type=Answered)
