"""`kickcore record`, `replay` and `session`: what a command did as a file, and what can be done with such a file."""

import argparse
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from interpreters.sessions.cassettes import from_vcr
from interpreters.sessions.comparing import changes
from interpreters.sessions.divergence import Reason, ReplayDivergence
from interpreters.sessions.har import to_har
from interpreters.sessions.lines import LARGEST, Session, load, shown_path
from interpreters.sessions.mending import fixed, scrubbed, secrets_in, upgraded
from interpreters.sessions.playing import Order, Player, begin_all, replayed
from interpreters.sessions.showing import shown
from kickcore.client import KickClient
from kickcore.errors import ConfigError, SessionError, cleaned

Options = Any
"""What a command line says, by the names of its options."""

RECORDABLE: Final = ("login", "whoami", "logout")
"""The commands that use a client."""
WIDTH: Final = 120
"""Columns of what is shown where there is no terminal."""


# Recording


def add_parsers(commands: Any) -> None:
    """Add `record`, `replay` and `session` to the commands."""
    words = "run login, whoami or logout and write down what happens, without secrets"
    record = commands.add_parser("record", help=words, description=words, usage=_RECORD)
    record.add_argument("--output", metavar="FILE", help="where the session goes (default: COMMAND.session.jsonl)")
    _add_secrets(record)
    _add_allow(record)
    record.add_argument("recorded", nargs=argparse.REMAINDER, metavar="COMMAND", help="and its options")
    words = "replay sessions with the code that is installed here, offline"
    replay = commands.add_parser("replay", help=words, description=words)
    replay.add_argument("files", nargs="+", metavar="FILE")
    order = "of the answers: as they were delivered, or each program by itself"
    replay.add_argument("--order", choices=[str(order) for order in Order], default=str(Order.RECORDED), help=order)
    _add_partial(replay)
    words = "look into sessions, compare, mend and convert them"
    actions = commands.add_parser("session", help=words, description=words)
    actions = actions.add_subparsers(dest="action", required=True)
    for name, action in _ACTIONS.items():
        action.add_options(actions.add_parser(name, help=action.words, description=action.words))


_RECORD: Final = "kickcore record [-h] [--output FILE] [--secrets FILE] [--allow MEMBER] -- COMMAND ..."


def _add_allow(command: argparse.ArgumentParser) -> None:
    words = "a member that looks like a secret and is public; may be repeated"
    command.add_argument("--allow", action="append", default=[], metavar="MEMBER", help=words)


def _add_partial(command: argparse.ArgumentParser) -> None:
    command.add_argument("--partial", action="store_true", help="take a session that was not closed")


def _add_secrets(command: argparse.ArgumentParser) -> None:
    words = "a file with texts that are secrets, one a line; - is standard input"
    command.add_argument("--secrets", metavar="FILE", help=words)


def _add_output(command: argparse.ArgumentParser) -> None:
    command.add_argument("--output", metavar="FILE", help="where it goes (default: standard output)")


def to_record(asked: Options, parser: argparse.ArgumentParser) -> Options:
    """The command that is to be recorded, which knows that it is. Ends the process with 2 for any other."""
    words: list[str] = asked.recorded[1:] if asked.recorded[:1] == ["--"] else asked.recorded
    if not words or words[0] not in RECORDABLE:
        parser.error(f"what is recorded is one of {', '.join(RECORDABLE)}: kickcore record -- {RECORDABLE[1]}")
    inner: Options = parser.parse_args(words)
    inner.record_to = asked.output or f"{inner.command}.session.jsonl"
    inner.record_secrets, inner.record_allow = asked.secrets, asked.allow
    return inner


def as_told(client: KickClient, asked: Options) -> KickClient:
    """The client of a command, recording if that is what was asked for."""
    path = getattr(asked, "record_to", None)
    if path is None:
        return client
    return client.recording(path, secret_texts=_secrets(asked.record_secrets), allow=asked.record_allow)


@contextmanager
def telling_where(asked: Options) -> Generator[None]:
    """Tell where the session is once there is one, also if what was recorded has failed."""
    path = getattr(asked, "record_to", None)
    before = _mark(path) if path else None
    try:
        yield
    finally:
        if path and _mark(path) not in {None, before}:
            print(f"kickcore: the session is in {_plain(shown_path(path))}; it holds no secrets", file=sys.stderr)


def _mark(path: str) -> tuple[int, int] | None:
    """What changes when a file is replaced."""
    try:
        state = os.stat(path)  # noqa: PTH116 - of a text that may be no path
    except (OSError, ValueError):
        return None
    return state.st_ino, state.st_mtime_ns


# Replaying


def _replay(asked: Options) -> int:
    return max(_replay_one(name, asked) for name in asked.files)


def _replay_one(name: str, asked: Options) -> int:
    try:
        session = load(name, partial=asked.partial)
        if session.is_whole:
            _ = replayed(session, order=asked.order)
        else:
            _replay_up_to_its_end(session, asked.order)
    except ReplayDivergence as divergence:
        print(_printable(str(divergence)))
    except SessionError as error:
        _tell(with_options(str(error)))
    else:
        cut = "" if session.is_whole else ", and was not closed"
        print(f"ok {_plain(session.name)} ({_counted(len(session.lines))}{cut})")
        return 0
    return 1


def _replay_up_to_its_end(session: Session, order: str) -> None:
    """Replay what there is. That a program would go on is no news then."""
    player = Player(session, order=order)
    try:
        _ = begin_all(player)
        player.pump()
        player.finish()
    except ReplayDivergence as divergence:
        if divergence.reason is not Reason.LOST or len(player.delivered) < len(session.lines):
            raise


def _counted(lines: int) -> str:
    return f"{lines} line{'' if lines == 1 else 's'}"


# What `session` can do


def _show(asked: Options) -> int:
    session = load(asked.file, partial=asked.partial)
    width = asked.width or shutil.get_terminal_size((WIDTH, 24)).columns
    print(_printable(shown(session, width)))
    return 0


def _diff(asked: Options) -> int:
    first, second = (load(name, partial=asked.partial) for name in (asked.first, asked.second))
    found = changes(first, second)
    for change in found:
        print(_printable(str(change)))
    if not found:
        print(f"the same, but for times and the names of secrets ({_counted(len(first.lines))})")
    return 1 if found else 0


def _scrub(asked: Options) -> int:
    octets, secrets = _octets(asked.file), _secrets(asked.secrets)
    name = _plain(shown_path(asked.file))
    if asked.check:
        found = secrets_in(octets, secret_texts=secrets, allow=asked.allow)
        for suspect in found:
            print(_printable(f"{name}, {suspect}"))
        if not found:
            print(f"{name} holds nothing that looks like a secret")
        return 1 if found else 0
    changed = scrubbed(octets, secret_texts=secrets, allow=asked.allow)
    _rewrite(asked.file, octets, changed)
    return 0


def _fix(asked: Options) -> int:
    octets = _octets(asked.file)
    _rewrite(asked.file, octets, fixed(octets))
    # What cannot be mended by counting is told at once, and not when the session is needed.
    _ = load(asked.file, partial=True)
    return 0


def _upgrade(asked: Options) -> int:
    octets = _octets(asked.file)
    _rewrite(asked.file, octets, upgraded(octets))
    return 0


def _har(asked: Options) -> int:
    _put_out(asked.output, to_har(load(asked.file, partial=asked.partial)))
    return 0


def _from_vcr(asked: Options) -> int:
    octets = _octets(asked.file)
    name, secrets = _plain(shown_path(asked.file)), _secrets(asked.secrets)
    session = from_vcr(octets, label=asked.label, secret_texts=secrets, allow=asked.allow, name=name)
    _put_out(asked.output, session)
    return 0


def _show_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("file", metavar="FILE")
    command.add_argument("--width", type=_columns, help="columns (default: those of the terminal)")
    _add_partial(command)


def _columns(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 40 <= int(text[:9]) <= 1000:
        raise argparse.ArgumentTypeError("columns are a number from 40 to 1000")
    return int(text)


def _diff_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("first", metavar="A")
    command.add_argument("second", metavar="B")
    _add_partial(command)


def _scrub_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("file", metavar="FILE")
    command.add_argument("--check", action="store_true", help="change nothing: tell where secrets are, and fail if any")
    _add_secrets(command)
    _add_allow(command)


def _file_option(command: argparse.ArgumentParser) -> None:
    command.add_argument("file", metavar="FILE")


def _har_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("file", metavar="FILE")
    _add_output(command)
    _add_partial(command)


def _from_vcr_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("file", metavar="FILE")
    _add_output(command)
    command.add_argument("--label", default="imported", help="the name of its program (default: imported)")
    _add_secrets(command)
    _add_allow(command)


class _Action(Struct, frozen=True):
    """Something that `session` can do."""

    run: Callable[[Options], int]
    words: str
    add_options: Callable[[argparse.ArgumentParser], None]


_ACTIONS: Final[Mapping[str, _Action]] = {
    "show": _Action(_show, "tell what is in a session, one line for each effect", _show_options),
    "diff": _Action(_diff, "tell in what two sessions differ", _diff_options),
    "scrub": _Action(_scrub, "replace the secrets that a session holds, or tell of them", _scrub_options),
    "fix": _Action(_fix, "count anew after a session was edited by hand", _file_option),
    "upgrade": _Action(_upgrade, "bring a session into the format of today", _file_option),
    "har": _Action(_har, "the requests of a session for the network panel of a browser (HAR 1.2)", _har_options),
    "from-vcr": _Action(_from_vcr, "make a session of a cassette of vcrpy", _from_vcr_options),
}

COMMANDS: Final[Mapping[str, Callable[[Options], int]]] = {
    "replay": _replay,
    "session": lambda asked: _ACTIONS[asked.action].run(asked),
}
"""What needs no event loop."""


# Files


def _octets(name: str) -> bytes:
    """A file that may be changed. Raises `SessionError` where it cannot be read, or is no regular file."""
    path = Path(name)
    try:
        state = path.stat()
        if not stat.S_ISREG(state.st_mode):
            raise SessionError(f"{_plain(shown_path(name))} is no regular file")
        if state.st_size > LARGEST:
            raise SessionError(f"{_plain(shown_path(name))} has more than {LARGEST} octets; nothing was changed")
        return path.read_bytes()
    except OSError as error:
        raise SessionError(f"{_plain(shown_path(name))} cannot be read: {error.strerror}") from None


def _secrets(name: str | None) -> list[str]:
    if name is None:
        return []
    octets = sys.stdin.buffer.read() if name == "-" else _octets(name)
    try:
        texts = [row.strip() for row in octets.decode("utf-8").splitlines()]
    except UnicodeDecodeError:
        raise ConfigError(f"{_plain(name)} is no text in UTF-8; nothing was changed") from None
    return [text for text in texts if text]


def _rewrite(name: str, before: bytes, after: bytes) -> None:
    """Replace a file as a whole, if there is anything to change, and tell of it."""
    shown_name = _plain(shown_path(name))
    if before == after:
        print(f"{shown_name} is as it should be")
        return
    _replace(Path(name), after)
    changed = sum(1 for row in set(after.split(b"\n")) - set(before.split(b"\n")) if row)
    print(f"{shown_name} was changed ({_counted(changed)} of it)")


def _put_out(name: str | None, octets: bytes) -> None:
    """Write to a file as a whole, or to standard output."""
    if name is None:
        _ = sys.stdout.buffer.write(octets)
        sys.stdout.flush()
        return
    _replace(Path(name), octets)
    print(f"{_plain(shown_path(name))} was written")


def _replace(path: Path, octets: bytes) -> None:
    """Put a file in place as a whole, with the mode that it had: nobody sees a part of it, and none is left."""
    if path.is_symlink():
        raise SessionError(f"{_plain(shown_path(path))} is a link; name the file itself; nothing was written")
    temporary = ""
    try:
        mode = stat.S_IMODE(path.stat().st_mode) if path.is_file() else 0o644
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:100]}.")
        with os.fdopen(handle, "wb") as file:
            _ = file.write(octets)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(mode)
        _ = Path(temporary).replace(path)
        temporary = ""
    except OSError as error:
        name = _plain(shown_path(path))
        raise SessionError(f"{name} cannot be written: {error.strerror}; what was there is kept") from None
    finally:
        if temporary:
            with suppress(OSError):
                Path(temporary).unlink()


# What gets to a terminal


_OPTIONS: Final = (
    ("partial=True takes", "--partial takes"),
    ("say secret_texts=[...] to have it replaced", "give its text with --secrets FILE to have it replaced"),
    ("allow=[...] with the member's name", "--allow with the member's name"),
)


def with_options(text: str) -> str:
    """What an error says, with the options of the command line in the place of arguments."""
    for argument, option in _OPTIONS:
        text = text.replace(argument, option)
    return text


def _printable(text: str) -> str:
    """A text of several lines without control characters, whatever was in the file."""
    return "\n".join("".join(letter if letter.isprintable() else "�" for letter in row) for row in text.split("\n"))


def _plain(name: str) -> str:
    return cleaned(name, 200)


def _tell(text: str) -> None:
    print(f"kickcore: {cleaned(text, 600)}", file=sys.stderr)
