"""A pytest plugin: a session for each test, replayed unless you ask for something else.

    @pytest.mark.kick_session
    async def test_greeting(kick):
        user = await kick.run(fetch_user(123))
        assert kick.asked("send", path="/public/v1/users") == 1

Nothing happens until a test uses the fixture `kick`: until then, this module and pytest are all that is loaded. Nothing
is asserted here (PYTEST_DONT_REWRITE).
"""

import os
import re
import sys
from collections.abc import AsyncGenerator, Generator, Iterator
from contextlib import asynccontextmanager
from fnmatch import fnmatch
from functools import cache, wraps
from hashlib import sha256
from inspect import iscoroutinefunction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeAlias, TypeVar, cast
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from interpreters.sessions.divergence import ReplayDivergence
    from interpreters.sessions.lines import Session
    from interpreters.sessions.modes import Mode, Take
    from kickcore.client import KickClient
    from kickcore.effects import Program

T = TypeVar("T")

Source: TypeAlias = Any
"""What answers while nothing is replayed: a `KickClient`, an interpreter with `answer` (such as `Simulated()`), or a
function that makes one of them."""

MODES: Final = ("replay", "record", "rerecord", "extend", "verify", "off")
"""Those of `interpreters.sessions.modes`, which is not loaded for the sake of a list."""
SUFFIX: Final = ".kcs.jsonl"
LONGEST_NAME: Final = 120
"""Characters of a file's name without its suffix; of a longer one, a digest tells it from others."""
_ABOUT_REPLAYS: Final = ("order", "speed", "patience")
_ABOUT_FILES: Final = ("bind", "secret_texts", "allow", "seed")
_OPTIONS: Final = (*_ABOUT_REPLAYS, *_ABOUT_FILES, "unfinished", "clock")


# What pytest calls


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("kickcore", "sessions of the Kick API")
    group.addoption(
        "--kick-record",
        choices=MODES,
        help="what to do with session files: replay (default), record (those that are missing), rerecord, extend, "
        "verify, off; wins over KICK_RECORD; where CI is set, all but verify is replay",
    )
    group.addoption(
        "--kick-orphans", action="store_true", help="list the session files that no test names, if all were collected"
    )
    parser.addini("kick_record", "the mode for session files, unless --kick-record or KICK_RECORD name one")
    parser.addini("kick_sessions_dir", "folder of all sessions, from the rootdir (default: sessions, beside each test)")


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known, and look for orphans if that is wanted."""
    config.addinivalue_line(
        "markers",
        "kick_session(path, order='recorded', unfinished='fail', clock=None, bind=None, secret_texts=(), allow=(), "
        "seed=None, speed=None, patience=10.0): which session file the fixture `kick` uses, and how; by default one "
        "for each test, in the folder `sessions` beside it",
    )
    if config.getoption("kick_orphans"):
        _ = config.pluginmanager.register(_Orphans(config), "kickcore orphans")


def pytest_report_header(config: pytest.Config) -> str | None:
    """Say which mode is used, if any was asked for."""
    wanted = config.getoption("kick_record") or os.environ.get("KICK_RECORD", "") or config.getini("kick_record")
    if not wanted:
        return None
    try:
        mode = _mode(config)
    except ValueError as error:
        raise pytest.UsageError(str(error)) from None
    forced = "" if mode == wanted.strip().lower() else f", not {wanted}: CI is set"
    return f"kickcore: sessions: {mode}{forced}"


@pytest.fixture
def kick_live() -> Source:
    """What answers the tests of `kick` while nothing is replayed. Override it, or say `kick.live(...)` in the test."""
    return None


@pytest.fixture
def kick(request: pytest.FixtureRequest, kick_live: Source) -> "Kick":
    """The test's session: it drives programs, by the file or live, as the mode wants it. See the page on testing."""
    from kickcore.errors import ConfigError, SessionError

    item = cast("pytest.Item", request.node)
    told = ""
    try:
        item.stash[_KICK] = Kick(item, kick_live)
    except (ConfigError, SessionError, OSError) as error:
        told = str(error)
    if told:
        _fail(told)
    return item.stash[_KICK]


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Let a divergence leave an asynchronous test as a failure, also out of a group of exceptions.

    A test that replays without the fixture has the same.
    """
    test: Any = pyfuncitem.obj
    if not iscoroutinefunction(test) or not _is_loaded():
        return (yield)

    @wraps(test)
    async def told(*more: Any, **named: Any) -> Any:
        __tracebackhide__ = True
        try:
            return await test(*more, **named)
        except BaseException as error:
            divergence = _divergence_in(error)
            if divergence is None or isinstance(error, pytest.fail.Exception):
                raise
            raise _diverged()(divergence.difference).with_traceback(divergence.__traceback__) from error

    pyfuncitem.obj = told
    try:
        return (yield)
    finally:
        pyfuncitem.obj = test


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    """After all fixtures have ended, the session ends, too: only then it is known whether all went well."""
    try:
        yield
    except BaseException:
        if _KICK in item.stash:
            item.stash[_KICK].end(is_cut=True, has_failed=True)
        raise
    if _KICK in item.stash:
        item.stash[_KICK].end(is_cut=item.stash.get(_CUT, False), has_failed=item.stash.get(_FAILED, False))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Put the session's side of a failure into the report."""
    report = yield
    if call.excinfo is not None and report.failed and _is_loaded():
        divergence = _divergence_in(call.excinfo.value)
        if divergence is not None:
            report.longrepr = _Divergence(divergence, call.excinfo, item)  # pyright: ignore[reportAttributeAccessIssue]
    if _KICK not in item.stash:
        return report
    if call.excinfo is not None:
        item.stash[_CUT] = True
        item.stash[_FAILED] = item.stash.get(_FAILED, False) or report.failed
        if report.failed:
            report.sections.append(("kick session", item.stash[_KICK].report()))
    if call.when == "teardown":
        # The same item may be run again.
        del item.stash[_KICK]
        item.stash[_CUT] = item.stash[_FAILED] = False
    return report


def _fail(told: str) -> NoReturn:
    """Fail with a text for people, and none of the frames that it came by."""
    pytest.fail(told, pytrace=False)


def _mode(config: pytest.Config) -> "Mode":
    from interpreters.sessions.modes import allowed_mode, mode_from_environment

    wanted = config.getoption("kick_record")
    return allowed_mode(wanted) if wanted else mode_from_environment(config.getini("kick_record") or "replay")


# The file of a test


def session_path(item: pytest.Item) -> Path:
    """The session file of a test: what its marker says, or a name made of its own.

    The event loop that a test runs on and the number of its repetition are no part of the name: what was recorded on
    asyncio replays on trio. What cannot stand in a file's name is replaced, and a digest tells it from others.
    """
    given, _ = _marked(item)
    central: str = item.config.getini("kick_sessions_dir")
    folder = item.config.rootpath / central if central else item.path.parent / "sessions"
    if given:
        return folder / (given if given.endswith(".jsonl") else f"{given}{SUFFIX}")
    module = item.path.with_suffix("")
    if central and module.is_relative_to(item.config.rootpath):
        folder /= module.relative_to(item.config.rootpath)
    else:
        folder /= module.name
    return folder / f"{_name(item)}{SUFFIX}"


def _marked(item: pytest.Item) -> tuple[str, dict[str, Any]]:
    """The path and the options of the markers of a test; the nearest one wins."""
    given, options = "", dict[str, Any]()
    for marker in reversed(list(item.iter_markers("kick_session"))):
        unknown = sorted(set(marker.kwargs) - {*_OPTIONS, "path"})
        paths: list[Any] = [*marker.args, *([marker.kwargs["path"]] if "path" in marker.kwargs else [])]
        if unknown or len(paths) > 1 or not all(isinstance(path, str | os.PathLike) for path in paths):
            what = f"no {', '.join(unknown)}" if unknown else "one path, and all else by name"
            _fail(f"the marker kick_session takes {what}; its options are {', '.join(_OPTIONS)}")
        given = str(paths[0]) if paths else given
        options |= {name: value for name, value in marker.kwargs.items() if name != "path"}
    return given, options


def _name(item: pytest.Item) -> str:
    classes = [node.name for node in item.listchain() if isinstance(node, pytest.Class)]
    test = _slug(".".join([*classes, getattr(item, "originalname", None) or item.name]), folds_case=False)
    parameters = _parameters(item)
    whole = f"{test}[{_slug(parameters, folds_case=True)}]" if parameters else test
    return whole if len(whole) <= LONGEST_NAME else f"{whole[: LONGEST_NAME - 9]}-{_digest(whole)}"


def _parameters(item: pytest.Item) -> str:
    """The parameters of a test as pytest names them, without those that a session does not depend on."""
    called = getattr(item, "callspec", None)
    if called is None:
        return ""
    name: str = called.id
    backend: Any = called.params.get("anyio_backend")
    if isinstance(backend, tuple):
        backend = cast("tuple[Any, ...]", backend)[0]
    repetition = called.params.get("__pytest_repeat_step_number")
    patterns = [
        re.escape(backend) if isinstance(backend, str) else "",
        rf"{repetition + 1}-\d+" if isinstance(repetition, int) else "",
    ]
    for pattern in filter(None, patterns):
        name = re.sub(rf"(?:^|-){pattern}(?=-|$)", "", name, count=1).removeprefix("-")
    return name


def _slug(text: str, *, folds_case: bool) -> str:
    """A text as part of a file's name on any system; with a digest, if others might come to the same."""
    slug = re.sub(r"[^A-Za-z0-9_.=+-]+", "-", text)
    # Some file systems take a and A for the same.
    if slug == text and not (folds_case and text.lower() != text):
        return slug
    return f"{slug[:LONGEST_NAME]}-{_digest(text)}"


def _digest(text: str) -> str:
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]


# What a test uses


@cache
def _diverged() -> "type[ReplayDivergence]":
    from interpreters.sessions.divergence import ReplayDivergence

    class Diverged(ReplayDivergence, pytest.fail.Exception):
        """A divergence that pytest and anyio's runner know to be the failure of a test. Of all other exceptions that
        are no `Exception`, they take it that nothing can go on.
        """

    return Diverged


@cache
def _take_of_a_test() -> "type[Take]":
    from interpreters.sessions.divergence import ReplayDivergence
    from interpreters.sessions.modes import Take

    class TakeOfATest(Take):
        async def run(self, program: "Program[T]", *more: Any, **named: Any) -> T:
            __tracebackhide__ = True
            try:
                return await super().run(program, *more, **named)
            except ReplayDivergence as divergence:
                difference = divergence.difference
            raise _diverged()(difference)

        def run_sync(self, program: "Program[T]", *more: Any, **named: Any) -> T:
            __tracebackhide__ = True
            try:
                return super().run_sync(program, *more, **named)
            except ReplayDivergence as divergence:
                difference = divergence.difference
            raise _diverged()(difference)

    return TakeOfATest


class Kick:
    """The session of one test. `mode` is what is done with the file at `path`.

    What is asked of the world goes through `run` and `run_sync`, or through the clients that `client` makes. In a
    replay, the answers are the file's; else they come from what `live` (or the fixture `kick_live`) was given.
    """

    def __init__(self, item: pytest.Item, source: Source = None) -> None:
        _, options = _marked(item)
        self.path: Final = session_path(item)
        self.mode: Final = _mode(item.config)
        self._clock: Final[str | None] = options.pop("clock", None)
        self._unfinished: Final[str] = options.pop("unfinished", "fail")
        if self._unfinished not in {"fail", "allow"}:
            _fail(f"unfinished={self._unfinished!r} is neither 'fail' nor 'allow'")
        test = item.nodeid
        self._take: Final = _take_of_a_test()(
            self.path,
            self.mode,
            how=lambda mode: f"run: pytest --kick-record={mode} {test!r}",
            closes_with_client=False,
            **options,
        )
        self._source: Source = source
        self._interpreter: Any = None
        self._client: KickClient | None = None
        self._users = 0

    def live(self, source: Source) -> None:
        """Say what answers while nothing is replayed. It is not touched in a replay.

        `source` is a `KickClient`, an interpreter with `answer` such as `Simulated()`, or a function that makes one of
        them: it is called when the first answer is needed. A client that it made is closed as soon as nothing runs;
        the next one has the same tokens if it has the same store.
        """
        self._source = source

    async def run(self, program: "Program[T]", *, label: str | None = None, account: str = "") -> T:
        """Run a program of kickcore's or of yours. `label` names it in the session, `account` is for whom it acts.

        Raises what the program raises, and `ReplayDivergence` if it is not what was recorded.
        """
        __tracebackhide__ = True
        if not self._take.may_need_kick:
            return await self._take.run(program, label=label, account=account)
        source = self._made()
        if not _is_client(source):
            return await self._take.run(program, source, label=label, account=account or None)
        async with self._opened(source) as client:
            acting = client.as_user(account) if account else client
            return await acting.run(program, label=label)

    def run_sync(self, program: "Program[T]", *, label: str | None = None, account: str = "") -> T:
        """The same without an event loop. To record, it needs an interpreter with `answer`, such as `Simulated()`."""
        from kickcore.errors import ConfigError

        __tracebackhide__ = True
        if not self._take.may_need_kick:
            return self._take.run_sync(program, label=label, account=account)
        source = self._made()
        if _is_client(source):
            raise ConfigError("a KickClient needs an event loop: `await kick.run(...)`, or kick.live(Simulated())")
        return self._take.run_sync(program, source.answer, label=label, account=account)

    def client(self) -> "KickClient":
        """A client whose calls are part of the session: `async with kick.client() as client`.

        While nothing is replayed it is made of the `KickClient` that `live` was given, or that is made anew for it.
        """
        from kickcore.client import KickClient
        from kickcore.errors import ConfigError

        if not self._take.may_need_kick:
            return KickClient("replay", "replay").with_session(self._take)
        source = self._made(anew=True)
        if not _is_client(source):
            raise ConfigError("kick.client() is recorded from a KickClient: kick.live(lambda: KickClient(...))")
        return source.with_session(self._take)

    def asked(self, kind: str, path: str | None = None, method: str | None = None) -> int:
        """How often the world was asked for something of this kind so far: "send", "load_token", "sleep" and so on.

        For "send", `path` is that of the address, without host and query, and `method` that of the request. Raises
        `ConfigError` for a kind that there is not.
        """
        from interpreters.sessions.coding import KIND_OF
        from kickcore.errors import ConfigError

        if kind not in KIND_OF.values():
            raise ConfigError(f"nothing of the kind {kind!r} is asked; there are {', '.join(sorted(KIND_OF.values()))}")
        lines = [line for line in self._take.lines() if line.k == kind]
        return sum(_is_sent_to(bytes(line.q), path, method) for line in lines) if path or method else len(lines)

    @property
    def is_live(self) -> bool:
        """Whether programs are answered by a live interpreter now, and not by the file."""
        return self._take.is_live

    @property
    def session(self) -> "Session":
        """What was recorded so far, or what is replayed."""
        return self._take.session

    # What the plugin does with it

    def _made(self, *, anew: bool = False) -> Any:
        """What answers while nothing is replayed."""
        from kickcore.errors import ConfigError

        if self._interpreter is not None:
            return self._interpreter
        source: Any = self._source
        is_ready = not isinstance(source, type) and (_is_client(source) or hasattr(source, "answer"))
        if not is_ready and callable(source):
            if self._client is not None and not anew:
                return self._client
            source = source()
        if _is_client(source):
            return source
        if not hasattr(source, "answer"):
            raise ConfigError(
                f"with {self.mode}, something must answer: override the fixture kick_live, or say "
                "kick.live(lambda: KickClient(...)) or kick.live(Simulated())"
            )
        if self._clock is not None:
            source.time = _instant(self._clock)
        self._interpreter = source
        return source

    @asynccontextmanager
    async def _opened(self, source: Any) -> "AsyncGenerator[KickClient]":
        """One client for all that runs at once, closed after the last of it, if it is not the test's own."""
        from anyio import CancelScope

        client: KickClient = source if self._client is None else self._client
        self._client = client
        self._users += 1
        try:
            yield client.with_session(self._take)
        finally:
            self._users -= 1
            if not self._users:
                self._client = None
                if source is not self._source:
                    with CancelScope(shield=True):
                        await client.close()

    def report(self) -> str:
        """For the report of a test that failed: what each program was given last."""
        replayed = "" if self._take.is_live or self.mode == "replay" else ", replayed"
        rows = [f"{_from_here(self.path)} ({self.mode}{replayed})"]
        for name, told in self._take.history().items():
            rows += [f"  {name}", *(f"    {row}" for row in told)]
        if len(rows) == 1:
            rows.append("  nothing was asked")
        if self._take.kept:
            rows.append(f"  {self._take.kept}")
        return "\n".join(rows)

    def end(self, *, is_cut: bool, has_failed: bool) -> None:
        """End the session after the test. `is_cut` says that an exception ended it before its end."""
        from interpreters.sessions.divergence import ReplayDivergence
        from kickcore.errors import SessionError

        take = self._take
        try:
            if has_failed:
                _ = take.close(failed=True)
            elif is_cut or (self._unfinished == "allow" and not take.is_live):
                take.discard()
            else:
                _ = take.close()
        except (SessionError, ReplayDivergence) as error:
            told = str(error)
        else:
            return
        _fail(told)


_KICK: Final = pytest.StashKey[Kick]()
_CUT: Final = pytest.StashKey[bool]()
_FAILED: Final = pytest.StashKey[bool]()


def _is_client(source: object) -> bool:
    return hasattr(source, "with_session") and not isinstance(source, type)


def _is_sent_to(asked: bytes, path: str | None, method: str | None) -> bool:
    from msgspec.json import decode

    request = decode(asked, type=dict[str, Any])
    if method is not None and str(request["method"]).upper() != method.upper():
        return False
    return path is None or urlsplit(str(request["url"])).path == path


def _instant(text: str) -> float:
    from interpreters.sessions.lines import micros_of
    from kickcore.errors import ConfigError

    try:
        return micros_of(text) / 1_000_000
    except ValueError:
        raise ConfigError(f"clock={text!r} is no instant such as '2026-06-01T00:00:00Z'") from None


def _from_here(path: Path) -> str:
    from interpreters.sessions.lines import shown_path

    return shown_path(path)


# Reports


def _is_loaded() -> bool:
    """Whether anything can have diverged: what replays is loaded."""
    return "interpreters.sessions.divergence" in sys.modules


def _divergence_in(error: BaseException | None) -> "ReplayDivergence | None":
    """The divergence that a test ended with, also if it is one of several exceptions of a group."""
    from interpreters.sessions.divergence import ReplayDivergence

    if isinstance(error, ReplayDivergence):
        return error
    if isinstance(error, BaseExceptionGroup):
        inside = cast("BaseExceptionGroup[BaseException]", error).exceptions
        return next(filter(None, map(_divergence_in, inside)), None)
    return None


class _Crash:
    """Where a test failed, as pytest's summary and other reports ask for it."""

    def __init__(self, path: str, lineno: int, message: str) -> None:
        self.path = path
        self.lineno = lineno
        self.message = message

    def __str__(self) -> str:
        return f"{self.path}:{self.lineno}: {self.message}"


class _Divergence:
    """A failure as it is shown: first what disagrees, then the lines of the test, and no frame of anything else."""

    def __init__(
        self, divergence: "ReplayDivergence", caught: pytest.ExceptionInfo[BaseException], item: pytest.Item
    ) -> None:
        self._told: Final = str(divergence)
        self._lines: Final = list(_lines_of_test(caught.value, divergence, item))
        path, number, _ = self._lines[-1] if self._lines else (item.location[0], (item.location[1] or 0) + 1, "")
        self.reprcrash: Final = _Crash(path, number, f"ReplayDivergence: {self._told.splitlines()[0]}")

    def __str__(self) -> str:
        rows = [self._told, ""]
        for path, number, source in self._lines:
            rows += [f"{path}:{number}", f"    {source}"]
        return "\n".join(rows)

    def toterminal(self, writer: Any) -> None:
        """Write it as pytest writes failures."""
        for row in self._told.splitlines():
            writer.line(f"E   {row}", red=True, bold=True)
        for path, number, source in self._lines:
            writer.line("")
            writer.line(f"{path}:{number}")
            writer.line(f"    {source}")


def _lines_of_test(
    caught: BaseException, divergence: BaseException, item: pytest.Item
) -> Iterator[tuple[str, int, str]]:
    """The lines of the test's own files that the exception came by: file, number, source."""
    from linecache import getline
    from traceback import walk_tb

    seen: set[tuple[str, int]] = set()
    traces = (caught.__traceback__, divergence.__traceback__ if divergence is not caught else None)
    for frame, number in (place for trace in traces for place in walk_tb(trace)):
        path = Path(frame.f_code.co_filename)
        if _is_of_test(path, item) and (str(path), number) not in seen:
            seen.add((str(path), number))
            yield _from_here(path), number, getline(str(path), number).strip()


_INSTALLED: Final = Path(__file__).parent.parent.parent


def _is_of_test(path: Path, item: pytest.Item) -> bool:
    if path == item.path:
        return True
    ours = any(path.is_relative_to(_INSTALLED / name) for name in ("kickcore", "interpreters"))
    root: Path = item.config.rootpath
    return not ours and path.is_relative_to(root) and "site-packages" not in path.parts


# Orphans


class _Orphans:
    """Looks for session files that no test names, if all tests were collected."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._partly = ""
        self._is_done = False
        self._told: list[str] = []

    def pytest_deselected(self) -> None:
        self._partly = self._partly or "tests were deselected"

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._partly = "not everything could be collected"

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._is_done = True
        self._partly = _is_partial(self._config) or self._partly
        if self._partly:
            return
        named = {session_path(item).resolve() for item in session.items if "kick" in getattr(item, "fixturenames", ())}
        found = (path for root in _roots(self._config) for path in _session_files(self._config, root))
        self._told = sorted({_from_here(path) for path in found if path.resolve() not in named})

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        terminalreporter.section("session files that no test names")
        if not self._is_done and not self._partly:
            self._partly = "other processes collect, so add -n 0"
        if self._partly:
            terminalreporter.line(f"not looked for, because only a part was collected: {self._partly}")
        for row in self._told or ([] if self._partly else ["none"]):
            terminalreporter.line(row)


def _is_partial(config: pytest.Config) -> str:
    """Why not every test is collected, or "" if every one is."""
    options = config.option
    for name, told in (("keyword", "-k"), ("markexpr", "-m"), ("deselect", "--deselect"), ("lf", "--last-failed")):
        if getattr(options, name, None):
            return told
    if getattr(options, "ignore", None) or getattr(options, "ignore_glob", None):
        return "--ignore"
    given = [(config.invocation_params.dir / argument.partition("::")[0]).resolve() for argument in config.args]
    if any("::" in argument for argument in config.args) or not all(
        any(root.resolve().is_relative_to(path) for path in given) for root in _roots(config)
    ):
        return "files or folders were named"
    return ""


def _roots(config: pytest.Config) -> list[Path]:
    """The folders with all tests."""
    return [path for pattern in config.getini("testpaths") for path in config.rootpath.glob(pattern)] or [
        config.rootpath
    ]


def _session_files(config: pytest.Config, root: Path) -> Iterator[Path]:
    """The session files where this plugin puts them."""
    central: str = config.getini("kick_sessions_dir")
    if central:
        yield from (config.rootpath / central).rglob(f"*{SUFFIX}")
        return
    skipped: list[str] = config.getini("norecursedirs")
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if not any(fnmatch(name, pattern) for pattern in skipped)]
        if "sessions" in Path(folder).relative_to(root.parent).parts:
            yield from (Path(folder) / name for name in files if name.endswith(SUFFIX))
