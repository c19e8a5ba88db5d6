"""What all tests share: both event loops, the vectors and the payloads; and the canary that watches all of them."""

import gc
import json
import logging
import signal
import warnings
from collections.abc import Callable
from functools import cache, wraps
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest
from canary import Canary
from httpx2._transports import default
from hypothesis import settings

from kickcore.errors import KickError, KickWarning
from kickcore.secret import Secret

TESTS = Path(__file__).parent
CANARY = Canary()

# No test asserts on speed: a busy machine is no reason to fail.
settings.register_profile("unhurried", deadline=None, print_blob=False)
settings.load_profile("unhurried")


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def canary() -> Canary:
    """The canary of this run, for a test that must show a secret on purpose: `canary.is_away = True`."""
    return CANARY


@pytest.fixture
def payload() -> Any:
    """The octets of an example body, by its path below `tests/payloads`."""
    return lambda name: (TESTS / "payloads" / name).read_bytes()


@pytest.fixture
def vectors() -> Any:
    """The vectors of a file below `tests/vectors`."""
    return lambda name: json.loads((TESTS / "vectors" / name).read_text("utf-8"))


@pytest.fixture(scope="module", autouse=True)
def _what_is_older_than_a_module_is_not_walked_again() -> None:
    # Many tests collect garbage, and each time all modules, collected tests and reports would be looked through. What
    # becomes garbage in spite of being set aside here is collected, and complained of, at the end of the run.
    gc.collect()
    gc.freeze()


# The canary. An exception that nobody handles, in whatever thread or task, fails its test and is looked at as such.


def pytest_configure(config: pytest.Config) -> None:
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        # A shell lets what it runs in the background ignore Ctrl-C, and some tests press it.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    patch = pytest.MonkeyPatch()
    config.add_cleanup(patch.undo)
    # Reading all certificates takes each of hundreds of clients 20 ms.
    patch.setattr(default, "create_ssl_context", cache(default.create_ssl_context))
    _watch(patch, Secret, "__new__", lambda _, text: CANARY.hold(text))
    _watch(patch, KickError, "__init__", lambda error, message: _look_at_an_attribute(error, "message", message))
    _watch(patch, KickError, "__setattr__", _look_at_an_attribute)
    _watch(patch, KickWarning, "__init__", lambda warning, *args: CANARY.warning(type(warning).__name__, args))
    _watch(patch, warnings.WarningMessage, "__init__", _look_at_a_warning)
    _watch(patch, logging.Logger, "callHandlers", lambda _, record: CANARY.log(record))
    read = pytest.CaptureFixture.readouterr
    patch.setattr(pytest.CaptureFixture, "readouterr", lambda capture: _looked_at_output(read(capture)))
    raises = pytest.raises
    patch.setattr(pytest, "raises", wraps(raises)(lambda *args, **named: _watched_raises(raises(*args, **named))))
    config.add_cleanup(lambda level=logging.root.level: logging.root.setLevel(level))
    logging.root.setLevel(logging.DEBUG)


def pytest_sessionstart(session: pytest.Session) -> None:
    # Every record is made now, and pytest would put all of them into the report of a test that fails.
    reporting = session.config.pluginmanager.get_plugin("logging-plugin")
    for handler in (reporting.caplog_handler, reporting.report_handler) if reporting else ():
        handler.setLevel(logging.WARNING)


def _watch(patch: pytest.MonkeyPatch, kind: type, name: str, look: Callable[..., object]) -> None:
    """Let `look` have what a method is given, before the method."""
    method = getattr(kind, name)

    @wraps(method)
    def watched(*args: Any, **named: Any) -> Any:
        look(*args, **named)
        return method(*args, **named)

    patch.setattr(kind, name, watched)


def _look_at_an_attribute(error: KickError, name: str, value: object) -> None:
    if not name.startswith("__"):
        CANARY.attribute(f"{type(error).__name__}.{name}", value)


def _look_at_a_warning(_: object, message: object, kind: type[Warning], *more: object, **named: object) -> None:
    CANARY.warning(kind.__name__, message)


def _looked_at_output(read: Any) -> Any:
    CANARY.output("what capsys read", read.out)
    CANARY.output("what capsys read", read.err)
    return read


class _WatchedRaises:
    """What `pytest.raises` gives, and the canary sees the exception that it caught."""

    def __init__(self, raises: Any) -> None:
        self._raises = raises

    def __enter__(self) -> Any:
        return self._raises.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Any:
        __tracebackhide__ = True
        swallowed = self._raises.__exit__(kind, error, trace)
        if error is not None:
            CANARY.exception(error)
        return swallowed


def _watched_raises(made: Any) -> Any:
    if isinstance(made, pytest.ExceptionInfo):
        CANARY.exception(made.value)
        return made
    return _WatchedRaises(made)


def pytest_runtest_logstart(nodeid: str) -> None:
    CANARY.begin(nodeid)


def pytest_runtest_makereport(call: pytest.CallInfo[None]) -> None:
    if call.excinfo is not None:
        CANARY.exception(call.excinfo.value)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    folder = getattr(item, "funcargs", {}).get("tmp_path")
    if folder is not None:
        CANARY.files(folder)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    # The last report of a test holds the output of all its phases.
    for title, text in report.sections if report.when == "teardown" else ():
        if "stdout" in title or "stderr" in title:
            CANARY.output(title, text)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    gc.unfreeze()
    if CANARY.leaks and session.exitstatus in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if CANARY.leaks:
        terminalreporter.section("secrets that showed", red=True, bold=True)
    for line in CANARY.report():
        terminalreporter.write_line(line, red=True)
    terminalreporter.write_line(CANARY.summary())
