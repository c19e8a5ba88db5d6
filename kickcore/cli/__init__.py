"""The command line: a demonstration on a simulated Kick, and a user's own login on the real one."""

import argparse
import os
import sys
import warnings
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeAlias

import anyio

from kickcore import __version__
from kickcore.cli import account, demo, event, session
from kickcore.errors import (
    ForeignTokenFile,
    KickError,
    KickWarning,
    LoginRequired,
    ReauthorizationRequired,
    SessionError,
    TokenNotSaved,
    cleaned,
)

Command: TypeAlias = Callable[[argparse.Namespace], Awaitable[int]]

_COMMANDS: Final[dict[str, Command]] = {
    "demo": demo.run_demo,
    "event": event.run_event,
    "login": account.log_in,
    "whoami": account.who_am_i,
    "logout": account.log_out,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 for done, 1 for failed, 2 for a wrong call, 130 for interrupted."""
    parser = _parser()
    asked = parser.parse_args(arguments)
    if asked.command == "record":
        asked = session.to_record(asked, parser)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", KickWarning)
        code = _run(asked)
    for text in dict.fromkeys(str(warning.message) for warning in told):
        _tell(f"warning: {text}")
    # A token that is in memory only is gone with this process.
    lost = any(issubclass(warning.category, TokenNotSaved) for warning in told)
    return 1 if lost and code == 0 else code


def _run(asked: argparse.Namespace) -> int:
    try:
        if asked.command in session.COMMANDS:
            return session.COMMANDS[asked.command](asked)
        with session.telling_where(asked):
            return anyio.run(_COMMANDS[asked.command], asked, backend=asked.backend)
    except ReauthorizationRequired as error:
        _tell(str(error).replace("call authenticate(...) again", "run: kickcore login"))
    except LoginRequired:
        _tell("nobody is logged in here; run: kickcore login")
    except ForeignTokenFile as error:
        _tell(str(error).replace("(store=FileStore(...))", "(--directory, --account)"))
    except SessionError as error:
        _tell(session.with_options(str(error)))
    except KickError as error:
        _tell(str(error))
    except KeyboardInterrupt:
        _tell("interrupted")
        return 130
    except BrokenPipeError:
        # Whoever read our output has gone; what is still in the buffer must not raise again at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except LookupError as error:
        # What anyio raises for a backend that is not installed.
        _tell(f'{error}; pip install "kickcore[trio]"')
    return 1


def _tell(text: str) -> None:
    print(f"kickcore: {cleaned(text, 500)}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="kickcore", description="The Kick.com API from the command line.")
    parser.add_argument("--version", action="version", version=f"kickcore {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, told in (
        ("demo", "show everything on a simulated Kick: no account, no network"),
        ("login", "log in to Kick by the browser and keep the token"),
        ("whoami", "tell who is logged in"),
        ("logout", "revoke the token and forget it"),
    ):
        command = commands.add_parser(name, help=told, description=told)
        command.add_argument("--backend", choices=("asyncio", "trio"), default="asyncio", help="the event loop")
        if name != "demo":
            account.add_options(command, logging_in=name == "login")
    event.add_parser(commands)
    session.add_parsers(commands)
    return parser
