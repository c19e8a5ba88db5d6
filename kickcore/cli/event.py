"""`kickcore event`: webhooks without Kick: to send some, to grade a receiver, and to look at what comes.

What is sent is signed with a key of the simulated Kick, which no receiver takes unless it was told to.
"""

import argparse
import os
import re
import secrets
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec
from msgspec import Struct

from interpreters.sandbox import OWNER, Delivery, Outgoing, SigningKey, serve_app
from interpreters.sandbox.delivering import client_to, post
from interpreters.sandbox.signing import signed
from kickcore.cli.grading import SOON, described, graded
from kickcore.cli.listening import Listener
from kickcore.cli.triggering import OPTIONS, SUBSCRIPTION, TYPES, VIEWER, body_of, outgoing_of
from kickcore.errors import ConfigError, cleaned
from kickcore.webhooks import PublicKey, public_key

KEY_FILE: Final = ".kick.sandbox_key.pem"
"""Where the private key is, in the working directory or `--directory`. It is worth nothing but for tests."""
KEPT_FILE: Final = ".kick.triggered.jsonl"
"""Where it is written down what was triggered."""
KEPT: Final = 200
"""Events that are kept there; older ones are forgotten."""
PORT: Final = 8000

_WORD: Final = re.compile(r"[\x21-\x7E]{1,200}\Z", re.ASCII)

Options: TypeAlias = argparse.Namespace


def add_parser(commands: Any) -> None:
    """Add `event`, and what it can do, to the commands."""
    words = "send webhooks as Kick does, grade a receiver, or look at what comes"
    actions = commands.add_parser("event", help=words, description=words).add_subparsers(dest="action", required=True)
    for name, (_, says, add_options) in _ACTIONS.items():
        action = actions.add_parser(name, help=says, description=says)
        action.add_argument("--backend", choices=("asyncio", "trio"), default="asyncio", help="the event loop")
        action.add_argument("--directory", default=".", help="where the key and what was triggered are (default: here)")
        action.add_argument("--key", metavar="FILE", help=f"a private key of yours as PEM, in place of {KEY_FILE}")
        add_options(action)


def _number(least: int, most: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not least <= int(text[:20]) <= most:
            raise argparse.ArgumentTypeError(f"a number from {least} to {most} it must be")
        return int(text)

    return number


def _word(text: str) -> str:
    if not _WORD.match(text):
        raise argparse.ArgumentTypeError("1 to 200 visible characters of ASCII it must be")
    return text


def _add_target(action: argparse.ArgumentParser) -> None:
    target = action.add_mutually_exclusive_group(required=True)
    target.add_argument("--to", metavar="URL", help="the receiver's address")
    target.add_argument("--print", dest="shows", action="store_true", help="show what would be sent, and send nothing")


def _add_trigger(action: argparse.ArgumentParser) -> None:
    user_id = _number(1, 2**63 - 1)
    known = ", ".join(TYPES)
    action.add_argument("type", metavar="TYPE", type=_word, help=f"one of {known}; or any other, with --body")
    _add_target(action)
    action.add_argument("--broadcaster", type=user_id, metavar="ID", help=f"whose channel it is (default {OWNER})")
    action.add_argument("--user", type=user_id, metavar="ID", help=f"who writes, follows, gives … (default {VIEWER})")
    action.add_argument("--content", metavar="TEXT", help="of a chat message, a redemption or a gift of KICKs")
    action.add_argument("--title", metavar="TEXT", help="of a stream or a reward")
    action.add_argument("--offline", action="store_true", default=None, help="the stream has ended")
    action.add_argument("--months", type=_number(2, 1200), metavar="N", help="of a renewed subscription (default 2)")
    action.add_argument("--count", type=_number(1, 100), metavar="N", help="how many got a subscription (default 1)")
    action.add_argument("--anonymous", action="store_true", default=None, help="nobody knows who gave them")
    action.add_argument("--status", choices=("pending", "accepted", "rejected"), help="of a redemption")
    action.add_argument("--reason", metavar="TEXT", help="of a ban")
    action.add_argument("--minutes", type=_number(1, 10_080), metavar="N", help="of a time-out; else it is for good")
    action.add_argument("--amount", type=_number(1, 10**9), metavar="N", help="of KICKs (default 100)")
    action.add_argument("--body", metavar="FILE", help="the body itself; - is standard input")
    action.add_argument("--message-id", type=_word, metavar="ID", help="an id of yours, in place of a new one")
    action.add_argument("--subscription-id", type=_word, metavar="ID", default=SUBSCRIPTION, help=f"({SUBSCRIPTION})")


def _add_retrigger(action: argparse.ArgumentParser) -> None:
    action.add_argument("id", metavar="ID", help="the id of what was triggered, or: last")
    action.add_argument("--same-time", action="store_true", help="with the first timestamp, in place of a new one")
    _add_target(action)


def _add_verify(action: argparse.ArgumentParser) -> None:
    action.add_argument("--to", metavar="URL", required=True, help="the receiver's address")
    action.add_argument(
        "--within", type=float, default=SOON, metavar="SECONDS", help=f"for an answer (default {SOON:g})"
    )


def _add_listen(action: argparse.ArgumentParser) -> None:
    action.add_argument("--port", type=_number(0, 65_535), default=PORT, help=f"0 takes a free one (default {PORT})")
    action.add_argument("--count", type=_number(1, 10**9), metavar="N", help="end after so many deliveries")
    action.add_argument("--json", action="store_true", help="a line of JSON for each delivery")


def _add_nothing(_: argparse.ArgumentParser) -> None:
    pass


async def run_event(asked: Options) -> int:
    """Do what `kickcore event` was asked to do, and give the exit code."""
    return await _ACTIONS[asked.action].does(asked)


# Sending


async def _trigger(asked: Options) -> int:
    now = time.time()
    chosen = {name: getattr(asked, name) for name in OPTIONS if getattr(asked, name) is not None}
    body = body_of(asked.type, chosen, now) if asked.body is None else _read_body(asked.body, chosen)
    outgoing = outgoing_of(asked.type, body, now, message_id=asked.message_id, subscription_id=asked.subscription_id)
    return await _send(asked, outgoing)


def _read_body(name: str, chosen: Mapping[str, object]) -> bytes:
    for option in chosen:
        raise ConfigError(f"--{option} says nothing about a body that comes from a file, so nothing was sent")
    try:
        return sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise ConfigError(f"{name} cannot be read ({error.strerror}), so nothing was sent") from None


async def _retrigger(asked: Options) -> int:
    held = _kept(asked)
    found = [each for each in held if asked.id in {each.id, "last"}]
    if not found:
        raise ConfigError(
            f"{cleaned(asked.id, 60)} is not among the {len(held)} that were triggered from here "
            f"({_kept_path(asked)}), so nothing was sent"
        )
    kept = found[-1]
    at = kept.at if asked.same_time else time.time()
    outgoing = outgoing_of(kept.event, kept.body, at, message_id=kept.id, subscription_id=kept.subscription_id)
    return await _send(asked, outgoing)


async def _send(asked: Options, outgoing: Outgoing) -> int:
    delivery = signed(outgoing, _signing_key(asked))
    if asked.shows:
        _show(delivery)
        return 0
    async with client_to(asked.to) as http:
        came = await post(delivery, asked.to, http)
    print(f"{outgoing.event} {outgoing.message_id}: {described(came)}")
    if asked.action == "trigger":
        _keep(asked, outgoing)
    _hint(came.status)
    return 0 if came.ok else 1


def _hint(status: int) -> None:
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        print("Does the receiver take this key? It is shown by: kickcore event key", file=sys.stderr)


def _show(delivery: Delivery) -> None:
    print(delivery.method)
    for name, value in delivery.headers:
        print(f"{name}: {cleaned(value, 4096)}")
    print()
    print(delivery.body.decode("utf-8", "backslashreplace"))


# What was triggered


class _Triggered(Struct, frozen=True):
    id: str
    event: str
    subscription_id: str
    at: float
    body: bytes


def _kept_path(asked: Options) -> Path:
    return Path(asked.directory) / KEPT_FILE


def _kept(asked: Options) -> list[_Triggered]:
    """What was triggered from here, oldest first. A line that cannot be read is passed over."""
    held: list[_Triggered] = []
    try:
        lines = _kept_path(asked).read_bytes().splitlines()
    except FileNotFoundError:
        lines = []
    except OSError as error:
        raise ConfigError(f"{_kept_path(asked)} cannot be read ({error.strerror}); move it away") from None
    for line in lines:
        try:
            held.append(msgspec.json.decode(line, type=_Triggered))
        except msgspec.DecodeError:
            continue
    return held


def _keep(asked: Options, outgoing: Outgoing) -> None:
    made = _Triggered(outgoing.message_id, outgoing.event, outgoing.subscription_id, outgoing.timestamp, outgoing.body)
    lines = [msgspec.json.encode(each) for each in (*_kept(asked), made)[-KEPT:]]
    path = _kept_path(asked)
    beside = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(b"\n".join(lines) + b"\n")
        beside.replace(path)
    except OSError as error:
        raise ConfigError(f"it was sent, and not written down: {path} cannot be written ({error.strerror})") from None


# The key


def _signing_key(asked: Options) -> SigningKey:
    """The key of `--key`, or that of the directory, which is made if there is none."""
    path = Path(asked.key) if asked.key else Path(asked.directory) / KEY_FILE
    try:
        return SigningKey.from_pem(path.read_bytes())
    except FileNotFoundError:
        if asked.key:
            raise ConfigError(f"there is no {path}; nothing was sent") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}); nothing was sent") from None
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    return _made_key(path)


def _made_key(path: Path) -> SigningKey:
    key = SigningKey.made()
    beside = path.with_name(f"{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(handle, "wb") as file:  # noqa: PTH123 - of a descriptor, which has its mode already
            file.write(key.to_pem())
        try:
            # Unlike a replacement this fails if somebody else has made one meanwhile.
            os.link(beside, path)
        except FileExistsError:
            return SigningKey.from_pem(path.read_bytes())
        except OSError:
            # Not every file system has links.
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written ({error.strerror}); --directory names another place") from None
    return key


async def _key(asked: Options) -> int:
    print(_signing_key(asked).public_pem)
    print(
        "This is the key of your sandbox, not Kick's. Let a receiver take it in tests, "
        "WebhookApp(events, keys=[THIS_TEXT]), and never where real events are handled.",
        file=sys.stderr,
    )
    return 0


def _public_keys(asked: Options) -> list[PublicKey]:
    """What `listen` takes: Kick's key and the sandbox's, or that of `--key`, which may be a public one."""
    if asked.key:
        try:
            pem = Path(asked.key).read_bytes()
        except OSError as error:
            raise ConfigError(f"{asked.key} cannot be read ({error.strerror})") from None
        if b"PUBLIC KEY" in pem:
            return [public_key(pem)]
    return [public_key(), _signing_key(asked).public_key]


# Receiving


async def _verify(asked: Options) -> int:
    marks = await graded(asked.to, _signing_key(asked), asked.within)
    width = max(len(mark.words) for mark in marks)
    for mark in marks:
        print(f"{'pass' if mark.is_good else 'FAIL'}  {mark.words:{width}}  {mark.answer}")
    passed = sum(mark.is_good for mark in marks)
    print(f"{passed} of {len(marks)} passed")
    if not marks[0].is_good:
        _hint(int(marks[0].answer[:3]) if marks[0].answer[:3].isdigit() else 0)
    return 0 if passed == len(marks) else 1


async def _listen(asked: Options) -> int:
    listener = Listener(_public_keys(asked), as_json=asked.json, count=asked.count)
    is_open = False
    try:
        async with serve_app(listener, asked.port) as url:
            is_open = True
            print(
                f"Listening at {url}/ until Ctrl-C. To send something: "
                f"kickcore event trigger chat.message.sent --to {url}/",
                file=sys.stderr,
                flush=True,
            )
            await listener.done.wait()
    except OSError as error:
        if is_open:
            raise
        raise ConfigError(f"port {asked.port} cannot be taken ({error.strerror}); choose one: --port") from None
    return 0


class _Action(NamedTuple):
    does: Callable[[Options], Awaitable[int]]
    says: str
    add_options: Callable[[argparse.ArgumentParser], None]


_ACTIONS: Final[Mapping[str, _Action]] = {
    "trigger": _Action(_trigger, "send an event to a receiver, signed as Kick signs, with your own key", _add_trigger),
    "retrigger": _Action(_retrigger, "send what was triggered before again, with the same id", _add_retrigger),
    "verify": _Action(_verify, "grade a receiver: what it takes, what it refuses, and how fast", _add_verify),
    "listen": _Action(_listen, "a receiver on this computer that prints what comes", _add_listen),
    "key": _Action(_key, "print the public key that a receiver has to take", _add_nothing),
}
