"""Tokens in files: where they are, who can read them, and what is left when the system says no."""

import ast
import base64
import errno
import json
import os
import resource
import shutil
import socket
import stat
import tempfile
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from traceback import TracebackException
from typing import Any
from urllib.parse import quote

import anyio
import pytest
from msgspec.structs import replace

from interpreters.tokens import files, lock
from interpreters.tokens.files import FileStore
from interpreters.tokens.remembered import RememberedTokens
from kickcore.errors import (
    ConfigError,
    CorruptTokenFile,
    ForeignTokenFile,
    KickWarning,
    NewerTokenFile,
    StoreError,
    TokenNotSaved,
    UnreadableTokenFile,
    UnsafeTokenFile,
)
from kickcore.oauth import record
from kickcore.oauth.record import Record, Unusable, read_record
from kickcore.oauth.tokens import NotSaved, Saved, Slot, Stored, Superseded, Token, TokenKind
from kickcore.secret import Secret

from .save_points import System, Trouble

ISSUER = "https://id.kick.com"
USER = Slot(ISSUER, "CID", TokenKind.USER)
APP = Slot(ISSUER, "CID", TokenKind.APP)
SOON = float(int(time.time())) + 7200
TOKEN = Token(Secret("AT"), SOON, SOON - 7200, Secret("RT"), ("user:read",))
NEWER = Token(Secret("AT2"), SOON + 1, SOON - 7199, Secret("RT2"), ("user:read",))
GOOD = b'{"access_token":"AT","refresh_token":"RT","expires_at":4102444800}'

# What kickcom.py 1.1 writes.
KICKCOM = {
    "access_token": "AT",
    "expires_at": int(SOON),
    "token_type": "Bearer",
    "token_kind": "user",
    "refresh_token": "RT",
    "scope": "user:read chat:write",
}


def account(name: str) -> Slot:
    return Slot(ISSUER, "CID", TokenKind.USER, name)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "tokens"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture
def store(folder: Path) -> FileStore:
    return FileStore(folder)


@pytest.fixture
def path(store: FileStore) -> Path:
    return store.path(USER)


def write(path: Path, text: bytes, permissions: int = 0o600) -> None:
    path.write_bytes(text)
    path.chmod(permissions)


# Names


def test_the_names_are_those_of_the_documentation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert FileStore().path(APP) == tmp_path / ".kick.token.json"
    assert FileStore().path(USER) == tmp_path / ".kick.user_token.json"
    assert FileStore().path(account("alice")) == tmp_path / ".kick.user_token.alice.json"


async def test_the_folder_is_fixed_when_the_store_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    monkeypatch.chdir(tmp_path / "a")
    stores = [FileStore(), FileStore("."), FileStore(Path())]
    monkeypatch.chdir(tmp_path / "b")
    _ = await stores[0].save(USER, TOKEN, "")
    for store in stores:
        stored = await store.load(USER)
        assert stored is not None
    assert names(tmp_path / "b") == []


@pytest.mark.parametrize("name", ["", ".", "..", "/", "a/b", "../a", "/etc/a", "a/", "a\0b", "a/.."])
@pytest.mark.parametrize("parameter", ["app_file", "user_file"])
def test_a_file_name_that_is_none_is_refused(tmp_path: Path, name: str, parameter: str) -> None:
    with pytest.raises(ConfigError, match="file"):
        FileStore(tmp_path, **{parameter: name})


@pytest.mark.parametrize("directory", ["a\0b", "\ud800"])
def test_a_folder_that_no_system_can_have_is_refused(tmp_path: Path, directory: str) -> None:
    with pytest.raises(ConfigError, match="no such names"):
        FileStore(tmp_path / directory)
    with pytest.raises(ConfigError, match="plain file name"):
        FileStore(tmp_path, app_file=directory)


@pytest.mark.parametrize("name", ["with blanks ", "näme-🦊", "new\nline", "-rf", "*", "~", "%s{}", "x" * 200])
async def test_a_folder_and_a_file_of_an_odd_name_work(tmp_path: Path, name: str) -> None:
    store = FileStore(tmp_path / name, user_file=name)
    for token in (TOKEN, NEWER):
        async with store.hold(USER) as others_kept_out:
            stored = await store.load(USER)
            assert isinstance(await store.save(USER, token, stored.version if stored else ""), Saved)
        assert others_kept_out
    stored = await store.load(USER)
    assert stored is not None
    assert stored.token == NEWER
    assert names(tmp_path / name) == sorted([name, name + ".lock"])


@pytest.mark.parametrize(
    ("directory", "name"),
    [("x" * 256, "a.json"), ("x", "é" * 128), ("x", "y" * 255), ("/".join(["z" * 200] * 25), "a.json")],
    ids=["long folder", "long file", "no room for endings", "long path"],
)
async def test_a_name_that_is_too_long_is_a_clear_error(tmp_path: Path, directory: str, name: str) -> None:
    store = FileStore(tmp_path / directory, user_file=name)
    with pytest.raises(UnreadableTokenFile, match="too long"):
        _ = await store.save(USER, TOKEN, "")
    with pytest.warns(KickWarning, match="without a lock"):
        async with store.hold(USER) as others_kept_out:
            pass
    assert not others_kept_out
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


async def test_nobody_needs_a_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: pytest.fail(f"it asked for {path}"))
    assert isinstance(await FileStore().save(USER, TOKEN, ""), Saved)
    assert FileStore("~").directory == tmp_path / "~"


def test_both_files_must_have_names_of_their_own(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="different"):
        FileStore(tmp_path, app_file="a.json", user_file="a.json")


ACCOUNTS = [
    "alice", "Alice", "ALICE", "al/ice", "al\\ice", "../alice", "..", ".", "/etc/passwd", "al ice", "alice.json",
    "alice.lock", "%61lice", "%2f", "%", "~", "-", "a~b", "älice", "a\u0308lice", "alıce", "ALİCE", "🦊", "con",
    "x" * 64, "X" * 64, "x" * 63 + "X", "🦊" * 64, "🦊" * 63 + "🐺", "ж" * 64, "Ж" * 64,
]  # fmt: skip


async def test_accounts_never_leave_the_folder_nor_share_a_file(folder: Path, store: FileStore) -> None:
    paths = {name: store.path(account(name)) for name in ["", *ACCOUNTS]}
    assert {path.parent for path in paths.values()} == {folder}
    # Nor on a file system that does not tell case.
    assert len({path.name.lower() for path in paths.values()}) == len(paths)
    for number, name in enumerate(ACCOUNTS):
        token = Token(Secret(f"AT{number}"), SOON, SOON - 7200)
        async with store.hold(account(name)):
            assert isinstance(await store.save(account(name), token, ""), Saved)
    assert len(names(folder)) == 2 * len(ACCOUNTS)
    for number, name in enumerate(ACCOUNTS):
        stored = await store.load(account(name))
        assert stored is not None
        assert stored.token.access_token == Secret(f"AT{number}")


async def test_a_name_with_the_signs_of_a_pattern_is_a_plain_name(folder: Path) -> None:
    store = FileStore(folder, app_file="[a]*.json")
    bystander = folder / "a.json.1-1.tmp"
    left = folder / "[a]*.json.1-1.tmp"
    for file in (bystander, left):
        write(file, b"old")
        os.utime(file, (1, 1))
    _ = await store.save(APP, TOKEN, "")
    assert bystander.exists()
    assert not left.exists()


# Permissions


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


async def test_files_are_for_their_owner_alone_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    store = FileStore(tmp_path / "new")
    async with store.hold(USER):
        _ = await store.save(USER, TOKEN, "")
    assert mode(tmp_path / "new") == 0o700
    for file in (tmp_path / "new").iterdir():
        assert mode(file) == 0o600


async def test_a_file_is_for_its_owner_alone_from_its_first_octet(
    store: FileStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = os.umask(0)
    seen: list[int] = []
    real = os.write

    def write(descriptor: int, text: bytes) -> int:
        seen.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
        return real(descriptor, text)

    monkeypatch.setattr(os, "write", write)
    try:
        _ = await store.save(USER, TOKEN, "")
    finally:
        os.umask(before)
    # The loops write to their own wake-up pipes, too.
    assert 0o600 in seen
    assert mode(path) == 0o600


@pytest.mark.parametrize("permissions", [0o644, 0o666, 0o604, 0o640, 0o622], ids=oct)
async def test_a_file_that_others_could_read_is_tightened_with_a_warning(
    store: FileStore, path: Path, permissions: int
) -> None:
    write(path, GOOD, permissions)
    with pytest.warns(KickWarning, match="read by others"):
        stored = await store.load(USER)
    assert mode(path) == 0o600
    assert stored is not None
    assert isinstance(await store.save(USER, TOKEN, stored.version), Saved)
    assert mode(path) == 0o600


async def test_a_file_that_others_could_read_is_replaced_by_one_that_they_cannot(store: FileStore, path: Path) -> None:
    stored = await store.save(USER, TOKEN, "")
    assert isinstance(stored, Saved)
    path.chmod(0o644)
    with pytest.warns(KickWarning, match="read by others"):
        _ = await store.save(USER, NEWER, stored.version)
    assert mode(path) == 0o600


@pytest.mark.parametrize("code", [errno.EPERM, errno.EROFS])
async def test_a_file_that_cannot_be_tightened_is_used_with_a_warning(
    store: FileStore, path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    # As where a container mounts it, or on a file system that knows no permissions.
    def refused(descriptor: int, permissions: int) -> None:
        raise OSError(code, os.strerror(code))

    write(path, GOOD, 0o644)
    monkeypatch.setattr(os, "fchmod", refused)
    with pytest.warns(KickWarning, match="can be read by others, and that cannot be changed"):
        stored = await store.load(USER)
    assert stored is not None
    assert stored.token.access_token == Secret("AT")


@contextmanager
def where_permissions_count(folder: Path) -> Generator[Path]:
    """A folder of a user for whom permissions count. For root they do not, so meanwhile it is not root who runs."""
    if os.geteuid() != 0:
        yield folder
        folder.chmod(0o700)
        return
    theirs = Path(tempfile.mkdtemp(prefix="kickcore-theirs-"))
    os.chown(theirs, 65534, 65534)
    # Python is perhaps where only root can read it: what is imported late is imported now.
    assert read_record(GOOD, USER, time.time())
    os.seteuid(65534)
    try:
        yield theirs
    finally:
        os.seteuid(0)
        shutil.rmtree(theirs)


async def test_a_file_that_may_only_be_read_is_read_and_replaced(folder: Path) -> None:
    with where_permissions_count(folder) as theirs:
        store = FileStore(theirs)
        write(store.path(USER), GOOD, 0o400)
        stored = await store.load(USER)
        assert stored is not None
        assert mode(store.path(USER)) == 0o400
        assert isinstance(await store.save(USER, NEWER, stored.version), Saved)
        assert mode(store.path(USER)) == 0o600


async def test_a_file_that_may_not_even_be_read_is_a_clear_error(folder: Path) -> None:
    with where_permissions_count(folder) as theirs:
        store = FileStore(theirs)
        write(store.path(USER), GOOD, 0o000)
        for attempt in (store.load(USER), store.save(USER, TOKEN, ""), store.drop(USER)):
            with pytest.raises(UnreadableTokenFile, match="Permission denied") as caught:
                _ = await attempt
            assert caught.value.path == str(store.path(USER))
        store.path(USER).chmod(0o600)
        assert store.path(USER).read_bytes() == GOOD


@pytest.mark.parametrize(
    ("permissions", "loads", "saves"),
    [(0o500, True, False), (0o300, True, True), (0o600, False, False), (0o000, False, False)],
    ids=["not writable", "not readable", "not executable", "nothing"],
)
async def test_a_call_goes_on_whatever_the_folder_allows(
    folder: Path, permissions: int, loads: bool, saves: bool
) -> None:
    with where_permissions_count(folder) as theirs:
        store, tokens = FileStore(theirs), RememberedTokens(FileStore(theirs))
        first = await tokens.save(USER, TOKEN, "")
        assert isinstance(first, Saved)
        theirs.chmod(permissions)
        with nullcontext() if loads else pytest.raises(UnreadableTokenFile, match="Permission denied"):
            assert await store.load(USER) == Stored(TOKEN, first.version)
        with nullcontext() if saves else pytest.warns(TokenNotSaved, match="Permission denied"):
            outcome = await tokens.save(USER, NEWER, first.version)
        with nullcontext() if saves else pytest.warns(KickWarning, match="without a lock"):
            async with store.hold(USER) as others_kept_out:
                assert others_kept_out is saves
        assert isinstance(outcome, Saved if saves else NotSaved)
        assert tokens.peek(USER) == NEWER
        theirs.chmod(0o700)
        again = await store.save(USER, NEWER, first.version)
        assert isinstance(again, Superseded if saves else Saved)
        assert [name for name in names(theirs) if not name.endswith(".lock")] == [store.path(USER).name]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
async def test_a_file_of_another_user_is_left_alone(store: FileStore, path: Path) -> None:
    write(path, GOOD)
    os.chown(path, 12345, 12345)
    with pytest.raises(UnsafeTokenFile, match="another user"):
        _ = await store.load(USER)
    with pytest.raises(UnsafeTokenFile):
        _ = await store.save(USER, TOKEN, "")
    with pytest.raises(UnsafeTokenFile):
        await store.drop(USER)
    assert path.read_bytes() == GOOD
    assert path.stat().st_uid == 12345


# What is no plain file


@pytest.mark.parametrize(
    "what",
    ["link", "dangling link", "link in a circle", "link to a folder", "folder", "pipe", "socket", "full", "zero"],
)
async def test_what_is_no_plain_file_is_neither_followed_nor_waited_for(
    store: FileStore, folder: Path, path: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = folder / "target"
    match what:
        case "link":
            write(target, GOOD)
            path.symlink_to(target)
        case "dangling link":
            path.symlink_to(target)
        case "link in a circle":
            path.symlink_to(path)
        case "link to a folder":
            path.symlink_to(folder)
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case "socket":
            # By a short name: the path of a socket has room for about a hundred letters.
            monkeypatch.chdir(folder)
            with socket.socket(socket.AF_UNIX) as listening:
                listening.bind(path.name)
        case _:
            try:
                os.mknod(path, 0o600 | stat.S_IFCHR, Path("/dev", what).stat().st_rdev)
            except OSError:
                pytest.skip("devices cannot be made here")
    before = path.lstat()
    with anyio.fail_after(1):
        with pytest.raises(UnsafeTokenFile) as caught:
            _ = await store.load(USER)
        assert caught.value.path == str(path)
        with pytest.raises((UnsafeTokenFile, UnreadableTokenFile)):
            _ = await store.save(USER, TOKEN, "")
        with pytest.raises((UnsafeTokenFile, UnreadableTokenFile)):
            await store.drop(USER)
    assert path.lstat().st_ino == before.st_ino
    assert stat.S_IFMT(path.lstat().st_mode) == stat.S_IFMT(before.st_mode)
    assert not target.exists() or target.read_bytes() == GOOD


async def test_the_other_name_of_a_hard_link_keeps_the_old_content(store: FileStore, folder: Path, path: Path) -> None:
    write(folder / "other", GOOD)
    os.link(folder / "other", path)
    stored = await store.load(USER)
    assert stored is not None
    _ = await store.save(USER, NEWER, stored.version)
    assert (folder / "other").read_bytes() == GOOD
    assert b"AT2" in path.read_bytes()


async def test_a_file_in_the_place_of_the_folder_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    store = FileStore(tmp_path / "file")
    with pytest.raises(UnreadableTokenFile):
        _ = await store.load(USER)
    with pytest.raises(UnreadableTokenFile):
        _ = await store.save(USER, TOKEN, "")
    assert (tmp_path / "file").read_text() == "mine"


async def test_a_missing_folder_holds_nothing_and_is_made_by_the_first_save(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "a" / "b")
    assert await store.load(USER) is None
    await store.drop(USER)
    assert names(tmp_path) == []
    assert isinstance(await store.save(USER, TOKEN, ""), Saved)
    assert mode(tmp_path / "a" / "b") == 0o700


async def test_a_folder_that_vanishes_is_made_again(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "a")
    _ = await store.save(USER, TOKEN, "")
    store.path(USER).unlink()
    (tmp_path / "a").rmdir()
    assert isinstance(await store.save(USER, TOKEN, ""), Saved)


# Contents


def vector_cases() -> list[Any]:
    text = (Path(__file__).parents[2] / "vectors" / "cache_files.json").read_text("utf-8")
    return [pytest.param(case, id=case["name"]) for case in json.loads(text)]


def octets(case: dict[str, Any]) -> bytes:
    if "fill" in case:
        fill = case["fill"]
        return fill["byte"].encode() * fill["count"] + base64.b64decode(fill["then_b64"])
    return base64.b64decode(case["bytes_b64"])


@pytest.mark.parametrize("case", vector_cases())
async def test_a_file_of_the_vectors(store: FileStore, folder: Path, path: Path, case: dict[str, Any]) -> None:
    text = octets(case)
    write(path, text)
    expected = case["expect"]
    if expected == "CorruptCache":
        with pytest.raises(CorruptTokenFile) as caught:
            _ = await store.load(USER)
        assert caught.value.path == str(path)
        assert Path(caught.value.moved_to).read_bytes() == text
        assert mode(Path(caught.value.moved_to)) == 0o600
        assert not path.exists()
        assert await store.load(USER) is None
        return
    if expected == "NewerCache-left-alone":
        with pytest.raises(NewerTokenFile):
            _ = await store.load(USER)
        assert path.read_bytes() == text
        return
    assert expected.startswith("ok")
    stored = await store.load(USER)
    assert stored is not None
    now = time.time()
    assert stored.token.refresh_token == Secret("RT")
    assert stored.token.access_token == (None if case["name"] == "access-token-null" else Secret("AT"))
    assert stored.token.scope == ("user:read",)
    assert (stored.token.is_due(now) or stored.token.is_overdue(now)) is (expected == "ok-refresh-now")
    assert stored.token.expires_at <= now + 365 * 86400 + 5
    assert path.read_bytes() == text
    assert isinstance(await store.save(USER, NEWER, stored.version), Saved)
    if expected == "ok-kept":
        assert json.loads(path.read_text())["later"] == 1


async def test_a_file_cut_anywhere_is_corrupt_and_kept(store: FileStore, path: Path) -> None:
    _ = await store.save(USER, TOKEN, "")
    whole = path.read_bytes()
    # The last is a line end, which nobody needs.
    for length in range(len(whole) - 1):
        write(path, whole[:length])
        with pytest.raises(CorruptTokenFile) as caught:
            _ = await store.load(USER)
        assert Path(caught.value.moved_to).read_bytes() == whole[:length]
    for length in (len(whole) - 1, len(whole)):
        write(path, whole[:length])
        stored = await store.load(USER)
        assert stored is not None
        assert stored.token == TOKEN


async def test_a_file_with_a_flipped_bit_is_read_or_refused_and_always_kept(store: FileStore, path: Path) -> None:
    _ = await store.save(USER, TOKEN, "")
    whole = path.read_bytes()
    refused = 0
    for position in range(len(whole)):
        flipped = bytearray(whole)
        flipped[position] ^= 1 << position % 8
        write(path, bytes(flipped))
        kept = path
        try:
            stored = await store.load(USER)
            assert stored is not None
            assert (stored.token.access_token, stored.token.refresh_token) == (Secret("AT"), Secret("RT"))
        except CorruptTokenFile as error:
            kept = Path(error.moved_to)
        except (NewerTokenFile, ForeignTokenFile):
            pass
        refused += kept != path
        assert kept.read_bytes() == flipped
    assert refused > len(whole) / 3


def test_no_flipped_bit_makes_another_token() -> None:
    whole = record.write_record(USER, TOKEN)
    for place in range(8 * len(whole)):
        flipped = bytearray(whole)
        flipped[place // 8] ^= 1 << place % 8
        read = read_record(bytes(flipped), USER, SOON)
        if isinstance(read, Record):
            assert (read.token.access_token, read.token.refresh_token) == (Secret("AT"), Secret("RT"))


def test_nothing_in_a_file_is_taken_for_code() -> None:
    for module in (files, lock, record):
        assert module.__file__ is not None
        tree = list(ast.walk(ast.parse(Path(module.__file__).read_text("utf-8"))))
        imported = {name.name for node in tree if isinstance(node, ast.Import) for name in node.names}
        imported |= {node.module or "" for node in tree if isinstance(node, ast.ImportFrom)}
        assert not {"pickle", "marshal", "shelve", "yaml", "importlib", "runpy", "subprocess"} & imported
        called = {node.func.id for node in tree if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
        assert not {"eval", "exec", "compile", "__import__"} & called


@pytest.mark.parametrize("filling", [b" ", b"\n"])
async def test_a_file_of_seventy_kilobytes_is_no_token_file(store: FileStore, path: Path, filling: bytes) -> None:
    text = GOOD + filling * 70_000
    write(path, text)
    with pytest.raises(CorruptTokenFile) as caught:
        _ = await store.load(USER)
    assert Path(caught.value.moved_to).read_bytes() == text


async def test_no_more_than_a_file_may_be_long_is_read(
    store: FileStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with path.open("wb") as file:
        file.truncate(10**12)
    path.chmod(0o600)
    with anyio.fail_after(2), pytest.raises(CorruptTokenFile):
        _ = await store.load(USER)


async def test_corrupt_files_are_kept_for_their_owner_alone_and_at_most_three(
    store: FileStore, folder: Path, path: Path
) -> None:
    for number in range(5):
        write(path, b"corrupt %d" % number, 0o644)
        with pytest.warns(KickWarning, match="read by others"), pytest.raises(CorruptTokenFile, match="moved to"):
            _ = await store.load(USER)
    kept = [folder / name for name in names(folder)]
    assert [file.read_bytes() for file in kept] == [b"corrupt 2", b"corrupt 3", b"corrupt 4"]
    assert {mode(file) for file in kept} == {0o600}


async def test_the_newest_corrupt_file_is_kept_also_by_a_clock_that_was_set_back(
    store: FileStore, folder: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        if number == 3:
            monkeypatch.setattr(time, "time_ns", lambda: 5)
        write(path, b"corrupt %d" % number)
        with pytest.raises(CorruptTokenFile) as caught:
            _ = await store.load(USER)
    assert Path(caught.value.moved_to).read_bytes() == b"corrupt 3"
    assert {(folder / name).read_bytes() for name in names(folder)} == {b"corrupt 1", b"corrupt 2", b"corrupt 3"}


@pytest.mark.parametrize("meanwhile", ["another was quicker", "a good one came"])
async def test_only_the_file_that_was_found_corrupt_is_moved_aside(
    store: FileStore, folder: Path, path: Path, monkeypatch: pytest.MonkeyPatch, meanwhile: str
) -> None:
    def judge(octets: bytes, slot: Slot, now: float) -> Record | Unusable:
        if octets == b"corrupt":
            path.unlink()
            if meanwhile == "a good one came":
                write(path, GOOD)
        return read_record(octets, slot, now)

    write(path, b"corrupt")
    monkeypatch.setattr(files, "read_record", judge)
    stored = await store.load(USER)
    if meanwhile == "a good one came":
        assert stored is not None
        assert path.read_bytes() == GOOD
    else:
        assert stored is None
    assert names(folder) == ([path.name] if stored else [])


async def test_a_corrupt_file_found_when_saving_is_moved_aside_and_the_next_save_works(
    store: FileStore, path: Path
) -> None:
    write(path, b"corrupt")
    with pytest.raises(CorruptTokenFile) as caught:
        _ = await store.save(USER, TOKEN, "")
    assert Path(caught.value.moved_to).read_bytes() == b"corrupt"
    assert isinstance(await store.save(USER, TOKEN, ""), Saved)


# Longer than what is looked for, and with letters that a URL and base64 have other signs for.
HIDDEN = "Zq+w/V=kx~9#not.to.be.seen"
HOLDING = json.dumps({"access_token": HIDDEN, "refresh_token": HIDDEN, "id_token": HIDDEN, "expires_at": SOON}).encode()
HELD = Token(Secret(HIDDEN), SOON, SOON - 7200, Secret(HIDDEN))


def seen(error: BaseException) -> str:
    """All that is shown of an error, of those that it came by, and of the variables on their way."""
    chain: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is not None and one not in chain:
            chain.append(one)
            waiting += [one.__cause__, one.__context__]
    return "".join(
        line
        for one in chain
        for line in [
            *TracebackException.from_exception(one, capture_locals=True).format(),
            *map(repr, (one, one.args, vars(one))),
        ]
    )


STARTS = [start[:8] for start in (HIDDEN, quote(HIDDEN, safe=""), base64.b64encode(HIDDEN.encode()).decode())]


def assert_hidden(error: BaseException) -> None:
    text = seen(error)
    assert "tokens/files.py" in text
    assert "path = " in text
    assert not any(start in text for start in STARTS)


@pytest.mark.parametrize("number", range(len(STARTS)))
async def test_what_a_traceback_shows_of_a_token_would_be_noticed(
    store: FileStore, path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def fail(name: Path, *_: object) -> None:
        variable = f"as in {STARTS[number]}…"
        raise OSError(len(variable), "it failed")

    monkeypatch.setattr(os, "open", fail)
    with pytest.raises(UnreadableTokenFile) as caught:
        _ = await store.load(USER)
    with pytest.raises(AssertionError):
        assert_hidden(caught.value)


TEXTS = {
    "good": HOLDING,
    "cut": HOLDING[:-9],
    "long": HOLDING + b" " * 70_000,
    "of a wrong kind": HOLDING[:-1] + b',"scope":5}',
    "no text": HOLDING[:-1] + b"\xff}",
    "newer": HOLDING[:-1] + b',"version":9}',
    "foreign": HOLDING[:-1] + b',"client_id":"OTHER"}',
}


@pytest.mark.parametrize("what", [what for what in TEXTS if what != "good"])
async def test_an_error_shows_nothing_of_what_the_file_holds(store: FileStore, path: Path, what: str) -> None:
    for attempt in (store.load(USER), store.save(USER, HELD, ""), store.drop(USER)):
        write(path, TEXTS[what])
        with pytest.raises(StoreError) as caught:
            _ = await attempt
        assert_hidden(caught.value)


async def attempt(store: FileStore, work: str, version: str) -> None:
    match work:
        case "load":
            _ = await store.load(USER)
        case "save":
            _ = await store.save(USER, HELD, version)
        case _:
            await store.drop(USER)


@pytest.mark.parametrize("work", ["load", "save", "drop"])
@pytest.mark.parametrize("what", ["good", "cut"])
async def test_no_error_of_the_system_shows_a_token(store: FileStore, path: Path, work: str, what: str) -> None:
    version = files._version(TEXTS[what])
    failed: set[str] = set()
    for at in range(30):
        for lasting in (False, True):
            for left in store.directory.iterdir():
                left.unlink()
            write(path, TEXTS[what])
            system = System(store.directory, Trouble(at, errno.EIO, lasting=lasting), piece=100)
            with system.watched():
                try:
                    await attempt(store, work, version)
                except StoreError as error:
                    assert_hidden(error)
                    failed |= set(system.calls[at : at + 1])
    assert failed >= {"open", "fstat", "read"}
    assert failed >= ({"write", "fsync", "close", "replace"} if (work, what) == ("save", "good") else set())
    assert failed >= ({"rename"} if what == "cut" else set())


async def test_a_warning_that_is_an_error_shows_no_token(store: FileStore, path: Path) -> None:
    for attempt in (store.load(USER), store.save(USER, HELD, ""), store.drop(USER)):
        write(path, HOLDING, 0o644)
        with pytest.raises(KickWarning) as caught:
            _ = await attempt
        assert_hidden(caught.value)


@pytest.mark.parametrize(
    "members",
    [{"client_id": "OTHER"}, {"issuer": "http://127.0.0.1:8000"}, {"token_kind": "app"}, {"account": "bob"}],
    ids=lambda members: next(iter(members)),
)
async def test_the_file_of_another_is_left_alone(store: FileStore, path: Path, members: dict[str, str]) -> None:
    text = json.dumps(KICKCOM | members).encode()
    write(path, text)
    for attempt in (store.load(USER), store.save(USER, TOKEN, ""), store.drop(USER)):
        with pytest.raises(ForeignTokenFile) as caught:
            _ = await attempt
        assert caught.value.path == str(path)
    assert path.read_bytes() == text


async def test_a_file_of_a_newer_version_is_left_alone(store: FileStore, folder: Path, path: Path) -> None:
    text = json.dumps(KICKCOM | {"version": 2}).encode()
    write(path, text)
    for attempt in (store.load(USER), store.save(USER, TOKEN, ""), store.drop(USER)):
        with pytest.raises(NewerTokenFile):
            _ = await attempt
    assert path.read_bytes() == text
    assert names(folder) == [path.name]


async def test_a_file_of_kickcom_is_read_and_taken_over(store: FileStore, path: Path) -> None:
    write(path, json.dumps(KICKCOM).encode())
    stored = await store.load(USER)
    assert stored is not None
    assert stored.token.access_token == Secret("AT")
    assert stored.token.refresh_token == Secret("RT")
    assert stored.token.expires_at == float(KICKCOM["expires_at"])
    assert stored.token.scope == ("user:read", "chat:write")
    assert not stored.token.is_due(time.time())
    assert isinstance(await store.save(USER, NEWER, stored.version), Saved)
    written = json.loads(path.read_text())
    # kickcom.py can still read it.
    assert {"access_token", "expires_at", "token_type", "token_kind", "refresh_token", "scope"} <= set(written)
    assert written["client_id"] == "CID"


async def test_an_app_file_of_kickcom_is_read(store: FileStore) -> None:
    members = {"access_token": "AT", "expires_at": int(SOON), "token_type": "Bearer", "token_kind": "app"}
    write(store.path(APP), json.dumps(members).encode())
    stored = await store.load(APP)
    assert stored is not None
    assert stored.token.refresh_token is None
    assert not stored.token.is_due(time.time())


UNKNOWN = {"later": {"nested": [1, 2.5, None, "é🦊", "\ud800"]}, "color": "red"}


async def test_members_that_are_not_known_survive_every_save(store: FileStore, path: Path) -> None:
    write(path, json.dumps(KICKCOM | UNKNOWN).encode())
    for token in (TOKEN, NEWER, TOKEN):
        stored = await store.load(USER)
        assert stored is not None
        assert isinstance(await store.save(USER, token, stored.version), Saved)
    written = json.loads(path.read_text())
    assert {name: written[name] for name in UNKNOWN} == UNKNOWN


@pytest.mark.parametrize(
    "unknown",
    [b"NaN", b"[-Infinity]", b"[" * 900 + b"]" * 900, b'"' + "猫".encode() * 15_000 + b'"'],
    ids=["NaN", "infinity", "deep", "long when escaped"],
)
async def test_a_member_that_is_not_known_and_cannot_be_written_again_does_not_cost_the_token(
    store: FileStore, path: Path, unknown: bytes
) -> None:
    write(path, GOOD[:-1] + b',"odd":' + unknown + b"}")
    stored = await store.load(USER)
    assert stored is not None
    assert isinstance(await store.save(USER, NEWER, stored.version), Saved)
    again = await store.load(USER)
    assert again is not None
    assert again.token == NEWER


async def test_a_file_that_was_replaced_between_load_and_save_wins(store: FileStore, path: Path) -> None:
    first = await store.save(USER, TOKEN, "")
    assert isinstance(first, Saved)
    # Kept as it was: same size, same time, other content.
    status = path.stat()
    path.write_bytes(record.write_record(USER, replace(TOKEN, refresh_token=Secret("RX"))))
    assert path.stat().st_size == status.st_size
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    outcome = await store.save(USER, NEWER, first.version)
    assert isinstance(outcome, Superseded)
    assert outcome.stored is not None
    assert outcome.stored.token.refresh_token == Secret("RX")


# What is left behind


async def test_only_the_token_file_is_left_after_saves(store: FileStore, folder: Path, path: Path) -> None:
    version = ""
    for token in (TOKEN, NEWER, TOKEN):
        outcome = await store.save(USER, token, version)
        assert isinstance(outcome, Saved)
        version = outcome.version
    assert names(folder) == [path.name]


async def test_temporary_files_of_killed_processes_are_swept_and_young_ones_are_not(
    store: FileStore, folder: Path, path: Path
) -> None:
    old = [folder / f"{path.name}.{number}-1.tmp" for number in range(50)]
    young = folder / f"{path.name}.99-2.tmp"
    others = [
        folder / "notes.tmp",
        folder / f"{store.path(APP).name}.1-1.tmp",
        *(folder / f"{path.name}.{ending}" for ending in ("old", "tmp", "mine.tmp", "1-1.tmp.old", "1-x.tmp")),
    ]
    for file in [*old, young, *others]:
        write(file, b"left")
        if file is not young:
            os.utime(file, (time.time() - 61, time.time() - 61))
    in_their_place = folder / f"{path.name}.7-7.tmp"
    in_their_place.mkdir()
    os.utime(in_their_place, (1, 1))
    _ = await store.save(USER, TOKEN, "")
    assert set(names(folder)) == {path.name, young.name, in_their_place.name, *(file.name for file in others)}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
async def test_temporary_files_of_other_users_are_not_swept(store: FileStore, folder: Path, path: Path) -> None:
    file = folder / f"{path.name}.1-1.tmp"
    write(file, b"left")
    os.chown(file, 12345, 12345)
    os.utime(file, (1, 1))
    _ = await store.save(USER, TOKEN, "")
    assert names(folder) == sorted([path.name, file.name])


async def test_a_thousand_files_that_were_left_are_tidied_up(store: FileStore, folder: Path, path: Path) -> None:
    for number in range(1000):
        left = folder / f"{path.name}.{number}-1.tmp"
        write(left, b"left")
        os.utime(left, (1, 1))
        write(folder / f"{path.name}.corrupt-{number}", b"corrupt %d" % number)
    write(path, b"corrupt")
    with pytest.raises(CorruptTokenFile) as caught:
        _ = await store.load(USER)
    _ = await store.save(USER, TOKEN, "")
    kept = [path, *(folder / f"{path.name}.corrupt-{number}" for number in (998, 999)), Path(caught.value.moved_to)]
    assert {folder / name for name in names(folder)} == set(kept)


CALLS = ["open", "write", "fsync", "close", "replace"]
CODES = [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EIO, errno.EDQUOT]


class Failing:
    """Fails one system call on the temporary file, as often as told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, call: str, code: int) -> None:
        self.times = 1
        self.failed = 0
        self._error = OSError(code, os.strerror(code))
        self._temporary: set[int] = set()
        self._real = {name: getattr(os, name) for name in CALLS}
        self._call = call
        for name in ("open", "write", "fsync", "close"):
            monkeypatch.setattr(os, name, getattr(self, name))
        real_replace = Path.replace

        def replace(path: Path, target: Any) -> Path:
            self._fail("replace", path.name.endswith(".tmp"))
            return real_replace(path, target)

        monkeypatch.setattr(Path, "replace", replace)

    def _fail(self, call: str, ours: bool) -> None:
        if call == self._call and ours and self.failed < self.times:
            self.failed += 1
            raise self._error

    def open(self, path: Any, *rest: Any, **options: Any) -> int:
        ours = str(path).endswith(".tmp")
        self._fail("open", ours)
        descriptor = self._real["open"](path, *rest, **options)
        if ours:
            self._temporary.add(descriptor)
        return descriptor

    def write(self, descriptor: int, text: bytes) -> int:
        ours = descriptor in self._temporary
        self._fail("write", ours)
        # Short writes are legal.
        return self._real["write"](descriptor, text[:50] if ours else text)

    def fsync(self, descriptor: int) -> None:
        self._fail("fsync", descriptor in self._temporary)
        self._real["fsync"](descriptor)

    def close(self, descriptor: int) -> None:
        ours = descriptor in self._temporary
        self._temporary.discard(descriptor)
        self._real["close"](descriptor)
        self._fail("close", ours)


@pytest.mark.parametrize("code", CODES, ids=errno.errorcode.__getitem__)
@pytest.mark.parametrize("call", CALLS)
async def test_a_save_that_fails_at_any_call_leaves_the_old_file_whole(
    store: FileStore, folder: Path, path: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    first = await store.save(USER, TOKEN, "")
    assert isinstance(first, Saved)
    failing = Failing(monkeypatch, call, code)
    with pytest.raises(UnreadableTokenFile) as caught:
        _ = await store.save(USER, NEWER, first.version)
    assert failing.failed == 1
    assert caught.value.path == str(path)
    assert os.strerror(code) in str(caught.value)
    assert names(folder) == [path.name]
    assert await store.load(USER) == Stored(TOKEN, first.version)
    assert isinstance(await store.save(USER, NEWER, first.version), Saved)
    stored = await store.load(USER)
    assert stored is not None
    assert stored.token == NEWER


@pytest.mark.parametrize("call", CALLS)
async def test_a_call_goes_on_with_the_token_in_memory_while_the_disk_is_full(
    store: FileStore, path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    ticks = 0.0
    tokens = RememberedTokens(store, lambda: ticks)
    first = await tokens.save(USER, TOKEN, "")
    assert isinstance(first, Saved)
    failing = Failing(monkeypatch, call, errno.ENOSPC)
    failing.times = 2
    with pytest.warns(TokenNotSaved, match="No space left"):
        assert isinstance(await tokens.save(USER, NEWER, first.version), NotSaved)
    assert tokens.peek(USER) == NEWER
    assert b"AT2" not in path.read_bytes()
    ticks = 30.0
    with pytest.warns(TokenNotSaved):
        held = await tokens.load(USER)
    assert held is not None
    assert held.token == NEWER
    ticks = 60.0
    _ = await tokens.load(USER)
    stored = await store.load(USER)
    assert stored is not None
    assert stored.token == NEWER


async def test_a_call_goes_on_with_the_token_in_memory_while_no_file_can_be_opened(store: FileStore) -> None:
    tokens = RememberedTokens(store)
    first = await tokens.save(USER, TOKEN, "")
    assert isinstance(first, Saved)
    limit, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, most))
    try:
        with pytest.raises(UnreadableTokenFile, match="Too many open files"):
            _ = await store.load(USER)
        with pytest.warns(TokenNotSaved, match="Too many open files"):
            assert isinstance(await tokens.save(USER, NEWER, first.version), NotSaved)
        held = await tokens.load(USER)
        with pytest.warns(KickWarning, match="Too many open files; going on without a lock"):
            async with store.hold(USER) as others_kept_out:
                pass
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, most))
    assert held is not None
    assert held.token == NEWER
    assert not others_kept_out
    await tokens.flush()
    stored = await store.load(USER)
    assert stored is not None
    assert stored.token == NEWER


async def test_a_file_system_without_locks_is_enough_for_tokens(
    store: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    async with store.hold(USER) as others_kept_out:
        assert others_kept_out is True
    monkeypatch.setattr("fcntl.flock", no_locks)
    with pytest.warns(KickWarning, match="no locks") as warned:
        async with store.hold(USER) as others_kept_out:
            first = await store.save(USER, TOKEN, "")
    assert others_kept_out is False
    assert len(warned) == 1
    assert isinstance(first, Saved)
    assert await store.load(USER) == Stored(TOKEN, first.version)


async def test_a_file_that_is_deleted_while_running_is_written_again_by_the_next_save(
    store: FileStore, path: Path
) -> None:
    tokens = RememberedTokens(store)
    _ = await tokens.save(USER, TOKEN, "")
    path.unlink()
    held = await tokens.load(USER, reread=True)
    assert held is not None
    assert held.token == TOKEN
    assert isinstance(await tokens.save(USER, NEWER, held.version), Saved)
    stored = await store.load(USER)
    assert stored is not None
    assert stored.token == NEWER


async def test_a_folder_that_cannot_be_flushed_does_not_undo_a_save(
    store: FileStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.fsync

    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "folders cannot be flushed here")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    assert isinstance(await store.save(USER, TOKEN, ""), Saved)
    assert await store.load(USER) is not None


async def test_the_file_is_flushed_before_it_is_renamed_and_the_folder_after(
    store: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    real_fsync, real_replace = os.fsync, Path.replace

    def fsync(descriptor: int) -> None:
        steps.append("flush folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "flush file")
        real_fsync(descriptor)

    def replace(path: Path, target: Any) -> Path:
        steps.append("rename")
        return real_replace(path, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    _ = await store.save(USER, TOKEN, "")
    assert steps == ["flush file", "rename", "flush folder"]


async def test_a_deleted_file_does_not_come_back_after_a_power_loss(store: FileStore) -> None:
    _ = await store.save(USER, TOKEN, "")
    system = System(store.directory)
    with system.watched():
        await store.drop(USER)
    assert system.calls[-4:] == ["unlink", "open_folder", "fsync_folder", "close_folder"]


@pytest.mark.parametrize("code", [errno.EACCES, errno.EIO, errno.EMFILE, errno.ENAMETOOLONG])
async def test_a_file_that_cannot_be_read_is_a_clear_error(
    store: FileStore, path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    _ = await store.save(USER, TOKEN, "")
    real = os.open

    def refused(name: Any, *rest: Any, **options: Any) -> int:
        if name == path:
            raise OSError(code, os.strerror(code))
        return real(name, *rest, **options)

    monkeypatch.setattr(os, "open", refused)
    for attempt in (store.load(USER), store.save(USER, NEWER, ""), store.drop(USER)):
        with pytest.raises(UnreadableTokenFile, match="cannot be used") as caught:
            _ = await attempt
        assert caught.value.path == str(path)
        assert caught.value.__cause__ is None
    monkeypatch.undo()
    assert b'"AT"' in path.read_bytes()


async def test_a_file_that_cannot_be_deleted_is_a_clear_error(
    store: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    _ = await store.save(USER, TOKEN, "")

    def refused(path: Path, missing_ok: bool = False) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", refused)
        with pytest.raises(UnreadableTokenFile, match="Read-only"):
            await store.drop(USER)


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS])
async def test_a_folder_that_cannot_be_made_is_a_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    store = FileStore(tmp_path / "new")

    def refused(path: Path, *rest: Any, **options: Any) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(Path, "mkdir", refused)
    with pytest.raises(UnreadableTokenFile):
        _ = await store.save(USER, TOKEN, "")
    with pytest.warns(KickWarning, match="without a lock"):
        async with store.hold(USER) as others_kept_out:
            pass
    assert not others_kept_out


async def test_a_slow_disk_does_not_hold_up_those_who_have_a_token(
    store: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = RememberedTokens(store)
    first = await tokens.save(USER, TOKEN, "")
    assert isinstance(first, Saved)
    _ = await tokens.save(APP, TOKEN, "")
    flushing, go_on = threading.Event(), threading.Event()
    real = os.fsync

    def slow(descriptor: int) -> None:
        flushing.set()
        go_on.wait(5)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", slow)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(tokens.save, USER, NEWER, first.version)
        assert await anyio.to_thread.run_sync(flushing.wait, 2)
        with anyio.fail_after(1):
            held = [await tokens.load(slot) for slot in (USER, APP)]
        go_on.set()
    assert [stored and stored.token for stored in held] == [NEWER, TOKEN]


async def test_a_slow_disk_does_not_block_the_event_loop(store: FileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    turns = 0
    seen: list[int] = []
    real = os.fsync

    def slow(descriptor: int) -> None:
        before = turns
        time.sleep(0.02)
        seen.append(turns - before)
        real(descriptor)

    async def watch() -> None:
        nonlocal turns
        while True:
            await anyio.sleep(0.001)
            turns += 1

    monkeypatch.setattr(os, "fsync", slow)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch)
        _ = await store.save(USER, TOKEN, "")
        tasks.cancel_scope.cancel()
    # The file and its folder.
    assert len(seen) == 2
    assert min(seen) >= 2


async def test_readers_never_see_a_broken_file_while_it_is_replaced(store: FileStore) -> None:
    seen: set[Secret | None] = set()
    writing = True

    async def read() -> None:
        while writing:
            stored = await FileStore(store.directory).load(USER)
            seen.add(stored.token.access_token if stored else None)

    async def replace() -> None:
        nonlocal writing
        version = ""
        for number in range(15):
            outcome = await store.save(USER, TOKEN if number % 2 else NEWER, version)
            assert isinstance(outcome, Saved)
            version = outcome.version
        writing = False

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(read)
        tasks.start_soon(replace)
    assert seen - {None} == {Secret("AT"), Secret("AT2")}
