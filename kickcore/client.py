"""The thin top: `KickClient`, whose methods are programs run by the live interpreter."""

import os
import time
import warnings
from collections.abc import Awaitable, Callable, Iterable, Mapping
from inspect import GEN_CREATED, getgeneratorstate, isgenerator
from traceback import clear_frames
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import httpx2

from interpreters.browser import Loopback, Pasted
from interpreters.driver import run
from interpreters.http.transport import HttpTransport
from interpreters.lifting import deprecated, flat, flowing
from interpreters.live import Browser, Live
from interpreters.pace import Pacing
from interpreters.sessions.lines import Session, load
from interpreters.sessions.modes import Mode, Take
from interpreters.sessions.playing import Order, Player
from interpreters.sessions.recording import Recording
from interpreters.tokens import TokenStore
from interpreters.tokens.files import FileStore
from interpreters.tokens.memory import MemoryStore
from interpreters.tokens.remembered import RememberedTokens
from kickcore.api import (
    ads,
    categories,
    channels,
    chat,
    drops,
    events,
    introspection,
    kicks,
    livestreams,
    moderation,
    public_key,
    rewards,
    users,
)
from kickcore.api import deprecated as v1
from kickcore.effects import Program
from kickcore.errors import ConfigError, ScopesNotGranted
from kickcore.notices import Notice
from kickcore.oauth import access, login
from kickcore.oauth.grants import bearer
from kickcore.oauth.login import Login
from kickcore.oauth.scopes import checked_scopes, parse_scope
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
from kickcore.policy import Policy
from kickcore.secret import Secret

T = TypeVar("T")


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
    * `policy`: how often calls are repeated, how long they wait, and what to do about news in Kick's answers.
    * `on_notice`: called with a `Notice` when a call is repeated, when a token could not be renewed ahead of its end,
      when a grant grows old, when clocks differ, or (if the policy asks) when Kick's answers hold something new.

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
        policy: Policy | None = None,
        on_notice: Callable[[Notice], None] | None = None,
    ) -> None:
        secret, given = _secret(client_secret), type(client_secret).__name__
        # A traceback may show local variables.
        del client_secret
        if secret is None:
            raise ConfigError(f"client_secret is a text, not {given}")
        _check_parts(store, http, browser, on_notice)
        app = checked_app(
            App(_text("client_id", client_id), secret, api_url, id_url, policy=Policy() if policy is None else policy)
        )
        tokens = RememberedTokens(FileStore() if store is None else store)
        pacing = Pacing(time.time)
        transport = HttpTransport(http, pacing.gate)
        self._live = Live(app, transport, tokens, browser=browser, pacing=pacing, on_notice=on_notice)
        self._session: Recording | Player | Take | None = None
        self._on_notice = on_notice

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
    livestreams: Final = flowing(livestreams.fetch_livestreams, "livestreams")
    categories: Final = flowing(categories.fetch_categories, "categories")

    # Chat, moderation
    send_chat_message: Final = flat(chat.send_chat_message)
    delete_chat_message: Final = flat(chat.delete_chat_message)
    ban_user: Final = flat(moderation.ban_user)
    timeout_user: Final = flat(moderation.timeout_user)
    unban_user: Final = flat(moderation.unban_user)

    # Channel rewards, KICKs, ads
    fetch_channel_rewards: Final = flat(rewards.fetch_channel_rewards)
    create_channel_reward: Final = flat(rewards.create_channel_reward)
    update_channel_reward: Final = flat(rewards.update_channel_reward)
    delete_channel_reward: Final = flat(rewards.delete_channel_reward)
    fetch_reward_redemptions: Final = flat(rewards.fetch_reward_redemptions)
    reward_redemptions: Final = flowing(rewards.fetch_reward_redemptions, "reward_redemptions")
    accept_reward_redemptions: Final = flat(rewards.accept_reward_redemptions)
    reject_reward_redemptions: Final = flat(rewards.reject_reward_redemptions)
    fetch_kicks_leaderboard: Final = flat(kicks.fetch_kicks_leaderboard)
    fetch_ad_break_status: Final = flat(ads.fetch_ad_break_status)
    create_ad_break: Final = flat(ads.create_ad_break)
    enroll_in_ads: Final = flat(ads.enroll_in_ads)

    # Events, drops
    fetch_events_subscriptions: Final = flat(events.fetch_events_subscriptions)
    subscribe_to_events: Final = flat(events.subscribe_to_events)
    subscribe_to_event: Final = flat(events.subscribe_to_event)
    unsubscribe_from_events: Final = flat(events.unsubscribe_from_events)
    unsubscribe_from_event: Final = flat(events.unsubscribe_from_event)
    fetch_public_key: Final = flat(public_key.fetch_public_key)
    fetch_drops_claims: Final = flat(drops.fetch_drops_claims)
    drops_claims: Final = flowing(drops.fetch_drops_claims, "drops_claims")
    update_drops_claims: Final = flat(drops.update_drops_claims)

    # Tokens
    introspect_token: Final = flat(introspection.introspect_token)
    logout: Final = flat(login.logout)
    keep_alive: Final = flat(access.keep_alive)

    # What Kick has deprecated, for what only it gives
    fetch_livestream: Final = deprecated(v1.fetch_livestream, v1.REPLACEMENTS)
    fetch_livestreams_v1: Final = deprecated(v1.fetch_livestreams_v1, v1.REPLACEMENTS)
    search_categories_v1: Final = deprecated(v1.search_categories_v1, v1.REPLACEMENTS)
    fetch_category: Final = deprecated(v1.fetch_category, v1.REPLACEMENTS)
    introspect_token_v1: Final = deprecated(v1.introspect_token_v1, v1.REPLACEMENTS)

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
            own = live.browser
            live = live.showing(own.telling(show_url) if isinstance(own, Loopback) else Loopback(show_url=show_url))
        try:
            done = await self._drive(login.authenticate(scopes, port, redirect_uri, timeout), live)
        except Exception as error:
            # Whoever keeps the error shall not keep the state and the verifier of a login that is over.
            clear_frames(error.__traceback__)
            raise
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
        access = _token(access_token)
        refresh = None if refresh_token is None else _token(refresh_token)
        # A traceback may show local variables.
        del access_token, refresh_token
        if isinstance(access, str):
            raise ConfigError(f"access_token {access}")
        if isinstance(refresh, str):
            raise ConfigError(f"refresh_token {refresh}")
        now = time.time()
        granted = None
        if scope is not None:
            granted = parse_scope(scope) if isinstance(scope, str) else checked_scopes(scope, known_only=False)
        token = Token(access, now + lifetime(expires_in), now, refresh, granted)
        self._live.tokens.put(self._live.app.slot(TokenKind.USER), token, save=save)

    @property
    def user_token(self) -> Token | None:
        """The account's user token in memory, as last renewed, or None. Its texts are `Secret`s."""
        slot = self._live.app.slot(TokenKind.USER)
        player = self._session.player if isinstance(self._session, Take) else self._session
        if isinstance(player, Player):
            return player.tokens.get(slot)
        return self._live.tokens.peek(slot)

    @property
    def account(self) -> str:
        """The account that this client acts for: "" unless it was made by `as_user`."""
        return self._live.app.account

    def as_user(self, account: str) -> "KickClient":
        """This client acting for another account, with a user token of its own.

        `account` is a name of yours, such as "alice". Connections, the app token and closing are shared.
        """
        return self._varied(self._live.acting_for(checked_account(account)), self._session)

    def _varied(self, live: Live, session: "Recording | Player | Take | None") -> "KickClient":
        other = object.__new__(KickClient)
        other._live = live
        other._session = session
        other._on_notice = self._on_notice
        return other

    async def run(self, program: Program[T], *, label: str | None = None) -> T:
        """Run a program of yours: several calls as one flow. See the page on effects and programs.

        `label` names it in a recording and in a replay; without one, its name and arguments do.

        Raises `ConfigError` for what is no program, or one that was run before.
        """
        if not isgenerator(program) or getgeneratorstate(program) != GEN_CREATED:
            raise ConfigError("run takes a program that was not run before: client.run(fetch_user(123))")
        return await self._drive(program, self._live, label)

    async def _drive(self, program: Program[T], live: Live, label: str | None = None) -> T:
        session = self._session
        if session is None:
            return await run(program, live, live)
        if isinstance(session, Player):
            return await session.run(program, label=label, account=live.app.account)
        return await session.run(program, live, label=label, account=live.app.account)

    def recording(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        secret_texts: Iterable[str | Secret] = (),
        allow: Iterable[str] = (),
    ) -> "KickClient":
        """This client, and everything that it does is recorded to `path`: `async with client.recording("a.jsonl")`.

        The session is written when the client is closed (and kept in memory only without a path; `session` has it). It
        holds what was asked and answered, time, chance, tokens by name, and no secret: those that kickcore cannot know
        of are given as `secret_texts`. `allow` names members of answers that look like secrets and are public.

        Raises `SessionError` where nothing can be written, and on closing `LeakSuspected` if the session would hold
        what looks like a secret; nothing is written then.
        """
        if self._session is not None:
            raise ConfigError("this client has a session already; record with the client that it was made of")
        return self._varied(self._live, Recording(path, secret_texts=secret_texts, allow=allow))

    @classmethod
    def replaying(
        cls,
        session: "str | os.PathLike[str] | Session",
        *,
        order: "Order | str" = "recorded",
        speed: float | None = None,
        patience: float = 10.0,
        on_notice: Callable[[Notice], None] | None = None,
    ) -> "KickClient":
        """A client whose every answer comes from a recorded session: no network, no files, no waiting.

        Make the same calls as when it was recorded. `order="program"` hands out the answers of each call by itself, for
        calls that share nothing; `speed=1.0` lets time pass as it was recorded. Where calls run at once, `patience` is
        how many seconds of the event loop's clock the next one is waited for.

        A call that asks for something else raises `ReplayDivergence`, and so does closing before everything was asked
        for. Raises `SessionError` for what is no session, or one that was not closed.
        """
        loaded = session if isinstance(session, Session) else load(session)
        player = Player(loaded, order=order, speed=speed, patience=patience, on_notice=on_notice)
        client = cls("replay", "replay", store=MemoryStore())
        client._live.app = player.app
        return client._varied(client._live, player)

    def with_session(
        self,
        session: "str | os.PathLike[str] | Take",
        mode: "Mode | str | None" = None,
        *,
        order: "Order | str" = "recorded",
        bind: Mapping[str, str | Secret] | None = None,
        secret_texts: Iterable[str | Secret] = (),
        allow: Iterable[str] = (),
    ) -> "KickClient":
        """This client with a session file, for tests: it replays the file, unless `KICK_RECORD` says otherwise.

            async with KickClient("CLIENT_ID", "CLIENT_SECRET").with_session("tests/sessions/hello.jsonl") as client:
                user = await client.fetch_user(123)

        `mode` (or else `KICK_RECORD`) is one of: `replay`; `record`, if there is no file yet; `rerecord`, which
        replaces the file if the block ends well and else puts the new one aside as `.rejected`; `extend`, which goes on
        live where the file ends; `verify`, which is live and compares the shapes of answers with the file; `off`. Where
        `CI` is set, all but `verify` is a replay.

        A replay asks for no network, no browser and no store. `order` is that of its answers, `bind` gives real texts
        for aliases where it goes on live, `secret_texts` and `allow` are those of `recording`. A `Take` that was begun
        elsewhere is taken as it is.

        Raises `SessionError` if there is no file and nothing is to be recorded, and `ConfigError` for what is no mode.
        On closing also `ReplayDivergence`, `LeakSuspected` and `AnswersChanged`.
        """
        if self._session is not None:
            raise ConfigError("this client has a session already; give one to the client that it was made of")
        if not isinstance(session, Take):
            options: dict[str, Any] = {"order": order, "bind": bind, "secret_texts": secret_texts, "allow": allow}
            session = Take(session, mode, on_notice=self._on_notice, **options)
            if session.mode is Mode.OFF:
                return self._varied(self._live, None)
        live = self._live
        if not session.may_need_kick:
            app = live.app
            # Nothing that a replay is given may come to be stored.
            other = KickClient(app.client_id, app.client_secret, store=MemoryStore())
            live = other._live.acting_for(app.account)
        return self._varied(live, session)

    @property
    def session(self) -> "Session | None":
        """What was recorded so far, or what is replayed; None for a client that does neither."""
        return None if self._session is None else self._session.session

    async def close(self) -> None:
        """Let go of connections, and store what could not be stored before. Later calls raise `ClientClosed`.

        Waits for a renewal that is under way. Tokens that the store has are let go of; `user_token` still gives what
        is held in memory only. A recording is written; a replay that was not asked for everything raises
        `ReplayDivergence`.
        """
        try:
            await self._live.aclose()
        finally:
            if isinstance(self._session, Recording):
                _ = self._session.close()
        if isinstance(self._session, Player):
            self._session.finish()
        if isinstance(self._session, Take) and self._session.closes_with_client:
            _ = self._session.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and isinstance(self._session, Player):
            # What went wrong says more than that the rest of the session was not asked for.
            await self._live.aclose()
        elif error is not None and isinstance(self._session, Take):
            await self._fail(self._session, error)
        else:
            await self.close()

    async def _fail(self, take: Take, error: BaseException) -> None:
        """Close after an exception: nothing that was recorded takes the place of what was there."""
        try:
            await self._live.aclose()
        finally:
            kept = take.close(failed=True) if take.closes_with_client else ""
            if kept:
                error.add_note(kept)

    def __repr__(self) -> str:
        account = f", account={self.account!r}" if self.account else ""
        return f"<KickClient {self._live.app.client_id!r}{account}{', closed' if self._live.is_closed else ''}>"


def _check_parts(store: object, http: object, browser: object, on_notice: object) -> None:
    """What is put together here is used much later, and by then nobody would know where it came from."""
    if store is not None and not all(hasattr(store, name) for name in ("load", "save", "drop", "hold")):
        raise ConfigError(f"store is a TokenStore such as FileStore(directory), not {type(store).__name__}")
    if http is not None and not isinstance(http, httpx2.AsyncClient):
        raise ConfigError(f"http is an httpx2.AsyncClient, not {type(http).__name__}")
    if browser is not None and not callable(browser):
        raise ConfigError(f"browser is a function that takes a Consent, not {type(browser).__name__}")
    if on_notice is not None and not callable(on_notice):
        raise ConfigError(f"on_notice is a function that takes a Notice, not {type(on_notice).__name__}")


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise ConfigError(f"{name} is a text, not {type(value).__name__}")
    return value


def _secret(value: object) -> Secret | None:
    return value if isinstance(value, Secret) else Secret(value) if isinstance(value, str) else None


def _token(value: object) -> Secret | str:
    """A token, or what is wrong with it. It raises nothing: the traceback would hold the value."""
    secret = _secret(value)
    if secret is None:
        return f"is a text, not {type(value).__name__}"
    is_token = bearer(secret.reveal()) is not None
    return secret if is_token else "is no token: it is empty, too long, or holds a blank or a character outside ASCII"
