"""Tokens, codes and ids out of the world's seed and counter: the same world mints the same ones again."""

from base64 import b32encode
from hashlib import sha256
from typing import Final
from uuid import UUID

from msgspec.structs import replace

from interpreters.sandbox.world import World

TOKEN_LENGTH: Final = 48
"""Characters of a token, as long as Kick's (reference 3.2)."""

_APPS_SINCE: Final = 1_740_000_000.0
_CROCKFORD: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def _digest(world: World, purpose: str) -> bytes:
    return sha256(f"{world.seed}\n{world.counter}\n{purpose}".encode()).digest()


def mint_token(world: World, prefix: str) -> tuple[World, str]:
    """A text of 48 upper-case letters and digits that begins with `prefix`, so that a leak shows where it came from."""
    text = prefix + b32encode(_digest(world, prefix)).decode("ascii").rstrip("=")
    return replace(world, counter=world.counter + 1), text[:TOKEN_LENGTH]


def mint_uuid(world: World, purpose: str) -> tuple[World, str]:
    """A UUID of version 4 in its usual text form."""
    text = str(UUID(bytes=_digest(world, purpose)[:16], version=4))
    return replace(world, counter=world.counter + 1), text


def mint_ulid(world: World, purpose: str, at: float) -> tuple[World, str]:
    """A ULID of the moment `at` (epoch seconds): 48 bits of milliseconds, then 80 of what stands for chance."""
    chance = int.from_bytes(_digest(world, purpose)[:10], "big")
    return replace(world, counter=world.counter + 1), _ulid(at, chance)


def app_id(world: World, client_id: str) -> str:
    """The ULID of an app, always the same; it is not the client id."""
    digest = sha256(f"{world.seed}\napp\n{client_id}".encode()).digest()
    return _ulid(_APPS_SINCE, int.from_bytes(digest[:10], "big"))


def _ulid(at: float, chance: int) -> str:
    number = (int(at * 1000) & (1 << 48) - 1) << 80 | chance
    return "".join(_CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))
