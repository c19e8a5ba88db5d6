"""Opening the system's browser, and the line that is shown instead."""

import sys
import threading
import webbrowser

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


@pytest.mark.parametrize(
    "url",
    [
        "",
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
    assert not await open_system_browser(url)
    assert opened == []


@pytest.mark.parametrize("error", [webbrowser.Error("none"), OSError(2, "none")])
async def test_a_missing_browser_is_false(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_url: str) -> bool:
        raise error

    monkeypatch.setattr(webbrowser, "open", fails)
    assert not await open_system_browser(URL)


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
    assert shown.err.endswith(f"{URL}\n")
    assert shown.err.count("\n") == 1


def test_a_program_without_standard_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    show_on_stderr(URL)
