"""What became of calls, written down at once, so that it outlives a process that is killed."""

import os
from collections import Counter
from pathlib import Path
from typing import TypeAlias

import msgspec
from msgspec import Struct


class Outcome(Struct, frozen=True, tag=True):
    """How a call ended. `error` is the kind of what it raised, or "".

    `inside`: whether that belongs to the library's own tree of errors; `clear`: whether it says that the user must log
    in again, or that nobody knows what became of a refresh; `names_file`: whether its text names the token file.
    """

    process: int
    error: str = ""
    inside: bool = True
    clear: bool = True
    names_file: bool = True


class SecretSeen(Struct, frozen=True, tag=True):
    """A token's text, or the client secret, was shown somewhere."""

    where: str


class Count(Struct, frozen=True, tag=True):
    """A number that a process has found out."""

    number: int


Entry: TypeAlias = Outcome | SecretSeen | Count


class Journal:
    """Entries of all processes that were forked from this one, one line each."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._read = 0

    def write(self, entry: Entry) -> None:
        os.write(self._descriptor, msgspec.json.encode(entry) + b"\n")

    def new(self) -> list[Entry]:
        """The entries since this was asked last."""
        with self.path.open("rb") as file:
            file.seek(self._read)
            # A process that is killed cannot leave half a line: each is one write.
            lines = file.read().splitlines()
            self._read = file.tell()
        return [msgspec.json.decode(line, type=Entry) for line in lines]


def kinds(outcomes: list[Outcome]) -> str:
    """The kinds of errors, most frequent first."""
    counted = Counter(outcome.error for outcome in outcomes if outcome.error)
    return ", ".join(f"{name} x {count}" for name, count in counted.most_common(4))
