"""`kickcore record`, `replay` and `session`, against the simulated Kick and on files."""

import io
import json
import os
import stat
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from recorded import a_day, asking, kick

from interpreters.sandbox import Sandbox, approve, serve
from interpreters.sessions import Recording, load, read
from kickcore.api.users import fetch_user
from kickcore.cli import account, main

CASSETTES = Path(__file__).parent.parent.parent / "sessions" / "vcrpy"
LEAKED = "Qm7xT2vLr9Kc4Wd8Zp1Hs6Bn3Yf5Gj0A"
"""What looks like an access token, and was never one."""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KICK_CLIENT_ID", raising=False)
    monkeypatch.delenv("KICK_CLIENT_SECRET", raising=False)
    return tmp_path


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox()


@pytest.fixture
def url(sandbox: Sandbox) -> Iterator[str]:
    """The simulated Kick in a thread of its own, since commands bring their own event loop."""
    told: Future[str] = Future()
    done = threading.Event()

    async def serving() -> None:
        async with serve(sandbox) as origin:
            told.set_result(origin)
            await anyio.to_thread.run_sync(done.wait)

    thread = threading.Thread(target=anyio.run, args=(serving,))
    thread.start()
    yield told.result(timeout=10)
    done.set()
    thread.join(timeout=10)
    assert not thread.is_alive()


def written(*programs: Any, name: str = "s.jsonl", edit: Any = None) -> Path:
    """A session file of programs that ran on a simulated Kick."""
    simulated, recording = kick(), Recording(seed="s")
    for program in programs or (fetch_user(676),):
        _ = recording.run_sync(program, simulated.answer)
    _ = recording.close()
    text = recording.text()
    path = Path(name)
    _ = path.write_bytes(edit(text) if edit else text)
    return path


def only(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


# record


def command(url: str, *options: str) -> list[str]:
    return [
        *options,
        "--client-id",
        "sandbox-app",
        "--client-secret",
        "sandbox-secret",
        "--api-url",
        url,
        "--id-url",
        url,
    ]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_login_is_recorded_without_secrets_and_replays_offline(
    backend: str,
    url: str,
    sandbox: Sandbox,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def agree(address: str) -> str:
        return approve(address, sandbox.handle)

    monkeypatch.setattr(account, "Prompt", lambda: agree)
    on = ("--backend", backend)
    assert main(["record", "--output", "login.jsonl", "--", *command(url, "login", "--manual", *on)]) == 0
    told = capsys.readouterr()
    assert "You are streamer_123" in told.out
    assert "the session is in login.jsonl" in told.err
    assert main(["record", *command(url, "whoami", *on)]) == 0
    assert main(["record", "--output", "logout.jsonl", "--", *command(url, "logout", *on)]) == 0
    capsys.readouterr()
    assert main(["replay", "login.jsonl", "whoami.session.jsonl", "logout.jsonl"]) == 0
    assert [row.split(" (")[0] for row in capsys.readouterr().out.splitlines()] == [
        "ok login.jsonl",
        "ok whoami.session.jsonl",
        "ok logout.jsonl",
    ]
    left = {name for name in only(folder) if not name.startswith(".kick.")}
    assert left == {"login.jsonl", "whoami.session.jsonl", "logout.jsonl"}


def test_what_fails_is_recorded_too(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["record", "--output", "bug.jsonl", "--", *command(url, "whoami")]) == 1
    told = capsys.readouterr().err
    assert "the session is in bug.jsonl" in told
    assert "run: kickcore login" in told
    assert main(["replay", "bug.jsonl"]) == 0


def test_without_credentials_nothing_is_recorded(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _ = (folder / "whoami.session.jsonl").write_text("an older one")
    assert main(["record", "whoami"]) == 1
    told = capsys.readouterr().err
    assert "KICK_CLIENT_ID" in told
    assert "session is in" not in told


@pytest.mark.parametrize(
    "arguments",
    [
        ["record"],
        ["record", "--"],
        ["record", "--", "demo"],
        ["record", "--", "record", "whoami"],
        ["record", "--", "whoami", "--nonsense"],
        ["replay"],
        ["replay", "--order", "none", "a"],
        ["session"],
        ["session", "nonsense"],
        ["session", "show"],
        ["session", "show", "--width", "7", "a"],
        ["session", "diff", "a"],
    ],
    ids=" ".join,
)
def test_a_wrong_call_ends_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        _ = main(arguments)
    assert ended.value.code == 2
    assert "usage: kickcore" in capsys.readouterr().err


def test_a_session_that_would_hold_a_secret_is_not_written_and_the_options_are_told(
    url: str, sandbox: Sandbox, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = "Zx8Qw7Er6Ty5Ui4Op3As2Df1Gh0Jk9Lz"
    on = command(url, "whoami", "--account", chance)
    assert main(["record", "--output", "s.jsonl", "--", *on]) == 1
    told = capsys.readouterr().err
    assert "s.jsonl was not written" in told
    assert "--secrets FILE" in told
    assert "--allow with" in told
    assert "session is in" not in told
    assert not Path("s.jsonl").exists()
    _ = Path("texts").write_text(chance)
    assert main(["record", "--output", "s.jsonl", "--secrets", "texts", "--", *on]) == 1
    assert "the session is in s.jsonl" in capsys.readouterr().err
    assert chance.encode() not in Path("s.jsonl").read_bytes()
    assert main(["record", "--output", "s.jsonl", "--secrets", "missing", "--", *on]) == 1
    assert "missing cannot be read" in capsys.readouterr().err


# replay


def test_a_session_replays_and_says_how_much_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    path = written()
    assert main(["replay", str(path)]) == 0
    assert main(["replay", "--order", "program", str(path)]) == 0
    assert capsys.readouterr().out == "ok s.jsonl (8 lines)\n" * 2


def test_one_that_differs_is_told_and_the_others_are_replayed_all_the_same(
    capsys: pytest.CaptureFixture[str],
) -> None:
    other = written(
        name="other.jsonl", edit=lambda text: text.replace(b'"query":[["id","676"]]', b'"query":[["id","7"]]')
    )
    good = written(name="good.jsonl")
    _ = Path("broken.jsonl").write_text("{}")
    assert main(["replay", str(other), "missing.jsonl", "broken.jsonl", str(good)]) == 1
    told = capsys.readouterr()
    assert "program fetch_user(user_id=676) asked the same as the recording has, with another value" in told.out
    assert "/query/0/1" in told.out
    assert "ok good.jsonl (8 lines)" in told.out
    assert "missing.jsonl cannot be read" in told.err
    assert "broken.jsonl, line 1 cannot be read" in told.err


def test_programs_of_ones_own_are_not_replayed_here(capsys: pytest.CaptureFixture[str]) -> None:
    path = written(asking("/public/v1/users"))
    assert main(["replay", str(path)]) == 1
    assert "none of kickcore's own programs" in capsys.readouterr().err


def test_a_session_that_was_not_closed_replays_up_to_its_end_if_that_is_wanted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = written(edit=lambda text: b"".join(text.splitlines(keepends=True)[:5]))
    for arguments in (["replay"], ["session", "show"]):
        assert main([*arguments, str(path)]) == 1
        told = capsys.readouterr().err
        assert "has no end" in told
        assert "--partial takes what is there" in told
    assert main(["replay", "--partial", str(path)]) == 0
    assert capsys.readouterr().out == "ok s.jsonl (4 lines, and was not closed)\n"
    _ = path.write_bytes(path.read_bytes().replace(b'"reread":true', b'"reread":false'))
    changed = path.read_bytes().replace(b'"reread":false', b'"reread":true', 1)
    _ = path.write_bytes(changed)
    assert main(["replay", "--partial", str(path)]) == 1
    assert "/reread" in capsys.readouterr().out


def test_nothing_of_a_file_reaches_the_terminal_as_a_control_character(capsys: pytest.CaptureFixture[str]) -> None:
    nasty = b"\\u001b[2J\\u0007"
    path = written(
        fetch_user(676),
        edit=lambda text: text.replace(b"fetch_user(", nasty + b"(").replace(b'"sandbox-app"', b'"' + nasty + b'"'),
    )
    other = written(name="other\x1b[31m.jsonl")
    for arguments in (
        ["replay", str(path)],
        ["replay", str(other), "no\x1b[31m.jsonl"],
        ["session", "show", str(path)],
        ["session", "diff", str(path), str(other)],
        ["session", "fix", str(other)],
        ["session", "scrub", str(other)],
        ["session", "upgrade", "no\x1b[31m.jsonl"],
        ["session", "har", "no\x1b[31m.jsonl"],
    ):
        _ = main(arguments)
        told = capsys.readouterr()
        assert told.out + told.err
        assert all(letter.isprintable() or letter == "\n" for letter in told.out + told.err)


# session


def test_show_tells_of_every_effect(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(*a_day())
    assert main(["session", "show", "--width", "100", str(path)]) == 0
    told = capsys.readouterr().out
    assert told.startswith("s.jsonl: format 1")
    assert "authenticate(" in told
    assert "send POST /public/v1/chat" in told
    assert max(map(len, told.splitlines())) <= 100
    monkeypatch.setenv("COLUMNS", "81")
    assert main(["session", "show", str(path)]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 81


def test_diff_tells_what_differs_and_fails_then(capsys: pytest.CaptureFixture[str]) -> None:
    first = written(name="first.jsonl")
    same = written(name="same.jsonl")
    other = written(name="other.jsonl", edit=lambda text: text.replace(b'"xQc"', b'"xQd"'))
    assert main(["session", "diff", str(first), str(same)]) == 0
    assert capsys.readouterr().out.startswith("the same, but for times")
    assert main(["session", "diff", str(first), str(other)]) == 1
    told = capsys.readouterr().out
    assert "/json/data/0/name" in told
    assert '"xQc" | "xQd"' in told


def leaking(text: bytes) -> bytes:
    return text.replace("«at:1»".encode(), LEAKED.encode())


def test_scrub_checks_without_touching_and_replaces_as_a_whole(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(edit=leaking)
    path.chmod(0o600)
    before = path.read_bytes()
    assert main(["session", "scrub", "--check", str(path)]) == 1
    told = capsys.readouterr()
    assert "s.jsonl, line 8 /r/json/access_token: access token" in told.out
    assert LEAKED not in told.out + told.err
    assert path.read_bytes() == before
    assert main(["session", "scrub", str(path)]) == 0
    assert "s.jsonl was changed" in capsys.readouterr().out
    assert LEAKED.encode() not in path.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert main(["session", "scrub", "--check", str(path)]) == 0
    assert main(["session", "scrub", str(path)]) == 0
    assert "is as it should be" in capsys.readouterr().out
    assert only(folder) == {"s.jsonl"}
    assert main(["replay", str(path)]) == 0


def test_texts_that_are_secrets_come_from_a_file_or_from_standard_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written()
    _ = Path("texts").write_text("\nxQc-hunter\n  xQc  \n", "utf-8")
    assert main(["session", "scrub", "--check", "--secrets", "texts", str(path)]) == 1
    assert "another secret" in capsys.readouterr().out
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"xQc\n")))
    assert main(["session", "scrub", "--secrets", "-", str(path)]) == 0
    assert b'"xQc"' not in path.read_bytes()
    _ = Path("texts").write_bytes(b"\xff\xfe")
    assert main(["session", "scrub", "--secrets", "texts", str(path)]) == 1
    assert "UTF-8" in capsys.readouterr().err


def test_what_looks_like_chance_and_is_public_is_allowed(capsys: pytest.CaptureFixture[str]) -> None:
    public = b"Zx8Qw7Er6Ty5Ui4Op3As2Df1Gh0Jk9Lz"
    path = written(edit=lambda text: text.replace(b'"xQc"', b'"' + public + b'"'))
    assert main(["session", "scrub", "--check", str(path)]) == 1
    assert main(["session", "scrub", "--check", "--allow", "name", str(path)]) == 0
    assert main(["session", "scrub", "--allow", "name", str(path)]) == 0
    assert public in path.read_bytes()


def test_fix_counts_anew_what_was_edited_by_hand(capsys: pytest.CaptureFixture[str]) -> None:
    path = written(fetch_user(676), fetch_user(123))
    rows = path.read_bytes().splitlines(keepends=True)
    _ = path.write_bytes(b"".join(row for row in rows if b"user_id=123" not in row))
    assert main(["replay", str(path)]) == 1
    assert "run: kickcore session fix" in capsys.readouterr().err
    assert main(["session", "fix", str(path)]) == 0
    assert "s.jsonl was changed (1 line of it)" in capsys.readouterr().out
    assert main(["replay", str(path)]) == 0
    assert main(["session", "fix", str(path)]) == 0
    assert "is as it should be" in capsys.readouterr().out


def test_what_cannot_be_mended_is_told_and_stays(capsys: pytest.CaptureFixture[str]) -> None:
    path = written(edit=lambda text: b"".join(row for row in text.splitlines(keepends=True) if b'"ask":1' not in row))
    before = path.read_bytes()
    assert main(["session", "fix", str(path)]) == 1
    assert "does not say what was asked" in capsys.readouterr().err
    assert path.read_bytes() == before
    assert main(["session", "fix", "missing.jsonl"]) == 1
    assert "missing.jsonl cannot be read" in capsys.readouterr().err
    assert main(["session", "fix", "."]) == 1
    assert "no regular file" in capsys.readouterr().err


def test_a_session_of_today_needs_no_upgrade_and_a_newer_one_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    path = written()
    assert main(["session", "upgrade", str(path)]) == 0
    assert "is as it should be" in capsys.readouterr().out
    _ = path.write_bytes(path.read_bytes().replace(b'"kcs":1', b'"kcs":2'))
    assert main(["session", "upgrade", str(path)]) == 1
    assert "use a newer kickcore" in capsys.readouterr().err


def test_nothing_is_written_through_a_link(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(edit=leaking)
    before = path.read_bytes()
    Path("link.jsonl").symlink_to(path)
    for arguments in (["scrub", "link.jsonl"], ["har", "s.jsonl", "--output", "link.jsonl"]):
        assert main(["session", *arguments]) == 1
        assert "link.jsonl is a link; name the file itself" in capsys.readouterr().err
    assert Path("link.jsonl").is_symlink()
    assert path.read_bytes() == before
    assert main(["session", "scrub", "--check", "link.jsonl"]) == 1
    assert only(folder) == {"s.jsonl", "link.jsonl"}
    path.unlink()


def test_a_disk_that_is_full_leaves_what_was_there_and_nothing_beside(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(edit=leaking)
    before = path.read_bytes()

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert main(["session", "scrub", str(path)]) == 1
    assert "s.jsonl cannot be written: No space left on device; what was there is kept" in capsys.readouterr().err
    assert path.read_bytes() == before
    assert main(["session", "har", str(path), "--output", "a.har"]) == 1
    assert only(folder) == {"s.jsonl"}
    path.unlink()


def test_har_goes_to_standard_output_or_to_a_file(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    path = written()
    assert main(["session", "har", str(path)]) == 0
    archive = capsysbinary.readouterr().out
    assert len(json.loads(archive)["log"]["entries"]) == 2
    assert main(["session", "har", str(path), "--output", "s.har"]) == 0
    assert Path("s.har").read_bytes() == archive
    assert capsysbinary.readouterr().out == b"s.har was written\n"


def test_a_cassette_becomes_a_session(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    cassette = str(CASSETTES / "app-token.yaml")
    assert main(["session", "from-vcr", cassette]) == 0
    assert read(capsysbinary.readouterr().out).programs == ("imported",)
    assert main(["session", "from-vcr", cassette, "--label", "mine", "--output", "mine.jsonl"]) == 0
    session = load("mine.jsonl")
    assert session.programs == ("mine",)
    assert len(session.lines) == 2
    assert main(["session", "from-vcr", "mine.jsonl"]) == 1
    assert b"mine.jsonl" in capsysbinary.readouterr().err


def test_no_event_loop_is_needed_but_for_recording(monkeypatch: pytest.MonkeyPatch) -> None:
    path = written()

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("an event loop was started")

    monkeypatch.setattr(anyio, "run", refuse)
    for arguments in (["replay", str(path)], ["session", "show", str(path)], ["session", "fix", str(path)]):
        assert main(arguments) == 0
