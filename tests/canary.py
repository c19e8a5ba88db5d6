"""A canary: what is looked at in a whole test run, and what must not be seen there.

The tokens and codes of the simulated Kick begin with SANDBOXAPP, SANDBOXUSER, SANDBOXREFRESH and SANDBOXCODE. No log
record, warning, exception, local variable of our code, output or file may hold the first eight letters of these, in
plain or in base64, nor a text of 16 characters or more that was ever made a `Secret`.

The code of the tests and of the simulated Kick is the other side: it makes these texts up, so its variables and the
requests that it sends itself are not looked at.
"""

import logging
import re
import sys
import types
from base64 import b64encode
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from traceback import walk_tb
from typing import Any, Final, NamedTuple

import kickcore
from interpreters.sandbox.oauth.issuing import APP_ACCESS, CODE, USER_ACCESS, USER_REFRESH
from kickcore.errors import KickError

SHORTEST: Final = 16
"""Characters of a secret that is looked for; what is shorter may stand anywhere by chance."""
FEWEST_LETTERS: Final = 8
"""Different characters of such a secret, of which one is a digit. Tests make up others like "xxxxxxxxxxxxxxxx"."""
LONGEST: Final = 256 * 1024
"""Characters of one text, and octets of one file, that are looked at."""
MOST_LOOKS: Final = 20
"""Times that the variables of one line are looked at within one test; further ones are counted as left out."""
MOST_ITEMS: Final = 1000
"""Items of a list, a set or a mapping that is looked at; larger ones are counted as passed over."""

ROOT: Final = Path(kickcore.__path__[0]).parent
TESTS: Final = str(Path(__file__).parent)
OURS: Final = (str(ROOT / "kickcore"), str(ROOT / "interpreters"))
OTHER_SIDE: Final = (str(ROOT / "interpreters" / "sandbox"), TESTS)
_WATCHERS: Final = (__file__, str(Path(TESTS) / "conftest.py"))

_CANARIES: Final = {
    APP_ACCESS: "an app token",
    CODE: "an authorization code",
    USER_REFRESH: "a refresh token",
    USER_ACCESS: "a user token",
}
_WORD: Final = re.compile(r"[A-Za-z0-9_-]+")
_TOKEN_FILES: Final = re.compile(r"\.kick\..*json|.*\.tmp|.*\.corrupt-.*|.*\.lock")
_USUAL: Final = frozenset(vars(logging.makeLogRecord({}))) - {"taskName"}
_SHOWN_ADDRESS: Final = re.compile(r"https?://\S+/oauth/authorize\?\S+")


def in_base64(text: str) -> Iterator[str]:
    """What the base64 of a longer text shows of this one, for each of the three places at which it may begin."""
    for before in range(3):
        packed = b64encode(bytes(before) + text.encode()).decode()
        yield packed[-(-before * 8 // 6) : (before + len(text)) * 8 // 6]


_MINTED: Final = re.compile(f"({'|'.join(canary[:8] for canary in _CANARIES)})[A-Z0-9]*")
_PACKED: Final = tuple(packed for canary in _CANARIES for packed in in_base64(canary[:8]))
_STEMS: Final = ("SANDBOX", *in_base64("SANDBOX"))
"""What each of these begins with: most texts hold none of the four."""


class Leak(NamedTuple):
    """Where a secret was seen, and of what kind it is. The secret itself is not in it."""

    kind: str
    place: str
    secret: str


class Canary:
    """Looks at what a run shows, and remembers each place that showed a secret with the test that was running."""

    def __init__(self) -> None:
        self.test = "outside of tests"
        self.is_away = False
        """Whether a test shows a secret on purpose, to see that it is noticed by other means."""
        self.leaks: dict[Leak, list[str]] = {}
        self.looked: Counter[str] = Counter()
        self.left_out: Counter[str] = Counter()
        self._secrets: set[str] = set()
        self._held: set[str] = set()
        self._lines: Counter[tuple[types.CodeType, int]] = Counter()

    def begin(self, test: str) -> None:
        """A test begins: what shows from now on is shown by it."""
        self.is_away = False
        self.test = test
        self._lines.clear()

    def hold(self, text: object) -> None:
        """Look for the longest word of this text from now on, if it looks like chance and not like a name."""
        # Most secrets of a run are made again and again.
        if not isinstance(text, str) or text in self._held:
            return
        self._held.add(text)
        word = max(_WORD.findall(text), key=len, default="")
        if len(word) >= SHORTEST and len(set(word)) >= FEWEST_LETTERS and not set(word).isdisjoint("0123456789"):
            self._secrets.add(word)

    def found(self, text: str) -> str | None:
        """The kind of secret that a text holds, or None."""
        if any(map(text.__contains__, _STEMS)):
            kind = _minted(text)
            if kind is not None:
                return kind
        if len(text) < SHORTEST or self._secrets.isdisjoint(_WORD.findall(text)):
            return None
        return "the text of a Secret"

    def look(self, kind: str, place: str, *texts: str) -> None:
        """Look at texts that were seen at a place."""
        if self.is_away:
            return
        self.looked[kind] += 1
        for text in texts:
            secret = self.found(text[:LONGEST])
            if secret is not None:
                self.leaks.setdefault(Leak(kind, place, secret), []).append(self.test)

    def log(self, record: logging.LogRecord) -> None:
        """Look at a log record: its text, its arguments, what was added to it, and its exception."""
        try:
            text = record.getMessage()
        except (TypeError, ValueError, KeyError):
            text = str(record.msg)
        added = [value for name, value in vars(record).items() if name not in _USUAL]
        texts = (text, _told(record.args), _told(added), record.stack_info or "")
        if any(map(self.found, texts)) and _is_of_the_other_side(sys._getframe(1)):
            self.left_out["log records of requests that the tests sent themselves"] += 1
            return
        self.look("log records", f"logger {record.name}, {record.filename}:{record.lineno}", *texts)
        if record.exc_info and record.exc_info[1]:
            text = logging.Formatter().formatException(record.exc_info)
            self.look("log records", f"logger {record.name}, exception", text)
            self.exception(record.exc_info[1])

    def warning(self, kind: str, message: object) -> None:
        """Look at a warning, whether it is shown, recorded or raised."""
        self.look("warnings", kind, str(message), repr(message))

    def output(self, place: str, text: object) -> None:
        """Look at what was printed. The address of a login is shown to its user on purpose, and is cut out."""
        shown = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
        if shown:
            shown, addresses = _SHOWN_ADDRESS.subn("", shown)
            if addresses:
                self.left_out["addresses that were shown to a user who logs in"] += addresses
            self.look("outputs", place, shown)

    def files(self, folder: Path) -> None:
        """Look at the small files of a folder that are not where tokens are kept."""
        for path in folder.rglob("*"):
            try:
                if path.is_symlink() or not path.is_file() or _is_token_file(path) or path.stat().st_size > LONGEST:
                    continue
                text = path.read_text("latin-1")
            except OSError:
                # Tests make folders and files that cannot be read.
                continue
            self.look("files", f"a file named {path.name}", text)

    def exception(self, error: BaseException) -> None:
        """Look at an exception and all that hangs from it: causes, contexts, groups, notes, attributes, variables."""
        waiting: list[BaseException | None] = [error]
        seen: set[int] = set()
        while waiting:
            one = waiting.pop()
            if one is None or id(one) in seen:
                continue
            seen.add(id(one))
            # An assertion is the tests' own, and repeats what they compare.
            if not isinstance(one, AssertionError):
                self._parts(one, holds_nothing=isinstance(error, KickError))
            self._variables(one.__traceback__)
            waiting += [one.__cause__, one.__context__]
            if isinstance(one, BaseExceptionGroup):
                waiting += one.exceptions

    def _parts(self, error: BaseException, *, holds_nothing: bool) -> None:
        name = type(error).__name__
        self.look("exceptions", name, _text(str, error), _text(repr, error), *map(_told, error.args))
        for attribute, value in vars(error).items():
            self.attribute(f"{name}.{attribute}", value, holds_nothing=holds_nothing)

    def attribute(self, place: str, value: object, *, holds_nothing: bool = True) -> None:
        """Look at an attribute of an exception: of ours, or of one that ours came from, none is a request."""
        self.look("attributes", place, _told(value))
        if holds_nothing and type(value).__name__ in {"Request", "Response"}:
            self.leaks.setdefault(Leak("attributes", place, f"a {type(value).__name__}"), []).append(self.test)

    def _variables(self, trace: types.TracebackType | None) -> None:
        """The local variables of our code, as a traceback with `capture_locals=True` shows them."""
        for frame, line in walk_tb(trace):
            file = frame.f_code.co_filename
            if not file.startswith(OURS) or file.startswith(OTHER_SIDE):
                continue
            self._lines[frame.f_code, line] += 1
            if self._lines[frame.f_code, line] > MOST_LOOKS:
                self.left_out[f"frames of lines that came more than {MOST_LOOKS} times in a test"] += 1
                continue
            self.looked["frames"] += 1
            place = f"{Path(file).relative_to(ROOT)}:{line}"
            for name, value in list(frame.f_locals.items()):
                shown = _shown(value)
                if shown is None:
                    self.left_out[f"variables with more than {MOST_ITEMS} items"] += 1
                else:
                    self.look("variables", f"{name} of {frame.f_code.co_name}, {place}", shown)

    def report(self) -> Iterable[str]:
        """A line for each place that showed a secret."""
        for leak, tests in self.leaks.items():
            often = f" and {len(tests) - 1} times more" if len(tests) > 1 else ""
            yield f"{leak.kind}: {leak.place}: {leak.secret}; in {tests[0]}{often}"

    def summary(self) -> str:
        """One line: how much was looked at, what was left out, and how many places showed a secret."""
        looked = ", ".join(f"{count} {kind}" for kind, count in self.looked.items())
        left_out = "".join(f"; {count} {kind} left out" for kind, count in self.left_out.items())
        return f"canary: looked at {looked or 'nothing'}{left_out}; leaks: {len(self.leaks)}"


def _minted(text: str) -> str | None:
    # The bare beginnings stand in our code, from where Hypothesis takes words for the texts that it makes up.
    words = (match[0] for match in _MINTED.finditer(text) if match[0] not in _CANARIES)
    kinds = (kind for word in words for canary, kind in _CANARIES.items() if word[:8] == canary[:8])
    return next(kinds, "a token in base64" if any(packed in text for packed in _PACKED) else None)


def _shown(value: Any) -> str | None:
    """A value as a traceback shows it, cut; None if it is too large to be written out."""
    if isinstance(value, str):
        return value[:LONGEST]
    if isinstance(value, bytes | bytearray):
        return value[:LONGEST].decode("latin-1")
    if isinstance(value, list | tuple | dict | set | frozenset) and len(value) > MOST_ITEMS:
        return None
    return _text(repr, value)


def _told(value: object) -> str:
    return _shown(value) or ""


def _text(write: Any, value: object) -> str:
    try:
        return str(write(value))[:LONGEST]
    except Exception as error:  # noqa: BLE001 - tests make values that cannot be written
        return f"<{type(error).__name__}>"


def _is_token_file(path: Path) -> bool:
    """Whether this is where tokens are kept: by its name, or because its lock file stands beside it."""
    return bool(_TOKEN_FILES.fullmatch(path.name)) or path.with_name(f"{path.name}.lock").exists()


def _is_of_the_other_side(frame: types.FrameType | None) -> bool:
    """Whether the code nearest to this frame, libraries left aside, is that of the tests or of the simulated Kick."""
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith((*OURS, TESTS)) and file not in _WATCHERS:
            return file.startswith(OTHER_SIDE)
        frame = frame.f_back
    return False
