"""The command line: a demonstration on a simulated Kick, and a user's own login on the real one."""

import argparse
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeAlias

import anyio

from kickcore.cli import account, demo
from kickcore.errors import KickError, LoginRequired, cleaned

Command: TypeAlias = Callable[[argparse.Namespace], Awaitable[int]]

_COMMANDS: Final[dict[str, Command]] = {
    "demo": demo.run_demo,
    "login": account.log_in,
    "whoami": account.who_am_i,
    "logout": account.log_out,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 for done, 1 for failed, 2 for a wrong call, 130 for interrupted."""
    asked = _parser().parse_args(arguments)
    try:
        return anyio.run(_COMMANDS[asked.command], asked, backend=asked.backend)
    except LoginRequired:
        print("kickcore: nobody is logged in here; run: kickcore login", file=sys.stderr)
    except KickError as error:
        print(f"kickcore: {cleaned(str(error), 500)}", file=sys.stderr)
    except KeyboardInterrupt:
        print("kickcore: interrupted", file=sys.stderr)
        return 130
    except LookupError as error:
        # What anyio raises for a backend that is not installed.
        print(f'kickcore: {error}; pip install "kickcore[trio]"', file=sys.stderr)
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="kickcore", description="The Kick.com API from the command line.")
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
    return parser
