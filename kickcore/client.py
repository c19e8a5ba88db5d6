"""The thin top: `KickClient`, whose methods are programs run by the live interpreter."""

import time
import warnings
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from inspect import Parameter, signature
from types import TracebackType
from typing import Any, Concatenate, Final, ParamSpec, Self, TypeVar, get_args

import httpx2

from interpreters.browser import Loopback, Pasted
from interpreters.driver import run
from interpreters.http.transport import HttpTransport
from interpreters.live import Browser, Live
from interpreters.tokens import TokenStore
from interpreters.tokens.files import FileStore
from interpreters.tokens.remembered import RememberedTokens
from kickcore.api import categories, channels, chat, introspection, livestreams, users
from kickcore.effects import Program
from kickcore.errors import ConfigError, ScopesNotGranted
from kickcore.oauth import login
from kickcore.oauth.grants import bearer
from kickcore.oauth.login import Login
from kickcore.oauth.scopes import parse_scope
from kickcore.oauth.tokens import (
    API_URL,
    ID_URL,
    App,
    Token,
    TokenKind,
    checked_account,
    checked_app,
    lifetime,
)
from kickcore.secret import Secret

T = TypeVar("T")
P = ParamSpec("P")


def flat(program: Callable[P, Program[T]]) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, T]]:
    """A program as a method of the client: same name, same parameters, its value awaited.

    The signature is written once, in the core; `help()` and editors show a method.
    """

    async def method(self: "KickClient", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.run(program(*args, **kwargs))

    written = signature(program)
    own = Parameter("self", Parameter.POSITIONAL_OR_KEYWORD)
    returned = get_args(signature(program, eval_str=True).return_annotation)[-1]
    shown = written.replace(parameters=[own, *written.parameters.values()], return_annotation=returned)
    method.__name__ = program.__name__
    method.__qualname__ = f"KickClient.{program.__name__}"
    method.__doc__ = program.__doc__
    setattr(method, "__signature__", shown)  # noqa: B010 - functions declare no such attribute
    return method


class KickClient:
    """The Kick API for one app, on asyncio or trio.

        client = KickClient("CLIENT_ID", "CLIENT_SECRET")
        user = await client.fetch_user(123)

    Make it anywhere, with or without a running event loop; close it with `await client.close()` or use `async with`.

    The app token is fetched on the first call that needs it and kept in `.kick.token.json`; a user token comes from
    `authenticate` or `set_user_token` and is kept in `.kick.user_token.json`. Both stand in the working directory of
    the moment in which the client is made, and both are renewed by themselves.

    * `store`: where tokens are kept instead: `FileStore(directory)`, `MemoryStore()`, or your own `TokenStore`.
    * `http`: your own `httpx2.AsyncClient` (for proxies, certificates, tests); it is not closed.
    * `api_url`, `id_url`: other hosts: https, or http on the loopback interface.
    * `browser`: another way to the user's browser; see the page on logging in.

    Raises `ConfigError` for what cannot be right. Every other error of kickcore is a `KickError`, too.
    """

    def __init__(
        self,
        client_id: str,
        client_secret: str | Secret,
        *,
        api_url: str = API_URL,
        id_url: str = ID_URL,
        store: TokenStore | None = None,
        http: httpx2.AsyncClient | None = None,
        browser: Browser | None = None,
    ) -> None:
        secret = client_secret if isinstance(client_secret, Secret) else Secret(_text("client_secret", client_secret))
        app = checked_app(App(_text("client_id", client_id), secret, api_url, id_url))
        tokens = RememberedTokens(FileStore() if store is None else store)
        self._live = Live(app, HttpTransport(http), tokens, browser=browser)

    # Users, channels, livestreams, categories
    fetch_user: Final = flat(users.fetch_user)
    fetch_users: Final = flat(users.fetch_users)
    fetch_channel: Final = flat(channels.fetch_channel)
    fetch_channels: Final = flat(channels.fetch_channels)
    update_channel: Final = flat(channels.update_channel)
    fetch_livestreams: Final = flat(livestreams.fetch_livestreams)
    fetch_user_livestreams: Final = flat(livestreams.fetch_user_livestreams)
    fetch_livestream_stats: Final = flat(livestreams.fetch_livestream_stats)
    fetch_categories: Final = flat(categories.fetch_categories)

    # Chat
    send_chat_message: Final = flat(chat.send_chat_message)
    delete_chat_message: Final = flat(chat.delete_chat_message)

    # Tokens
    introspect_token: Final = flat(introspection.introspect_token)
    logout: Final = flat(login.logout)

    async def authenticate(
        self,
        scopes: Iterable[str],
        port: int = login.DEFAULT_PORT,
        redirect_uri: str | None = None,
        timeout: float = login.DEFAULT_TIMEOUT,  # noqa: ASYNC109 - the deadline is part of the login, not of this call
        *,
        show_url: Callable[[str], None] | None = None,
        paste: Callable[[str], Awaitable[str]] | None = None,
    ) -> Login:
        """Log the user in by the browser, with PKCE, and keep the token for the account.

        Listens on `http://127.0.0.1:{port}/callback` first and opens the browser then. Your app's redirect URL must be
        exactly that, or `redirect_uri` if you give one. `timeout` is in seconds.

        If no browser can be opened, `show_url` is called with the address to open, or it is written to standard error.
        With `paste`, nothing is opened and nothing listens: `paste(url)` returns the address at which the user's
        browser ended, on whatever machine.

        The answer says what was granted; `ScopesNotGranted` warns if the user unticked something. Raises `ConfigError`
        (before anything happens), `LoginError` and `TokenError`; tokens held before then stay.
        """
        live = self._live
        if paste is not None:
            live = live.showing(Pasted(paste))
        elif show_url is not None:
            live = live.showing(Loopback(show_url=show_url))
        done = await run(login.authenticate(scopes, port, redirect_uri, timeout), live, live)
        if done.missing:
            text = f"the user did not grant {', '.join(done.missing)}; calls that need it are refused before sending"
            warnings.warn(text, ScopesNotGranted, stacklevel=2)
        return done

    def set_user_token(
        self,
        access_token: str | Secret,
        refresh_token: str | Secret | None = None,
        expires_in: float | None = None,
        scope: str | Iterable[str] | None = None,
        *,
        save: bool = False,
    ) -> None:
        """Use a user token that comes from elsewhere.

        `expires_in` is in seconds from now (300 if you do not say); with a `refresh_token` it is renewed when due.
        `scope` is what was granted, separated by spaces; without it nothing is refused beforehand.

        The token is held in memory only, and so are the tokens that it is renewed to: read them from `user_token`, or
        say `save=True` to have them kept in the client's store. Raises `ConfigError` for what is no token.
        """
        now = time.time()
        granted = parse_scope(scope) if isinstance(scope, str) else None if scope is None else tuple(map(str, scope))
        token = Token(
            _token("access_token", access_token),
            now + lifetime(expires_in),
            now,
            None if refresh_token is None else _token("refresh_token", refresh_token),
            granted,
        )
        self._live.tokens.put(self._live.app.slot(TokenKind.USER), token, save=save)

    @property
    def user_token(self) -> Token | None:
        """The account's user token in memory, as last renewed, or None. Its texts are `Secret`s."""
        return self._live.tokens.peek(self._live.app.slot(TokenKind.USER))

    @property
    def account(self) -> str:
        """The account that this client acts for: "" unless it was made by `as_user`."""
        return self._live.app.account

    def as_user(self, account: str) -> "KickClient":
        """This client acting for another account, with a user token of its own.

        `account` is a name of yours, such as "alice". Connections, the app token and closing are shared.
        """
        other = object.__new__(KickClient)
        other._live = self._live.acting_for(checked_account(account))
        return other

    async def run(self, program: Program[T]) -> T:
        """Run a program of yours: several calls as one flow. See the page on effects and programs."""
        return await run(program, self._live, self._live)

    async def close(self) -> None:
        """Let go of connections, and store what could not be stored before. Later calls raise `ClientClosed`."""
        await self._live.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        account = f", account={self.account!r}" if self.account else ""
        return f"<KickClient {self._live.app.client_id!r}{account}{', closed' if self._live.is_closed else ''}>"


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise ConfigError(f"{name} is a text, not {type(value).__name__}")
    return value


def _token(name: str, value: str | Secret) -> Secret:
    token = value if isinstance(value, Secret) else bearer(_text(name, value))
    if token is None or bearer(token.reveal()) is None:
        raise ConfigError(f"{name} is no token: it is empty, too long, or holds a blank or a character outside ASCII")
    return token
