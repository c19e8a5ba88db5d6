"""The command line, against the simulated Kick."""

import io
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from interpreters.sandbox import Sandbox, approve, serve
from kickcore.cli import account, demo, main
from kickcore.cli.demo import NotAsTold, Scene


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KICK_CLIENT_ID", raising=False)
    monkeypatch.delenv("KICK_CLIENT_SECRET", raising=False)
    return tmp_path


@pytest.fixture
def kick() -> Sandbox:
    return Sandbox()


@pytest.fixture
def url(kick: Sandbox) -> Iterator[str]:
    """The simulated Kick in a thread of its own, since commands bring their own event loop."""
    told: Future[str] = Future()
    done = threading.Event()

    async def serving() -> None:
        async with serve(kick) as origin:
            told.set_result(origin)
            await anyio.to_thread.run_sync(done.wait)

    thread = threading.Thread(target=anyio.run, args=(serving,))
    thread.start()
    yield told.result(timeout=10)
    done.set()
    thread.join(timeout=10)
    assert not thread.is_alive()


def agreeing(kick: Sandbox) -> Callable[[str], Awaitable[str]]:
    """Somebody who opens the address, agrees, and pastes the one at which his browser ended."""

    async def ask(address: str) -> str:
        return approve(address, kick.handle)

    return ask


def command(name: str, url: str, *options: str) -> list[str]:
    hosts = ["--api-url", url, "--id-url", url]
    return [name, "--client-id", "sandbox-app", "--client-secret", "sandbox-secret", *hosts, *options]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_the_demo_goes_as_told_and_leaves_nothing_behind(
    backend: str, capsys: pytest.CaptureFixture[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    assert main(["demo", "--backend", backend]) == 0
    told = capsys.readouterr().out
    assert "All 10 steps went as told" in told
    assert ".kick.token.json (mode 0600)" in told
    assert "10 messages sent, 1 refresh" in told
    assert re.search(r"demo\.jsonl has 1\d\d lines, and none of 7 tokens and secrets in any form", told)
    assert re.search(r"\d\d answers as they were, in \d+ ms; with a Kick it took \d+ ms", told)
    assert not list(folder.iterdir())


def test_the_demo_fails_loudly_when_a_step_does_not_go_as_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def step(scene: Scene) -> str:
        """Do what cannot be done"""
        raise NotAsTold("it was not done")

    monkeypatch.setattr(demo, "STEPS", (demo.read_a_user, step))
    assert main(["demo"]) == 1
    told = capsys.readouterr()
    assert "it was not done" in told.err
    assert "went as told" not in told.out


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_the_demo_fails_when_its_recording_is_not_what_was_done(
    backend: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "STEPS", (demo.read_a_user, demo.read_a_channel))
    monkeypatch.setattr(demo, "CALLS", demo.CALLS[:1])
    assert main(["demo", "--backend", backend]) == 1
    assert "program fetch_channel(slug='xqc') ended, and its recording goes on" in capsys.readouterr().err
    monkeypatch.setattr(demo, "CALLS", demo.CALLS[:1] * 2)
    assert main(["demo", "--backend", backend]) == 1
    assert "no program of this name was recorded" in capsys.readouterr().err


def test_the_demo_fails_when_a_secret_is_in_its_recording(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "STEPS", (demo.read_a_channel,))
    # As if that were one.
    monkeypatch.setattr(Scene, "remember_secrets", lambda scene: scene.secrets.add("JUICED"))
    assert main(["demo"]) == 1
    assert "a secret is in the session" in capsys.readouterr().err


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_login_whoami_and_logout(
    backend: str,
    url: str,
    kick: Sandbox,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(account, "Prompt", lambda: agreeing(kick))
    on = ("--backend", backend)
    assert main(command("login", url, *on, "--manual", "--scope", "user:read", "--scope", "chat:write")) == 0
    assert (folder / ".kick.user_token.json").is_file()
    assert main(command("whoami", url, *on)) == 0
    assert main(command("logout", url, *on)) == 0
    assert not (folder / ".kick.user_token.json").exists()
    told = capsys.readouterr().out
    assert "Logged in with user:read, chat:write." in told
    assert told.count("streamer_123 (user id 123)") == 2
    assert "scopes: user:read, chat:write" in told
    assert "revoked and forgotten" in told


def test_an_account_of_ones_own_and_a_directory(
    url: str, kick: Sandbox, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account, "Prompt", lambda: agreeing(kick))
    options = ("--manual", "--account", "alice", "--directory", str(folder / "tokens"))
    assert main(command("login", url, *options)) == 0
    assert (folder / "tokens" / ".kick.user_token.alice.json").is_file()


def test_whoami_without_a_login_says_what_to_do(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command("whoami", url)) == 1
    assert "kickcore login" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["login", "whoami", "logout"])
def test_without_credentials_it_says_where_they_come_from(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name]) == 1
    assert "KICK_CLIENT_ID" in capsys.readouterr().err


def test_credentials_come_from_the_environment(
    url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KICK_CLIENT_ID", "sandbox-app")
    monkeypatch.setenv("KICK_CLIENT_SECRET", "hush-hush")
    assert main(["whoami", "--api-url", url, "--id-url", url]) == 1
    assert "hush" not in capsys.readouterr().err


def test_a_wrong_call_gets_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["nonsense"])
    assert ended.value.code == 2
    assert "usage: kickcore" in capsys.readouterr().err


def test_a_scope_that_does_not_exist_is_told(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command("login", url, "--scope", "chat:read")) == 1
    assert "chat:read" in capsys.readouterr().err


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_pasted_address_comes_from_standard_input(
    backend: str, url: str, kick: Sandbox, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Typist:
        """Pastes nonsense first, then the address at which his browser ended."""

        def __init__(self) -> None:
            self.lines = 0

        def readline(self) -> str:
            self.lines += 1
            told = capsys.readouterr().err
            if self.lines == 1:
                self.shown = re.findall(r"http://\S+/oauth/authorize\S+", told)[0]
                return "nonsense\n"
            assert "not Kick's answer" in told
            return approve(self.shown, kick.handle) + "\n"

    monkeypatch.setattr("sys.stdin", Typist())
    assert main(command("login", url, "--backend", backend, "--manual")) == 0


def test_the_end_of_standard_input_ends_a_login_by_hand(
    url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert main(command("login", url, "--manual")) == 1
    assert "no address was given" in capsys.readouterr().err


def test_logging_out_where_nobody_is_logged_in_does_not_claim_to_have_revoked_anything(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command("logout", url)) == 1
    told = capsys.readouterr()
    assert "nothing was revoked" in told.err
    assert not told.out


def test_a_login_whose_token_cannot_be_stored_has_failed(
    url: str, kick: Sandbox, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account, "Prompt", lambda: agreeing(kick))

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("interpreters.tokens.files._replace", fail)
    assert main(command("login", url, "--manual")) == 1
    assert "No space left on device" in capsys.readouterr().err


def test_the_address_is_shown_when_no_browser_can_be_opened(
    url: str, kick: Sandbox, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webbrowser.open", lambda _: False)
    assert main(command("login", url, "--port", str(free_port()), "--timeout", "0.3")) == 1
    told = capsys.readouterr().err
    assert f"{url}/oauth/authorize?" in told
    assert "--manual" in told
    assert "within 0.3 seconds" in told


def test_whoever_stops_reading_the_output_does_no_harm() -> None:
    code = "import sys; from kickcore.cli import main; sys.exit(main(['demo']))"
    root = Path(__file__).parent.parent.parent.parent
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=root
    ) as demonstration:
        assert demonstration.stdout is not None
        assert demonstration.stderr is not None
        demonstration.stdout.readline()
        demonstration.stdout.close()
        told = demonstration.stderr.read()
    assert "Traceback" not in told
    assert demonstration.returncode == 1


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
