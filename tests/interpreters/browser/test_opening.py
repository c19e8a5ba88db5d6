"""Opening the system's browser, and the line that is shown instead."""

import os
import string
import subprocess
import sys
import threading
import time
import webbrowser
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path

import anyio
import pytest

from interpreters.browser import open_system_browser, show_on_stderr

URL = "https://id.kick.com/oauth/authorize?a=%22%3B&b='$HOME;c"


async def test_the_browser_is_given_the_url_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[tuple[str, bool]] = []

    def opens(url: str) -> bool:
        opened.append((url, threading.current_thread() is threading.main_thread()))
        return True

    monkeypatch.setattr(webbrowser, "open", opens)
    assert await open_system_browser(URL)
    assert opened == [(URL, False)]


@pytest.mark.parametrize("scheme", ["http", "https", "HTTPS"])
async def test_whatever_an_address_may_hold_is_opened(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda url: opened.append(url) or True)
    url = f"{scheme}://{string.ascii_letters}{string.digits}-._~:/?#[]@!$&'()*+,;=%41"
    assert await open_system_browser(url)
    assert opened == [url]


@pytest.mark.parametrize(
    "url",
    [
        "",
        "https://",
        "https:/id.kick.com",
        "xhttps://id.kick.com",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "-version",
        "id.kick.com",
        "https://id.kick.com/ x",
        "https://id.kick.com/\n",
        'https://id.kick.com/"',
        "https://id.kick.com/`x`",
        "https://id.kick.com/\\",
    ],
)
async def test_nothing_but_a_web_address_is_opened(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    assert await open_system_browser(url) is False
    assert opened == []


@pytest.mark.parametrize("error", [webbrowser.Error("none"), OSError(2, "none")])
async def test_a_missing_browser_is_false(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_url: str) -> bool:
        raise error

    monkeypatch.setattr(webbrowser, "open", fails)
    assert await open_system_browser(URL) is False


async def test_a_browser_that_hangs_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()

    def hangs(_url: str) -> bool:
        return release.wait(5)

    monkeypatch.setattr(webbrowser, "open", hangs)
    try:
        with anyio.move_on_after(0.02) as scope:
            await open_system_browser(URL)
        assert scope.cancelled_caught
    finally:
        release.set()


def test_one_line_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    show_on_stderr(URL)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == f"To log in to Kick, open this address in a browser on this computer: {URL}\n"


def test_the_line_does_not_wait_in_a_buffer(monkeypatch: pytest.MonkeyPatch) -> None:
    octets = BytesIO()
    with TextIOWrapper(octets, "utf-8") as buffered:
        monkeypatch.setattr(sys, "stderr", buffered)
        show_on_stderr(URL)
        assert octets.getvalue().endswith(f"{URL}\n".encode())


def test_a_program_without_standard_error(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    show_on_stderr(URL)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("fault", [ValueError("I/O operation on closed file"), BrokenPipeError(), OSError(5, "")])
def test_a_program_whose_standard_error_is_gone(fault: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone(StringIO):
        def write(self, text: str) -> int:
            raise fault

    monkeypatch.setattr(sys, "stderr", Gone())
    show_on_stderr(URL)


def in_a_program_of_its_own(code: str, browser: Path, arguments: list[str]) -> "subprocess.CompletedProcess[str]":
    root = str(Path(__file__).parents[3])
    environment = {**os.environ, "BROWSER": str(browser), "PYTHONPATH": root, "HOME": str(browser.parent)}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True, text=True, check=False, env=environment, timeout=20,
    )  # fmt: skip


def script(folder: Path, text: str) -> Path:
    made = folder / "browser"
    made.write_text(f"#!/bin/sh\n{text}\n")
    made.chmod(0o700)
    return made


@pytest.mark.skipif(os.name != "posix", reason="needs a shell script as a browser")
def test_no_shell_sees_the_url(tmp_path: Path) -> None:
    url = "https://id.kick.com/oauth/authorize?a=$(touch${IFS}x)&b=;touch&c='%USERPROFILE%'&d=$HOME*?[a]&state=~!(x)"
    url = url.replace("{", "%7B").replace("}", "%7D")
    code = (
        "import anyio, sys; from interpreters.browser import open_system_browser as o; print(anyio.run(o, sys.argv[1]))"
    )
    browser = script(tmp_path, f'printf \'%s\\n\' "$#" "$@" > {tmp_path}/seen')
    told = in_a_program_of_its_own(code, browser, [url])
    assert (told.stdout, told.stderr) == ("True\n", "")
    assert (tmp_path / "seen").read_text() == f"1\n{url}\n"


@pytest.mark.skipif(os.name != "posix", reason="needs a shell script as a browser")
def test_a_browser_that_never_comes_back_holds_up_neither_the_login_nor_the_end_of_the_program(
    tmp_path: Path, port: int
) -> None:
    code = """
import anyio, sys
from interpreters.browser import Loopback, opening
from kickcore.effects import Consent
from kickcore.errors import LoginTimeout
from kickcore.secret import Secret

opening.PATIENCE = 0.1
uri = f"http://127.0.0.1:{sys.argv[1]}/callback"
consent = Consent(Secret("https://id.kick.com/?state=STATE"), uri, Secret("STATE"), "https://id.kick.com", 0.3)
try:
    anyio.run(Loopback(), consent)
except LoginTimeout:
    print("over")
"""
    begun = time.monotonic()
    # It outlives the program for a while, and holds none of its pipes.
    told = in_a_program_of_its_own(code, script(tmp_path, "exec sleep 8 >/dev/null 2>&1"), [str(port)])
    assert time.monotonic() - begun < 6
    assert told.stdout == "over\n"
    assert told.stderr.endswith("https://id.kick.com/?state=STATE\n")
