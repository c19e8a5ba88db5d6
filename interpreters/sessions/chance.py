"""Chance that can be had again: keyed by a seed, the program, the purpose and how often it was asked for."""

from hashlib import sha256
from typing import Final

SECRET_PURPOSES: Final = frozenset({"code_verifier", "state"})
"""What is drawn for these is a secret: truly by chance while recording, and of this module in a replay."""


def drawn(seed: str, program: str, purpose: str, number: int, size: int) -> bytes:
    """`size` octets for the `number`-th draw of a program for a purpose. One more draw shifts no other."""
    key = f"{seed}/{program}/{purpose}/{number}".encode("utf-8", "surrogatepass")
    blocks = (sha256(key + b"/%d" % block).digest() for block in range(size // 32 + 1))
    return b"".join(blocks)[:size]


class Draws:
    """How often one program has drawn for each purpose."""

    def __init__(self, seed: str, program: str) -> None:
        self._seed = seed
        self._program = program
        self._counts: dict[str, int] = {}

    def draw(self, size: int, purpose: str) -> bytes:
        """The next octets for this purpose."""
        count = self._counts[purpose] = self._counts.get(purpose, 0) + 1
        return drawn(self._seed, self._program, purpose, count, size)

    def skip(self, purpose: str) -> None:
        """Count a draw that was made elsewhere."""
        self._counts[purpose] = self._counts.get(purpose, 0) + 1
