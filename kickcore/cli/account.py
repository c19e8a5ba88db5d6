"""`kickcore login`, `whoami` and `logout`: the token of one user, on the real Kick or any host you name."""

import argparse
import os
import sys
import time
from collections.abc import Awaitable, Callable

from interpreters.browser import Loopback, open_system_browser
from interpreters.daemon import in_daemon_thread
from interpreters.live import Browser
from interpreters.tokens.files import FileStore
from kickcore.cli import session
from kickcore.client import KickClient
from kickcore.errors import ConfigError, LoginError
from kickcore.oauth.login import DEFAULT_PORT, DEFAULT_TIMEOUT
from kickcore.oauth.scopes import Scope
from kickcore.oauth.tokens import API_URL, ID_URL
from kickcore.secret import Secret


def add_options(command: argparse.ArgumentParser, *, logging_in: bool) -> None:
    """The options that these commands share, and those of `login`."""
    command.add_argument("--client-id", default=os.environ.get("KICK_CLIENT_ID", ""), help="or KICK_CLIENT_ID")
    command.add_argument(
        "--client-secret",
        type=Secret,
        default=os.environ.get("KICK_CLIENT_SECRET", ""),
        help="or, better, KICK_CLIENT_SECRET",
    )
    command.add_argument("--account", default="", help="a name of yours, to keep several users apart")
    command.add_argument("--directory", default=".", help="where the token files are (default: here)")
    command.add_argument("--api-url", default=API_URL, help=argparse.SUPPRESS)
    command.add_argument("--id-url", default=ID_URL, help=argparse.SUPPRESS)
    if logging_in:
        command.add_argument(
            "--scope", action="append", metavar="SCOPE", help="a scope to ask for; may be repeated (default: user:read)"
        )
        command.add_argument("--port", type=int, default=DEFAULT_PORT, help=f"of the callback (default {DEFAULT_PORT})")
        command.add_argument("--redirect-uri", default=None, help="if it is not http://127.0.0.1:PORT/callback")
        command.add_argument("--timeout", type=float, default=DEFAULT_TIMEOUT, help="seconds to wait for the user")
        command.add_argument("--manual", action="store_true", help="open no browser: paste the final address here")


def _client(asked: argparse.Namespace, browser: Browser | None = None) -> KickClient:
    if not asked.client_id or not asked.client_secret:
        raise ConfigError(
            "no credentials; set KICK_CLIENT_ID and KICK_CLIENT_SECRET, or pass --client-id and --client-secret "
            "(Kick shows both in your account's settings, under Developer)"
        )
    client = KickClient(
        asked.client_id,
        asked.client_secret,
        api_url=asked.api_url,
        id_url=asked.id_url,
        store=FileStore(asked.directory),
        browser=browser,
    )
    return session.as_told(client.as_user(asked.account) if asked.account else client, asked)


async def log_in(asked: argparse.Namespace) -> int:
    """Log in and say who it is, if the scope `user:read` allows to ask."""

    async def open_url(url: str) -> bool:
        print(f"Agree in the browser; waiting for at most {asked.timeout:g} seconds.", file=sys.stderr)
        return await open_system_browser(url)

    async with _client(asked, Loopback(open_url, _show)) as client:
        scopes = asked.scope or [Scope.USER_READ]
        paste: Callable[[str], Awaitable[str]] | None = Prompt() if asked.manual else None
        login = await client.authenticate(
            scopes, port=asked.port, redirect_uri=asked.redirect_uri, timeout=asked.timeout, paste=paste
        )
        print(f"Logged in with {', '.join(login.granted) or 'no scope'}.")
        if Scope.USER_READ in login.granted:
            user = await client.fetch_user()
            print(f"You are {user.name} (user id {user.user_id}).")
    return 0


def _show(url: str) -> None:
    print(
        f"Open this address in a browser on this computer:\n\n    {url}\n\n"
        "Is the browser elsewhere? Then run: kickcore login --manual",
        file=sys.stderr,
        flush=True,
    )


class Prompt:
    """Asks for the address on standard input, as often as it takes."""

    def __init__(self) -> None:
        self._asked = False

    async def __call__(self, url: str) -> str:
        """The next line of standard input. Raises `LoginError` at its end."""
        if self._asked:
            print("That is not Kick's answer to this login. Paste the whole address:", file=sys.stderr)
        else:
            print(f"Open this address in a browser, anywhere:\n\n    {url}\n", file=sys.stderr)
            print("Then paste here the address at which the browser ends:", file=sys.stderr)
        self._asked = True
        line = await in_daemon_thread(sys.stdin.readline)
        if not line:
            raise LoginError("no address was given; run: kickcore login --manual")
        return line


async def who_am_i(asked: argparse.Namespace) -> int:
    """Tell whose token is held, what it may do and how long it lives."""
    async with _client(asked) as client:
        told = await client.introspect_token(use_user_token=True)
        if not told.active:
            print("Kick no longer takes the token that is held here; run: kickcore login", file=sys.stderr)
            return 1
        if Scope.USER_READ in told.scopes:
            user = await client.fetch_user()
            print(f"{user.name} (user id {user.user_id})")
        print(f"scopes: {', '.join(told.scopes) or 'none'}")
        held = client.user_token
        if held is not None and held.granted_at is not None:
            print(f"logged in: {_ago(held.granted_at)}; Kick ends a grant that is not used for about 30 days")
    return 0


def _ago(instant: float) -> str:
    days = int((time.time() - instant) / 86400)
    return "today" if days < 1 else f"{days} day{'s' if days > 1 else ''} ago"


async def log_out(asked: argparse.Namespace) -> int:
    """Revoke the token and forget it."""
    async with _client(asked) as client:
        if not await client.logout():
            print("kickcore: nobody is logged in here, so nothing was revoked", file=sys.stderr)
            return 1
        print("Logged out: the token was revoked and forgotten.")
    return 0
