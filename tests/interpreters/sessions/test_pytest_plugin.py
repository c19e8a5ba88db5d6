"""The pytest plugin, in pytest runs of its own: one file for each test, told failures, nothing touched in vain."""

import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from interpreters.sessions import Mode, load, modes
from interpreters.sessions.pytest_plugin import MODES

pytest_plugins = ["pytester"]

IS_INSTALLED = any(point.name == "kickcore" for point in entry_points(group="pytest11"))
OPTIONS = ["-p", "no:cacheprovider", *([] if IS_INSTALLED else ["-p", "interpreters.sessions.pytest_plugin"])]

CONFTEST = """
import pytest
from interpreters.sandbox import Sandbox, Simulated, small_world

@pytest.fixture
def kick_live():
    return lambda: Simulated(Sandbox(small_world()))
"""
IMPORTS = """
import os
import anyio, pytest
from interpreters.sessions import ReplayDivergence
from kickcore.api.users import fetch_user
from kickcore.effects import Now, Sleep
from kickcore.errors import ConfigError

USER = int(os.environ.get("USER_ID", "676"))

def waiting(seconds):
    yield from Sleep(seconds)
    return (yield from Now())
"""


class Inner:
    """A folder with tests, and runs of them."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester
        self.folder = pytester.path
        _ = pytester.makeini("[pytest]\nfilterwarnings = error\naddopts = --strict-markers\n")
        self.write("conftest.py", CONFTEST)

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text if name == "conftest.py" else IMPORTS + text, "utf-8")

    def run(self, *options: str, **outcomes: int) -> str:
        """Run the tests, and see how many had which outcome; what was written."""
        result = self.pytester.runpytest_inprocess(*OPTIONS, *options)
        if outcomes:
            result.assert_outcomes(**outcomes)
        return result.stdout.str() + result.stderr.str()

    def files(self) -> list[str]:
        """What there is of sessions."""
        return sorted(path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*.jsonl*"))


@pytest.fixture
def inner(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Inner:
    for name in ("CI", "KICK_RECORD", "USER_ID", "PYTEST_ADDOPTS"):
        monkeypatch.delenv(name, raising=False)
    return Inner(pytester)


def test_until_a_test_uses_it_nothing_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("def test_it(): pass\n", "utf-8")
    script = """
import sys
import pytest
import interpreters.sessions.pytest_plugin
def ours():
    names = ("interpreters", "kickcore", "anyio", "trio", "hypothesis", "httpx2", "msgspec", "asyncio")
    return sorted(name for name in sys.modules if name.partition(".")[0] in names)
before = ours()
code = pytest.main(["-q", "-p", "interpreters.sessions.pytest_plugin", "-p", "no:cacheprovider", "--kick-orphans"])
print("LOADED", int(code), *before, *(ours() if ours() != before else ()))
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={
            **{name: value for name, value in os.environ.items() if name != "KICK_RECORD"},
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    loaded = [line for line in done.stdout.splitlines() if line.startswith("LOADED")]
    assert loaded == ["LOADED 0 interpreters interpreters.sessions interpreters.sessions.pytest_plugin"]


def test_its_list_of_modes_is_that_of_the_modes() -> None:
    assert tuple(Mode) == MODES


def test_a_test_is_recorded_once_and_replayed_on_every_loop_and_none(inner: Inner) -> None:
    inner.write(
        "test_it.py",
        """
@pytest.mark.kick_session
def test_plain(kick):
    assert kick.run_sync(fetch_user(676)).user_id == 676
    assert kick.asked("send") == 2
    assert kick.asked("send", path="/public/v1/users", method="get") == 1
    assert kick.asked("send", path="/oauth/token", method="GET") == 0
    assert kick.asked("sleep") == 0
    with pytest.raises(ConfigError, match="nothing of the kind 'http' is asked; there are consent"):
        kick.asked("http")
    assert kick.session.programs == ("fetch_user(user_id=676)",)

@pytest.mark.anyio
async def test_loop(kick):
    async with anyio.create_task_group() as tasks:
        for label in ("one", "two"):
            tasks.start_soon(lambda label=label: kick.run(fetch_user(676), label=label))
    assert kick.asked("send", path="/public/v1/users") == 2
""",
    )
    told = inner.run(errors=3)
    assert "sessions/test_it/test_plain.kcs.jsonl is not there, and nothing was asked of Kick; to record it, " in told
    assert "run: pytest --kick-record=record 'test_it.py::test_plain'" in told
    assert "pytest_plugin.py" not in told
    told = inner.run("--kick-record=record", passed=3)
    assert "kickcore: sessions: record\n" in told
    files = ["sessions/test_it/test_loop.kcs.jsonl", "sessions/test_it/test_plain.kcs.jsonl"]
    assert inner.files() == files
    before = [(inner.folder / name).read_bytes() for name in files]
    assert "kickcore: sessions" not in inner.run(passed=3)
    _ = inner.run("--kick-record=record", passed=3)
    assert [(inner.folder / name).read_bytes() for name in files] == before


def test_the_option_wins_over_the_environment_over_the_ini_and_ci_over_all(
    inner: Inner, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner.write(
        "test_it.py", "def test_it(kick):\n    assert kick.mode == os.environ['MODE']\n    kick.run_sync(waiting(1))"
    )
    _ = inner.pytester.makeini("[pytest]\nkick_record = record\n")
    monkeypatch.setenv("MODE", "record")
    assert "kickcore: sessions: record" in inner.run(passed=1)
    monkeypatch.setenv("KICK_RECORD", "rerecord")
    monkeypatch.setenv("MODE", "rerecord")
    assert "kickcore: sessions: rerecord" in inner.run(passed=1)
    monkeypatch.setenv("MODE", "off")
    assert "kickcore: sessions: off" in inner.run("--kick-record=off", passed=1)
    monkeypatch.setenv("CI", "true")
    monkeypatch.setenv("MODE", "replay")
    assert "kickcore: sessions: replay, not off: CI is set" in inner.run("--kick-record=off", passed=1)
    monkeypatch.setenv("KICK_RECORD", "once")
    assert "there is no mode 'once' for sessions" in inner.run()


def test_a_divergence_is_told_first_and_the_next_test_goes_on(inner: Inner, monkeypatch: pytest.MonkeyPatch) -> None:
    inner.write(
        "test_it.py",
        """
@pytest.fixture(scope="module", params=["asyncio", "trio"])
def anyio_backend(request):
    return request.param

@pytest.fixture(scope="module")
async def shared():
    # A runner of the event loop that several tests share.
    await anyio.sleep(0)
    yield
    await anyio.sleep(0)

@pytest.fixture
async def leaving(kick):
    yield
    await kick.run(fetch_user(USER))

def test_plain(kick):
    kick.run_sync(waiting(2.0))
    kick.run_sync(fetch_user(USER))

@pytest.mark.anyio
async def test_loop(kick, shared):
    await kick.run(fetch_user(USER))

@pytest.mark.anyio
async def test_group(kick, shared):
    async def one():
        await kick.run(fetch_user(USER))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(one)

@pytest.mark.anyio
async def test_leaving(kick, shared, leaving):
    await anyio.sleep(0)

@pytest.mark.anyio
async def test_next(kick, shared):
    await kick.run(fetch_user(676))

@pytest.mark.kick_session(unfinished="allow")
def test_expected(kick):
    if USER != 676:
        with pytest.raises(ReplayDivergence):
            kick.run_sync(fetch_user(USER))
    else:
        kick.run_sync(fetch_user(676))
""",
    )
    _ = inner.run("--kick-record=record", passed=10)
    monkeypatch.setenv("USER_ID", "123")
    told = inner.run(failed=5, errors=2, passed=5)
    assert told.count("E   program fetch_user(user_id=123) goes on where its recording ends") == 7
    assert told.count("fix       if this is intended, run: pytest --kick-record=rerecord 'test_it.py::test_plain'") == 1
    assert told.count("FAILED test_it.py::test_group[asyncio] - ReplayDivergence: program fetch_u") == 1
    assert told.count("ERROR test_it.py::test_leaving[trio] - ReplayDivergence: program fetch_u") == 1
    assert "pytest_plugin.py" not in told
    assert "playing.py" not in told
    shown = told.partition("___ test_plain ___")[2].partition("\n____")[0].splitlines()
    assert shown[1].startswith("E   program fetch_user"), "no frame stands before it"
    assert [line for line in shown if line.startswith("test_it.py:")] != []
    assert "    kick.run_sync(fetch_user(USER))" in shown
    section = shown[shown.index(next(line for line in shown if "- kick session -" in line)) + 1 :]
    assert section == [
        "sessions/test_it/test_plain.kcs.jsonl (replay)",
        "  waiting(seconds=2.0)",
        "    2 sleep 2 s answered",
    ]


def test_a_test_that_replays_without_the_fixture_is_told_of_in_the_same_way(inner: Inner) -> None:
    inner.write("test_it.py", "def test_it(kick):\n    kick.run_sync(fetch_user(676))\n")
    _ = inner.run("--kick-record=record", passed=1)
    inner.write(
        "test_it.py",
        """
from interpreters.sessions import Player, load
from kickcore import KickClient

PATH = "sessions/test_it/test_it.kcs.jsonl"

@pytest.fixture(scope="module", params=["asyncio", "trio"])
def anyio_backend(request):
    return request.param

@pytest.fixture(scope="module")
async def shared():
    yield
    await anyio.sleep(0)

@pytest.mark.anyio
async def test_client(shared):
    async with KickClient.replaying(PATH) as client:
        await client.fetch_user(123)

@pytest.mark.anyio
async def test_next(shared):
    await anyio.sleep(0)

@pytest.mark.anyio
async def test_cancelled(shared):
    with anyio.CancelScope() as scope:
        scope.cancel()
        await anyio.sleep(0)

def test_plain():
    Player(load(PATH)).run_sync(fetch_user(123))
""",
    )
    told = inner.run(failed=3, passed=4)
    assert told.count("E   program fetch_user(user_id=123) goes on where its recording ends") == 3
    assert "playing.py" not in told
    assert "kick session" not in told


def test_lines_that_nobody_asked_for_fail_the_test(inner: Inner, monkeypatch: pytest.MonkeyPatch) -> None:
    inner.write(
        "test_it.py",
        """
def test_less(kick):
    kick.run_sync(waiting(1.0))
    if USER == 676:
        kick.run_sync(waiting(2.0))

@pytest.mark.kick_session(unfinished="allow")
def test_allowed(kick):
    kick.run_sync(waiting(1.0))
    if USER == 676:
        kick.run_sync(waiting(2.0))

def test_failing(kick):
    kick.run_sync(waiting(1.0))
    assert USER == 676
    kick.run_sync(waiting(2.0))
""",
    )
    _ = inner.run("--kick-record=rerecord", passed=3)
    monkeypatch.setenv("USER_ID", "1")
    told = inner.run(passed=2, failed=1, errors=1)
    assert "program waiting(seconds=2.0) ended, and its recording goes on" in told
    assert "it was never begun" in told
    assert told.count("- kick session -") == 2


def test_a_test_that_fails_keeps_the_old_file_and_puts_the_new_one_aside(
    inner: Inner, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner.write(
        "test_it.py",
        """
@pytest.fixture
def leaving(kick):
    yield
    assert USER != 3

def test_it(kick, leaving):
    kick.run_sync(waiting(float(USER)))
    if USER == 4:
        pytest.skip("not today")
    assert USER != 2

@pytest.mark.xfail(USER == 5, reason="known", strict=True)
def test_known(kick):
    kick.run_sync(waiting(float(USER)))
    assert USER != 5
""",
    )
    inner.write(
        "test_other.py", "def test_other(kick):\n    kick.run_sync(waiting(float(USER)))\n    assert USER != 2\n"
    )
    monkeypatch.setenv("USER_ID", "1")
    _ = inner.run("--kick-record=rerecord", passed=3)
    files = inner.files()
    assert len(files) == 3
    path = inner.folder / "sessions/test_it/test_it.kcs.jsonl"
    before = path.read_bytes()

    monkeypatch.setenv("USER_ID", "2")
    told = inner.run("--kick-record=rerecord", failed=2, passed=1)
    told_of = (
        "what was recorded is in sessions/test_it/test_it.kcs.jsonl.rejected, and sessions/test_it/test_it.kcs.jsonl is"
    )
    assert told_of in told
    assert path.read_bytes() == before
    rejected = path.with_name(f"{path.name}.rejected")
    assert load(rejected).programs == ("waiting(seconds=2.0)",)

    monkeypatch.setenv("USER_ID", "3")
    _ = inner.run("--kick-record=rerecord", "test_it.py::test_it", passed=1, errors=1)
    assert path.read_bytes() == before
    assert load(rejected).programs == ("waiting(seconds=3.0)",), "also if it fails in the end of a fixture"

    monkeypatch.setenv("USER_ID", "4")
    _ = inner.run("--kick-record=rerecord", "test_it.py::test_it", skipped=1)
    assert path.read_bytes() == before

    monkeypatch.setenv("USER_ID", "5")
    _ = inner.run("--kick-record=rerecord", passed=2, xfailed=1)
    assert load(path).programs == ("waiting(seconds=5.0)",)
    assert inner.files() == files, "nothing is left aside"


def test_a_test_that_is_run_again_has_a_session_of_its_own(inner: Inner) -> None:
    inner.write(
        "conftest.py",
        CONFTEST
        + """
from _pytest.runner import runtestprotocol

def pytest_runtest_protocol(item, nextitem):
    # As pytest-rerunfailures does it.
    for attempt in range(3):
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
        if not any(report.failed for report in reports):
            break
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    return True

def pytest_generate_tests(metafunc):
    # As pytest-repeat does it.
    metafunc.fixturenames.append("__pytest_repeat_step_number")
    ids = [f"{number + 1}-3" for number in range(3)]
    metafunc.parametrize("__pytest_repeat_step_number", range(3), indirect=True, ids=ids)

@pytest.fixture
def __pytest_repeat_step_number(request):
    return request.param
""",
    )
    inner.write(
        "test_it.py",
        """
attempts = []

@pytest.mark.parametrize("user", [676, 123])
def test_it(kick, user):
    attempts.append(user)
    kick.run_sync(fetch_user(user))
    assert len(attempts) > 1
""",
    )
    _ = inner.run("--kick-record=rerecord", passed=6)
    assert inner.files() == [f"sessions/test_it/test_it[{user}].kcs.jsonl" for user in (123, 676)]
    _ = inner.run(passed=6)


def test_each_test_has_a_file_name_of_its_own_on_any_system(inner: Inner) -> None:
    inner.write(
        "api/test_names.py",
        """
import re
from pathlib import Path

seen = {}

def see(kick, *expected):
    folder = Path(__file__).parent / "sessions" / "test_names"
    assert kick.path.parent == folder
    name = kick.path.name
    assert re.fullmatch(r"[A-Za-z0-9_.=+\\[\\]-]+", name)
    assert len(name) < 140
    assert not expected or name in expected, name
    assert name.lower() not in seen
    seen[name.lower()] = 1

def test_plain(kick):
    see(kick, "test_plain.kcs.jsonl")

class TestIt:
    class TestInside:
        def test_plain(self, kick):
            see(kick, "TestIt.TestInside.test_plain.kcs.jsonl")

@pytest.mark.parametrize("value", ["a-b", "a/b", "a b", "a:b", "A-B", "a\\\\b", "é", "..", "x" * 300, "x" * 301, ""])
def test_values(kick, value):
    see(kick)

@pytest.mark.parametrize("value", [1, 2.5, None])
def test_numbers(kick, value):
    see(kick, "test_numbers[1].kcs.jsonl", "test_numbers[2.5].kcs.jsonl", "test_numbers[None-dc937b59].kcs.jsonl")

def test_ünï(kick):
    see(kick)

@pytest.mark.parametrize("value", ["asyncio", "x"])
@pytest.mark.anyio
async def test_loop(kick, value, anyio_backend):
    assert kick.path.name == f"test_loop[{value}].kcs.jsonl"

@pytest.mark.kick_session("shared/login")
def test_shared(kick):
    assert kick.path == Path(__file__).parent / "sessions/shared/login.kcs.jsonl"

@pytest.mark.kick_session(path="shared/login.jsonl")
def test_shared_too(kick):
    assert kick.path == Path(__file__).parent / "sessions/shared/login.jsonl"
""",
    )
    _ = inner.run("--kick-record=off", passed=23)
    assert inner.files() == []


def test_all_sessions_can_be_in_one_folder(inner: Inner) -> None:
    _ = inner.pytester.makeini("[pytest]\nkick_sessions_dir = recorded\n")
    for folder in ("one", "two"):
        inner.write(f"{folder}/test_{folder}.py", "def test_it(kick):\n    kick.run_sync(waiting(1.0))\n")
    (inner.folder / "recorded").mkdir()
    (inner.folder / "recorded" / "old.kcs.jsonl").write_text("", "utf-8")
    told = inner.run("--kick-record=record", "--kick-orphans", passed=2)
    assert inner.files()[1:] == [f"recorded/{name}/test_{name}/test_it.kcs.jsonl" for name in ("one", "two")]
    assert "\nrecorded/old.kcs.jsonl\n" in told
    assert "recorded/one" not in told


def test_orphans_are_listed_if_every_test_was_collected(inner: Inner) -> None:
    inner.write("test_it.py", "def test_it(kick):\n    kick.run_sync(waiting(1.0))\n\ndef test_other():\n    pass\n")
    inner.write(
        "sub/test_sub.py",
        "@pytest.mark.kick_session('../../sessions/shared')\ndef test_sub(kick):\n    kick.run_sync(waiting(1.0))\n",
    )
    _ = inner.run("--kick-record=record", passed=3)
    assert "that no test names =" in (told := inner.run("--kick-orphans", passed=3))
    assert "\nnone\n" in told
    for name in ("sessions/test_it/test_gone.kcs.jsonl", "sub/sessions/old.kcs.jsonl", "elsewhere/a.kcs.jsonl"):
        (inner.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (inner.folder / name).write_text("", "utf-8")
    told = inner.run("--kick-orphans", "--collect-only", "-q")
    assert "\nsessions/test_it/test_gone.kcs.jsonl\nsub/sessions/old.kcs.jsonl\n" in told
    assert "elsewhere" not in told
    for options, why in (
        (["-k", "it"], "-k"),
        (["-m", "not anyio"], "-m"),
        (["test_it.py"], "files or folders were named"),
        (["test_it.py::test_it"], "files or folders were named"),
        (["sub"], "files or folders were named"),
        (["--deselect", "test_it.py::test_other"], "--deselect"),
        (["--ignore", "sub"], "--ignore"),
    ):
        told = inner.run("--kick-orphans", "--collect-only", "-q", *options)
        assert f"not looked for, because only a part was collected: {why}\n" in told
        assert "test_gone" not in told
    inner.write("test_broken.py", "raise ZeroDivisionError\n")
    assert "not everything could be collected" in inner.run("--kick-orphans", errors=1)


def test_the_marker_says_how_a_session_is_used(inner: Inner, monkeypatch: pytest.MonkeyPatch) -> None:
    inner.write(
        "test_it.py",
        """
pytestmark = pytest.mark.kick_session(clock="2026-06-01T00:00:00Z")

@pytest.mark.kick_session("shared", order="program")
def test_order(kick):
    labels = ["one", "two"] if USER == 676 else ["two", "one"]
    ends = {label: kick.run_sync(waiting(60.0), label=label) for label in labels}
    assert min(ends.values()) == 1780272060.0
    assert kick.session.header.t0.startswith("2026-06-01T00:01:00")

@pytest.mark.kick_session(colour="red")
def test_unknown(kick):
    pass

@pytest.mark.kick_session("one", "two")
def test_two(kick):
    pass

@pytest.mark.kick_session(unfinished="maybe")
def test_maybe(kick):
    pass

@pytest.mark.kick_session(clock="noon", seed="s")
def test_noon(kick):
    kick.run_sync(waiting(1.0))
""",
    )
    told = inner.run("--kick-record=record", passed=1, errors=3, failed=1)
    assert "the marker kick_session takes no colour; its options are order, speed" in told
    assert "the marker kick_session takes one path, and all else by name" in told
    assert "unfinished='maybe' is neither 'fail' nor 'allow'" in told
    assert "clock='noon' is no instant such as '2026-06-01T00:00:00Z'" in told
    monkeypatch.setenv("USER_ID", "1")
    _ = inner.run("-k", "order", passed=1, deselected=4)


CLIENT = """
import httpx2
from interpreters.sandbox import Sandbox, SandboxApp, Simulated
from interpreters.tokens.memory import MemoryStore
from kickcore import KickClient

pytestmark = pytest.mark.anyio
made = []

@pytest.fixture
def kick_live():
    sandbox, store = Sandbox(), MemoryStore()

    def make():
        http = httpx2.AsyncClient(transport=httpx2.ASGITransport(app=SandboxApp(sandbox)))
        made.append(KickClient("sandbox-app", "sandbox-secret", http=http, store=store))
        return made[-1]

    return make

async def test_client(kick):
    async with kick.client() as client:
        assert (await client.fetch_user(123)).user_id == 123
    async with kick.client() as client:
        assert (await client.fetch_user(676)).user_id == 676
    if kick.is_live:
        assert repr(made[-1]) == "<KickClient 'sandbox-app', closed>"

async def test_run(kick):
    async def one(user_id):
        assert (await kick.run(fetch_user(user_id))).user_id == user_id

    before = len(made)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(one, 123)
        tasks.start_soon(one, 676)
    await kick.run(fetch_user(123), account="alice")
    assert kick.asked("send", "/oauth/token") == 1
    if kick.is_live:
        assert len(made) == before + 2, "one for all that ran at once"
        assert repr(made[-1]) == "<KickClient 'sandbox-app', closed>"
        with pytest.raises(ConfigError, match="needs an event loop"):
            kick.run_sync(fetch_user(123))

async def test_own(kick, kick_live):
    own = kick_live()
    kick.live(own)
    await kick.run(fetch_user(123))
    assert "closed" not in repr(own)
    await own.close()

async def test_simulated(kick):
    kick.live(Simulated)
    await kick.run(fetch_user(123))
    await kick.run(fetch_user(123))
    assert kick.asked("send", "/oauth/token") == 1
    if kick.is_live:
        with pytest.raises(ConfigError, match="is recorded from a KickClient"):
            kick.client()

async def test_nobody(kick):
    kick.live(None)
    if kick.is_live:
        with pytest.raises(ConfigError, match="something must answer: override the fixture kick_live, or say"):
            await kick.run(fetch_user(123))
"""


def test_clients_interpreters_and_what_makes_them_answer_while_nothing_is_replayed(inner: Inner) -> None:
    inner.write("test_it.py", CLIENT)
    _ = inner.run("--kick-record=record", passed=10)
    assert len(inner.files()) == 5
    before = [(inner.folder / name).read_bytes() for name in inner.files()]
    _ = inner.run(passed=10)
    _ = inner.run("--kick-record=extend", passed=10)
    _ = inner.run("--kick-record=off", passed=10)
    assert [(inner.folder / name).read_bytes() for name in inner.files()] == before


def test_a_session_is_extended_and_verified(inner: Inner, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(modes, "shape_changes", lambda recorded, now: tuple(told))
    inner.write(
        "test_it.py",
        """
def test_it(kick):
    kick.run_sync(waiting(1.0))
    if USER > 1:
        kick.run_sync(waiting(float(USER)))
    assert USER != 4
""",
    )
    for user, options, outcomes, programs in (
        (1, "record", {"passed": 1}, ["1.0"]),
        (2, "extend", {"passed": 1}, ["1.0", "2.0"]),
        (1, "extend", {"passed": 1, "errors": 1}, ["1.0", "2.0"]),
        (3, "extend", {"failed": 1}, ["1.0", "2.0"]),
        (4, "verify", {"failed": 1}, ["1.0", "2.0"]),
        (3, "verify", {"passed": 1}, ["1.0", "2.0"]),
    ):
        monkeypatch.setenv("USER_ID", str(user))
        _ = inner.run(f"--kick-record={options}", **outcomes)
        path = inner.folder / "sessions/test_it/test_it.kcs.jsonl"
        assert list(load(path).programs) == [f"waiting(seconds={seconds})" for seconds in programs]
    told.append("GET /public/v1/users: /data/0/name is gone")
    said = inner.run("--kick-record=verify", passed=1, errors=1)
    assert "Kick's answers have another shape than in sessions/test_it/test_it.kcs.jsonl: GET /public/v1/users" in said
    assert "pytest_plugin.py" not in said
