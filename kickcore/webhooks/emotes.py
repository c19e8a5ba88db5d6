"""Emotes in the text of a chat message."""

import re
from typing import Final

from msgspec import Struct

_EMOTE: Final = re.compile(r"\[emote:(\d{1,12}):([^\]\s:]{0,100})\]", re.ASCII)


class Emote(Struct, frozen=True):
    """An emote: its number, and the name that it is written with."""

    id: int
    name: str

    @property
    def url(self) -> str:
        """Where Kick's site has its picture."""
        return f"https://files.kick.com/emotes/{self.id}/fullsize"


def pieces_of(content: str) -> tuple[str | Emote, ...]:
    """The text of a chat message as texts and emotes, in order. Joined again they are the whole of it."""
    pieces: list[str | Emote] = []
    last = 0
    for found in _EMOTE.finditer(content):
        if found.start() > last:
            pieces.append(content[last : found.start()])
        pieces.append(Emote(int(found[1]), found[2]))
        last = found.end()
    if last < len(content):
        pieces.append(content[last:])
    return tuple(pieces)


def without_emotes(content: str) -> str:
    """The text of a chat message with the names of emotes in their place."""
    return "".join(piece if isinstance(piece, str) else piece.name for piece in pieces_of(content))
