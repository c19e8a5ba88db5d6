"""A save that is cut short anywhere, by a kill, an error or a power loss: the old token or the new one, whole."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from interpreters.tokens.files import FileStore
from kickcore.oauth.record import write_record
from kickcore.oauth.tokens import Saved

from .save_points import NEW, OLD, SLOT, System

HERE = Path(__file__).parent
ROOT = HERE.parents[2]

# What kickcom.py 1.1 does, and what a save without one of its parts would do.
WORSE = """
import os
from pathlib import Path
from interpreters.tokens import files, lock
import save_points

def in_place(path, octets):
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    files._write_all(descriptor, octets)
    os.close(descriptor)

def never_tidy(path, octets):
    beside = path.with_name(path.name + ".1-3.tmp")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT, 0o600)
    files._write_all(descriptor, octets)
    os.close(descriptor)
    beside.replace(path)

def one_write(descriptor, octets):
    os.write(descriptor, octets)

def broken(scene, name, worse):
    good, files.__dict__[name] = files.__dict__[name], worse
    try:
        return save_points.sweep([scene])["broken"]
    finally:
        files.__dict__[name] = good

print(
    broken(save_points.First, "_replace", in_place),
    broken(save_points.First, "_replace", never_tidy),
    broken(save_points.InPieces, "_write_all", one_write),
)
"""

CROWD = """
import os, sys, traceback
from pathlib import Path
from save_points import NEW, NEXT, OLD, SLOT, at_once, outcome
from interpreters.tokens.files import FileStore
from kickcore.oauth.tokens import Saved, Superseded

TOKENS = [OLD, NEW, NEXT]

def over():
    return given_up.exists() or all(one.exists() for one in content)

def write(number):
    saves = 0
    while not over():
        token = TOKENS[(number + saves) % 3]
        saved = outcome(store.save(SLOT, token, outcome(store.load(SLOT)).version))
        assert isinstance(saved, Saved | Superseded), saved
        saves += isinstance(saved, Saved)

def read(number):
    loads, seen = 0, set()
    while not over():
        seen.add(TOKENS.index(outcome(store.load(SLOT)).token))
        loads += 1
        if loads >= 100 and len(seen) == 3:
            content[number].touch()

def forked(work, number):
    child = os.fork()
    if child == 0:
        try:
            work(number)
        except BaseException:
            traceback.print_exc()
            given_up.touch()
            os._exit(1)
        os._exit(0)
    return child

folder, crowd = Path(sys.argv[1]), int(sys.argv[2])
store = FileStore(folder / "tokens")
given_up = folder / "somebody has given up"
content = [folder / f"reader {number} has seen enough" for number in range(crowd)]
with at_once():
    outcome(store.save(SLOT, OLD, ""))
    children = [forked(work, number) for number in range(crowd) for work in (read, write)]
    failed = [os.waitpid(child, 0)[1] for child in children]
sys.exit(any(failed))
"""


def python(*arguments: str) -> str:
    told = subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(HERE)])},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert told.returncode == 0, told.stderr
    return told.stdout


def test_a_kill_or_an_error_at_any_call_of_a_save_leaves_the_old_token_or_the_new_one() -> None:
    counts = json.loads(python(str(HERE / "save_points.py")))
    assert counts["broken"] == 0
    assert counts["kill_points"] >= 100
    assert counts["error_points"] >= 7 * counts["kill_points"] / 2
    assert counts["old"] + counts["new"] + counts["locks"] == counts["kill_points"] + counts["error_points"]
    assert min(counts["old"], counts["new"], counts["locks"]) > 0
    for call in (
        "mkdir", "open", "fstat", "fchmod", "read", "close", "unlink", "write", "fsync", "replace", "rename",
        "open_folder", "fsync_folder", "close_folder", "flock",
    ):  # fmt: skip
        assert counts[f"at_{call}"] > 0, call


def test_the_sweep_notices_a_save_that_is_worse() -> None:
    assert all(int(broken) > 0 for broken in python("-c", WORSE).split())


def test_readers_never_see_a_broken_file_among_writers_of_other_processes(tmp_path: Path) -> None:
    python("-c", CROWD, str(tmp_path), "4")
    assert len(list(tmp_path.glob("reader *"))) == 4
    assert [path.name for path in (tmp_path / "tokens").iterdir()] == [".kick.user_token.json"]


# Power loss


Call = tuple[str, tuple[Any, ...], Any]


class Disk:
    """A disk that keeps, of what was not flushed, as little as a file system may.

    Names change in the order of the calls, and any number of the changes since the last flush of the folder may be
    lost. Of the octets of a file all those since its last flush may be lost, or half of them, or none, whatever became
    of its name.
    """

    def __init__(self, path: Path, octets: bytes) -> None:
        self._contents = [octets]
        self._flushed = [len(octets)]
        self._names = [{str(path): 0}]
        """As they may be on the disk, with the number of the file that each name is of. The last are those of now."""
        self._descriptors: dict[int, int] = {}

    def play(self, call: Call) -> None:
        """Do what a call did."""
        name, args, result = call
        if name not in {"stat", "lstat", "fstat", "listdir", "scandir", "read"}:
            getattr(self, f"_{name}")(*args, result)

    def _open(self, path: Path, flags: int, *rest: int) -> None:
        if flags & os.O_CREAT:
            self._descriptors[rest[-1]] = number = len(self._contents)
            self._contents.append(b"")
            self._flushed.append(0)
            self._name(number, str(path))

    def _name(self, number: int, name: str) -> None:
        others = {other: file for other, file in self._names[-1].items() if file != number}
        self._names.append({**others, name: number})

    def _write(self, descriptor: int, octets: bytes, count: int) -> None:
        self._contents[self._descriptors[descriptor]] += octets[:count]

    def _fsync(self, descriptor: int, _: None) -> None:
        if descriptor in self._descriptors:
            number = self._descriptors[descriptor]
            self._flushed[number] = len(self._contents[number])
        else:
            del self._names[:-1]

    def _close(self, descriptor: int, _: None) -> None:
        self._descriptors.pop(descriptor, None)

    def _replace(self, source: Path, target: Path, _: None) -> None:
        self._name(self._names[-1][str(source)], str(target))

    def survivors(self, path: Path) -> set[bytes | None]:
        """What may be in the file at `path` after a power loss now; None if it may be gone."""
        found: set[bytes | None] = set()
        for names in self._names:
            number = names.get(str(path))
            if number is None:
                found.add(None)
            else:
                octets, flushed = self._contents[number], self._flushed[number]
                found |= {octets[: flushed + (len(octets) - flushed) * part // 2] for part in range(3)}
        return found


OLD_TEXT, NEW_TEXT = write_record(SLOT, OLD), write_record(SLOT, NEW)


def survivors(log: list[Call], path: Path) -> set[bytes | None]:
    """What may be in the file after a power loss at the end of these calls."""
    disk = Disk(path, OLD_TEXT)
    for call in log:
        disk.play(call)
    return disk.survivors(path)


@pytest.fixture
async def log(tmp_path: Path) -> list[Call]:
    """The calls of a save over an old token, which was written in pieces."""
    store = FileStore(tmp_path)
    first = await store.save(SLOT, OLD, "")
    assert isinstance(first, Saved)
    system = System(tmp_path, piece=100)
    with system.watched():
        assert isinstance(await store.save(SLOT, NEW, first.version), Saved)
    return system.log


async def test_a_power_loss_at_any_call_leaves_the_old_token_or_the_new_one(log: list[Call], tmp_path: Path) -> None:
    path = FileStore(tmp_path).path(SLOT)
    for end in range(len(log) + 1):
        assert survivors(log[:end], path) <= {OLD_TEXT, NEW_TEXT}
    assert survivors(log[:0], path) == {OLD_TEXT}


async def test_what_is_said_to_be_saved_outlives_a_power_loss(log: list[Call], tmp_path: Path) -> None:
    assert survivors(log, FileStore(tmp_path).path(SLOT)) == {NEW_TEXT}


async def test_without_its_flushes_a_save_would_not_outlive_a_power_loss(log: list[Call], tmp_path: Path) -> None:
    path = FileStore(tmp_path).path(SLOT)
    flushes = [number for number, (name, _, _) in enumerate(log) if name == "fsync"]
    assert len(flushes) == 2
    without_file, without_folder = ([call for at, call in enumerate(log) if at != flush] for flush in flushes)
    assert survivors(without_file, path) - {OLD_TEXT, NEW_TEXT}
    assert survivors(without_folder, path) == {OLD_TEXT, NEW_TEXT}
