"""What may stand where a token file should be: broken, cut, flipped, foreign, or no file at all."""

import base64
import json
import os
import re
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, Final

from answers import VECTORS
from msgspec import Struct
from orders import SCOPE, Login
from rows import Row
from stage import Hung, Stage
from subjects import TOKEN_FILE

REFRESH: Final = re.compile(rb"SANDBOXREFRESH[A-Z2-7]{34}")
OURS: Final = b'"version": 1, "client_id": "CID"'
THEIRS: Final = b'"token_type": "Bearer", "token_kind": "user"'
"""What the cases say of themselves, and what kickcom.py would say of itself in the same place."""
BLOCKED_FOR: Final = 10.0
"""Seconds after which a call that stops its event loop is broken off."""


class Thing(Struct, frozen=True):
    """What stands in the file's place: `octets` of a file, or what `put` makes there.

    `works`: whether a call must get through with it; `refused`: whether it must be refused by an error that names it.
    """

    name: str
    octets: bytes = b""
    put: Callable[[Path], object] | None = None
    works: bool = False
    refused: bool = False


def bad_files(stage: Stage) -> Iterator[Row]:
    """A call with it, and one more by the next process: no odd errors, and no good refresh token is thrown away."""
    signal.signal(signal.SIGALRM, broken_off)
    refreshes = lost = unclear = 0
    failed: list[str] = []
    cases = stage.some([*written(), *things(), *damaged()], None, 60)
    for thing in cases:
        held = put(stage, thing)
        before = len(stage.told())
        for _ in range(2):
            signal.setitimer(signal.ITIMER_REAL, BLOCKED_FOR)
            stage.run(stage.attempt)
            signal.setitimer(signal.ITIMER_REAL, 0)
        first, second = stage.told()[before:]
        refreshes += stage.state().refreshes
        lost += held and not any(stage.control.takes(token) for token in found_in_folder())
        failed += [thing.name for outcome in (first, second) if thing.works and outcome.error]
        unclear += thing.refused and not (first.error and first.names_file)
    yield stage.row(
        "odd token files",
        "bad files",
        len(cases),
        refreshes=refreshes,
        lost=lost,
        failed=len(failed),
        unclear=unclear,
        note=f"failed: {', '.join(dict.fromkeys(failed))}"[:120] if failed else "",
    )


def broken_off(number: int, frame: FrameType | None) -> None:
    raise Hung(f"the event loop stood still for {BLOCKED_FOR:g} seconds")


def put(stage: Stage, thing: Thing) -> bool:
    """Put a thing in the place of a new grant's file; whether it holds a refresh token that Kick takes."""
    stage.begin()
    path = Path(TOKEN_FILE)
    if thing.put is not None:
        thing.put(path)
    else:
        grant = stage.control.log_in(Login())
        octets = thing.octets.replace(b"user:read", SCOPE.encode())
        if stage.subject.library != "kickcore":
            octets = octets.replace(OURS, THEIRS)
        for name, token in (("AT", grant.access_token), ("RT", grant.refresh_token)):
            octets = octets.replace(f'"{name}"'.encode(), f'"{token}"'.encode())
        path.write_bytes(octets)
    return any(stage.control.takes(token) for token in found_in_folder())


def found_in_folder() -> set[str]:
    """All refresh tokens in all files of the working directory."""
    files = [path.read_bytes() for path in Path().iterdir() if path.is_file()]
    return {token.decode() for octets in files for token in REFRESH.findall(octets)}


def written() -> Iterator[Thing]:
    """The cases of `cache_files.json`."""
    for case in json.loads((VECTORS / "cache_files.json").read_text("utf-8")):
        fill: dict[str, Any] | None = case.get("fill")
        octets = (
            fill["byte"].encode() * fill["count"] + base64.b64decode(fill["then_b64"])
            if fill
            else base64.b64decode(case["bytes_b64"])
        )
        works = case["expect"].startswith("ok")
        yield Thing(case["name"], octets, works=works, refused=not works)


def things() -> Iterator[Thing]:
    """What is no plain file."""

    def aside(path: Path) -> Path:
        return path.rename(path.with_name("elsewhere"))

    def instead(make: Callable[[Path], object]) -> Callable[[Path], object]:
        return lambda path: (aside(path), make(path))

    def listen(path: Path) -> None:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))

    odd: dict[str, Callable[[Path], object]] = {
        "a folder": lambda path: path.mkdir(),
        "a pipe": os.mkfifo,
        "a socket": listen,
        "a link to a file": lambda path: path.symlink_to("elsewhere"),
        "a link to nothing": lambda path: path.symlink_to("nowhere"),
        "a link to itself": lambda path: path.symlink_to(path.name),
        "a link to a folder": lambda path: path.symlink_to("."),
    }
    for name, make in odd.items():
        yield Thing(name, put=instead(make), refused=True)
    yield Thing("large", octets=b"[" * 5_000_000, refused=True)


def damaged() -> Iterator[Thing]:
    """A good file cut at each octet, and with one bit flipped at each octet."""
    good = next(thing for thing in written() if thing.name == "good-peer-format").octets
    for length in range(len(good)):
        yield Thing(f"first {length} octets", good[:length], refused=True)
    for place in range(len(good)):
        flipped = bytearray(good)
        flipped[place] ^= 1 << place % 7
        yield Thing(f"flipped in octet {place}", bytes(flipped))
