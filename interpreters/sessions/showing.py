"""A session as a text for people: who asked what, when, and what came of it. Whatever is in the file, no control
character gets into the text.
"""

import textwrap
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

import msgspec

from interpreters.sessions.aliases import ROLES
from interpreters.sessions.coding import Failure
from interpreters.sessions.divergence import cut, summary
from interpreters.sessions.lines import Line, Session, answered
from kickcore.errors import cleaned

MOST_COLUMNS: Final = 4
"""Programs that may get a column each."""
NARROWEST: Final = 36
"""Characters of such a column, at least."""
_LEFT: Final = 32
"""Characters for the line's number, the time and the duration."""


def shown(session: Session, width: int = 100) -> str:
    """A session as lines of at most `width` characters (80 at least): what it is, its programs, and a line for each
    answer.

    Each program has a column if there are at most four and the width allows it; else its number stands before what it
    asked. Times are seconds since the start of the session. Secrets are aliases, as in the file.
    """
    width = max(width, 80)
    programs = {name: number for number, name in enumerate(_programs(session), 1)}
    rows = [part for row in heading(session) for part in textwrap.wrap(row, width, subsequent_indent="  ")]
    rows += _program_rows(session, programs, width)
    return "\n".join([*rows, "", *(row[:width].rstrip() for row in _rows(session, programs, width))])


def heading(session: Session) -> list[str]:
    """What a session is as a whole: its format and start, its app, how much it holds, and what was taken out."""
    header = session.header
    start = cut(header.t0).replace("T", " ").removesuffix("Z").partition(".")[0]
    length = max((line.t for line in session.lines), default=0)
    whole = "" if session.is_whole else "; it was not closed"
    written = f"format {header.kcs}, kickcore {cut(header.lib) or 'unknown'}, {start} UTC"
    rows = [f"{cleaned(session.name)}: {written}, lasted {duration(length)}{whole}"]
    if header.app is not None:
        hosts = dict.fromkeys((cut(header.app.api_url), cut(header.app.id_url)))
        rows.append(f"app {cut(header.app.client_id)} at {' and '.join(hosts)}")
    kinds = Counter(line.k for line in session.lines if not line.cancel)
    told = ", ".join(f"{count} {cut(kind)}" for kind, count in kinds.most_common())
    rows.append(f"{counted(len(session.lines), 'answer')}{': ' if told else ''}{told}")
    roles = Counter(alias.partition(":")[0] for alias in header.sizes)
    names = ", ".join(f"{count} × {ROLES.get(role) or cut(role)}" for role, count in sorted(roles.items()))
    rows.append(f"secrets replaced: {names or 'none'}")
    return rows


def counted(count: int, noun: str) -> str:
    """`1 answer`, `2 answers`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def duration(micros: int) -> str:
    """Microseconds in the unit that suits them."""
    micros = _bounded(micros)
    if abs(micros) < 1_000:
        return f"{micros} µs"
    if abs(micros) < 1_000_000:
        return f"{micros / 1_000:.1f} ms"
    return f"{micros / 1_000_000:.1f} s" if abs(micros) < 600_000_000 else f"{micros / 60_000_000:.0f} min"


def _bounded(micros: int) -> int:
    # A file may hold any number, and the largest ones cannot be divided.
    return min(max(micros, -_LONGEST), _LONGEST)


_LONGEST: Final = 10**15


def _programs(session: Session) -> list[str]:
    return list(dict.fromkeys([*session.programs, *(line.p for line in session.lost)]))


def _program_rows(session: Session, programs: Mapping[str, int], width: int) -> list[str]:
    rows: list[str] = []
    for name, number in programs.items():
        lines = [line for line in session.lines if line.p == name]
        took = f" in {duration(lines[-1].t - _began(lines[0]))}" if lines else ""
        told = f": {_end(session, name, lines)}, {counted(len(lines), 'answer')}{took}"
        # How it ended is worth more than the end of its name.
        rows.append(fitted(fitted(f"  [{number}] {cut(name)}", width - len(told)) + told, width))
    return rows


def _began(line: Line) -> int:
    return line.t - line.d if line.s is None else line.s


def _end(session: Session, name: str, lines: list[Line]) -> str:
    if lines and lines[-1].cancel:
        return "cancelled"
    if any(line.p == name for line in session.lost):
        return "lost: the recording ends in the middle"
    if session.footer is None:
        return "nobody knows how it ended"
    if name in session.footer.open:
        return "had not ended"
    failure = session.footer.ended.get(name)
    return f"raised {cut(failure)}" if failure else "ended well"


# Lines


def _rows(session: Session, programs: Mapping[str, int], width: int) -> list[str]:
    room = max(width - _LEFT, NARROWEST)
    columns = len(programs)
    in_columns = columns <= MOST_COLUMNS and room // max(columns, 1) >= NARROWEST
    size = room // max(columns, 1) if in_columns else room
    rows = [f"{'line':>6} {'time':>12} {'took':>10}  what was asked -> what came of it"]
    if in_columns and columns > 1:
        titles = [fitted(f"[{number}] {cut(name)}", size - 2).ljust(size) for name, number in programs.items()]
        rows = [f"{'line':>6} {'time':>12} {'took':>10}  {''.join(titles)}"]
    answers = [(line, number, outcome(line)) for line, number in zip(session.lines, session.numbers, strict=True)]
    for line, number, came in [*answers, *((line, 0, "never answered") for line in session.lost)]:
        asked = "" if line.cancel else summary(line.k, bytes(line.q))
        time = f"{_bounded(line.t) / 1_000_000:.6f}"
        left = f"{number or '':>6} {time:>12} {duration(line.d) if line.d else '':>10}  "
        at = programs[line.p]
        told = f"{asked} -> {came}" if asked else came
        if in_columns:
            rows.append(left + " " * (size * (at - 1)) + fitted(told, size - 2 if at < columns else size))
        else:
            rows.append(left + fitted(f"[{at}] {cut(line.p).partition('(')[0]}: {told}", room))
    return rows


def fitted(text: str, size: int) -> str:
    """A text cut to a size in characters."""
    return text if len(text) <= size else f"{text[: max(size - 1, 0)]}…"


def outcome(line: Line) -> str:
    """What came of an effect, in short: what of its answer is worth a place in a list, the exception, or that the
    program was cancelled there.
    """
    if line.cancel:
        return "cancelled"
    if line.k == "stalled":
        return "given up"
    try:
        if line.failure:
            failure = msgspec.json.decode(line.failure, type=Failure)
            return cut(f"raised {failure.type}: {failure.text}" if failure.text else f"raised {failure.type}")
        return cut(_OUTCOMES.get(line.k, _plainly)(line))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return "unreadable"


def _answer(line: Line) -> Any:
    return msgspec.json.decode(line.answer)


def _member(value: object, name: str) -> str:
    found = cast("dict[str, Any]", value).get(name, "") if isinstance(value, dict) else ""
    return found if isinstance(found, str) else msgspec.json.encode(found).decode()


def _plainly(line: Line) -> str:
    value = _answer(line)
    return "done" if value is None else msgspec.json.encode(value).decode()


def _of_send(line: Line) -> str:
    answer = answered(line)
    if answer is None:
        silence = _answer(line)
        return f"no answer ({_member(silence, 'reason')}; sent: {_member(silence, 'sent')})"
    body = bytes(answer.json).decode() or answer.text or (f"{len(answer.octets)} octets" if answer.octets else "")
    waits = [f"retry after {value}" for name, value in answer.headers if name == "retry-after"]
    return " ".join([str(answer.status), *waits, body]).rstrip()


def _of_token(line: Line) -> str:
    held = _answer(line)
    token = cast("dict[str, Any]", held).get("token") if isinstance(held, dict) else None
    return "nothing" if token is None else f"{_member(token, 'access_token')}, until {_member(token, 'expires_at')}"


def _of_tagged(line: Line) -> str:
    return _member(_answer(line), "type") or _plainly(line)


def _yes_or_no(yes: str, no: str) -> Callable[[Line], str]:
    return lambda line: yes if _answer(line) is True else no


_OUTCOMES: Final[Mapping[str, Callable[[Line], str]]] = {
    "send": _of_send,
    "load_token": _of_token,
    "save_token": _of_tagged,
    "consent": _of_tagged,
    "hold": _yes_or_no("alone", "not alone for sure"),
    "renew_ahead": _yes_or_no("begun beside", "somebody is at it"),
    "pay_retry": _yes_or_no("paid", "not enough"),
    "exclusive": lambda _: "its turn",
}
