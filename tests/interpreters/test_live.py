"""The live interpreter: one method per effect, and what accounts, closing and logins share."""

import secrets
import time
import warnings
from collections.abc import Awaitable, Callable
from typing import get_args

import anyio
import pytest

from interpreters.driver import run
from interpreters.live import Live
from interpreters.pace import Pacing
from interpreters.tokens.memory import MemoryStore
from interpreters.tokens.remembered import RememberedTokens
from kickcore.effects import (
    Consent,
    DropToken,
    Entropy,
    HoldBack,
    Leaf,
    LoadApp,
    LoadPace,
    LoadToken,
    Notify,
    Now,
    PayRetry,
    Program,
    SaveToken,
    Send,
    Sleep,
)
from kickcore.errors import ClientClosed, ClockWrong, KickWarning, LoginInProgress, TokenNotSaved
from kickcore.http import Request, Response, Sent, Unreachable
from kickcore.notices import ClockSkewed, DriftNoticed, Notice, Retrying
from kickcore.oauth.access import token_for
from kickcore.oauth.callback import Callback, Denied, Granted
from kickcore.oauth.tokens import App, NotSaved, Saved, Slot, Stored, Superseded, Token, TokenKind
from kickcore.policy import BUDGET, Pace
from kickcore.secret import Secret

APP = App("CID", Secret("app-secret"))
USER = APP.slot(TokenKind.USER)
TOKEN = Token(Secret("AT"), 2_000_000_000.0, 1_000_000_000.0, Secret("RT"))
CONSENT = Consent(
    Secret("https://id.kick.com/oauth/authorize"), "http://127.0.0.1:3000/callback", Secret("s"), "i", 5.0
)


class Wire:
    """A transport that answers from a list."""

    def __init__(self, *answers: Response | Unreachable) -> None:
        self.answers = list(answers)
        self.sent: list[Request] = []
        self.closed = 0

    async def send(self, request: Request) -> Response | Unreachable:
        self.sent.append(request)
        return self.answers.pop(0) if self.answers else Response(200)

    async def aclose(self) -> None:
        self.closed += 1


class FailingStore(MemoryStore):
    """Refuses to save while told so."""

    fails = True

    async def save(self, slot: Slot, token: Token, version: str) -> Saved | Superseded:
        if self.fails:
            raise OSError(28, "No space left on device")
        return await super().save(slot, token, version)


async def never(effect: Consent) -> Callback:
    raise AssertionError("no browser is needed")


def browser_that(
    wait: Callable[[], Awaitable[object]], end: Callback | None = None
) -> Callable[[Consent], Awaitable[Callback]]:
    async def browser(effect: Consent) -> Callback:
        assert effect == CONSENT
        _ = await wait()
        return end or Granted(Secret("code"))

    return browser


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def live(wire: Wire, store: MemoryStore) -> Live:
    return Live(APP, wire, RememberedTokens(store), browser=never)


# Effects


async def test_now_is_the_clock_of_this_machine_unless_another_is_given(live: Live, wire: Wire) -> None:
    before = time.time()
    now = await live(Now())
    assert isinstance(now, float)
    assert before <= now <= time.time()
    other = Live(APP, wire, live.tokens, browser=never, clock=lambda: 7.5)
    assert await other(Now()) == 7.5


async def test_entropy_is_that_of_the_system_unless_another_is_given(live: Live, wire: Wire) -> None:
    drawn = {await live(Entropy(32, "test")) for _ in range(10)}
    assert len(drawn) == 10
    assert {len(octets) for octets in drawn if isinstance(octets, bytes)} == {32}
    other = Live(APP, wire, live.tokens, browser=never, entropy=lambda size: b"x" * size)
    assert await other(Entropy(3, "test")) == b"xxx"


def test_entropy_is_cryptographic_by_default() -> None:
    defaults = Live.__init__.__kwdefaults__
    assert defaults is not None
    assert defaults["entropy"] is secrets.token_bytes


async def test_sleep_waits_on_the_event_loop(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(anyio, "sleep", sleep)
    assert await live(Sleep(1.5)) is None
    assert slept == [1.5]


async def test_sleep_can_be_cancelled(live: Live) -> None:
    with anyio.move_on_after(0.005) as scope:
        await live(Sleep(60))
    assert scope.cancelled_caught


async def test_send_goes_over_the_transport(live: Live, wire: Wire) -> None:
    dead = Unreachable("dead", Sent.NO)
    wire.answers = [Response(503), dead]
    request = Request("GET", "https://api.kick.com/x")
    assert await live(Send(request)) == Response(503)
    assert await live(Send(request)) == dead
    assert wire.sent == [request, request]


async def test_load_app_is_the_app_and_its_account(live: Live) -> None:
    assert await live(LoadApp()) == APP
    assert await live.acting_for("alice")(LoadApp()) == App("CID", Secret("app-secret"), account="alice")


async def test_tokens_are_loaded_saved_and_dropped(live: Live, store: MemoryStore) -> None:
    assert await live(LoadToken(USER)) is None
    saved = await live(SaveToken(USER, TOKEN, ""))
    assert isinstance(saved, Saved)
    assert await store.load(USER) == Stored(TOKEN, saved.version)
    assert await live(LoadToken(USER)) == Stored(TOKEN, saved.version)
    await store.drop(USER)
    assert await live(LoadToken(USER)) == Stored(TOKEN, saved.version)
    assert await live(LoadToken(USER, reread=True)) == Stored(TOKEN, "")
    _ = await live(SaveToken(USER, TOKEN, ""))
    assert await live(DropToken(USER)) is None
    assert await store.load(USER) is None


async def test_a_token_that_cannot_be_stored_is_an_answer(wire: Wire) -> None:
    live = Live(APP, wire, RememberedTokens(FailingStore()), browser=never)
    with pytest.warns(TokenNotSaved):
        answer = await live(SaveToken(USER, TOKEN, ""))
    assert isinstance(answer, NotSaved)


async def test_a_group_that_is_held_back_waits_and_others_do_not(live: Live) -> None:
    assert await live(LoadPace("GET /x")) == Pace()
    assert await live(HoldBack("GET /x", 2_000_000_000.0)) is None
    assert await live(LoadPace("GET /x")) == Pace(2_000_000_000.0)
    assert await live(LoadPace("GET /y")) == Pace()


async def test_the_budget_for_repeating_is_spent_and_refilled(live: Live) -> None:
    assert await live(PayRetry(BUDGET)) is True
    assert await live(LoadPace("GET /x")) == Pace(refill=True)
    assert await live(PayRetry(5.0)) is False
    assert await live(PayRetry(-5.0)) is True
    assert await live(PayRetry(5.0)) is True


async def test_pace_and_budget_can_be_given_and_are_shared_by_all_accounts(live: Live, wire: Wire) -> None:
    pacing = Pacing(lambda: 7.5)
    other = Live(APP, wire, live.tokens, browser=never, pacing=pacing)
    alice = other.acting_for("alice")
    _ = await alice(HoldBack("GET /x", 9.0))
    _ = await alice(PayRetry(5.0))
    assert pacing.load("GET /x") == await other(LoadPace("GET /x")) == Pace(9.0, refill=True)
    assert await live(LoadPace("GET /x")) == Pace()


async def test_notices_go_to_whoever_listens(live: Live, wire: Wire) -> None:
    told: list[Notice] = []
    notices = [Retrying("GET /x", "why", 1, 0.5), DriftNoticed("GET /x", "data[].new")]
    listening = Live(APP, wire, live.tokens, browser=never, on_notice=told.append)
    for notice in notices:
        assert await listening.acting_for("alice")(Notify(notice)) is None
        assert await live(Notify(notice)) is None
    assert told == notices


async def test_a_listener_that_raises_does_no_harm(live: Live, wire: Wire) -> None:
    def broken(notice: Notice) -> None:
        raise ZeroDivisionError("hush")

    listening = Live(APP, wire, live.tokens, browser=never, on_notice=broken)
    with pytest.warns(KickWarning, match=r"on_notice raised ZeroDivisionError; the call goes on"):
        await listening(Notify(Retrying("GET /x", "why", 1, 0.5)))


async def test_a_notice_that_matters_is_a_warning_once_for_all_accounts(live: Live) -> None:
    with pytest.warns(ClockWrong, match="420 seconds ahead"):
        await live(Notify(ClockSkewed(420.0)))
    await live.acting_for("alice")(Notify(ClockSkewed(420.0)))


async def test_every_effect_has_a_method_of_its_name(live: Live) -> None:
    for effect in get_args(Leaf):
        name = effect.__struct_config__.tag
        assert callable(getattr(live, name)), name


async def test_it_needs_no_event_loop_to_be_made() -> None:
    made = await anyio.to_thread.run_sync(lambda: Live(APP, Wire(), RememberedTokens(MemoryStore())))
    assert isinstance(await made(Now()), float)


async def test_a_program_is_run_against_it(wire: Wire, store: MemoryStore) -> None:
    wire.answers.append(Response(200, body=b'{"access_token":"AT","expires_in":3600}'))
    live = Live(APP, wire, RememberedTokens(store), browser=never)
    slot = APP.slot(TokenKind.APP)
    token = await run(token_for(slot), live, live)
    assert token.access_token == Secret("AT")
    assert await run(token_for(slot), live, live) == token
    assert len(wire.sent) == 1
    stored = await store.load(slot)
    assert stored is not None
    assert stored.token == token


# Accounts


async def test_another_account_shares_everything_but_its_name(live: Live, wire: Wire) -> None:
    alice = live.acting_for("alice")
    assert live.app.account == ""
    assert alice.tokens is live.tokens
    assert alice.browser is live.browser
    assert alice.turn(USER) is live.turn(USER)
    _ = await alice(Send(Request("GET", "https://api.kick.com/x")))
    assert len(wire.sent) == 1
    assert live.acting_for("bob").acting_for("alice").app == alice.app


async def test_another_browser_is_for_the_new_interpreter_alone(live: Live) -> None:
    alice = live.acting_for("alice")
    shown = alice.showing(browser_that(anyio.lowlevel.checkpoint))
    assert await shown(CONSENT) == Granted(Secret("code"))
    assert shown.app == alice.app
    assert alice.browser is never
    with pytest.raises(AssertionError, match="no browser"):
        _ = await alice(CONSENT)


# Logins


async def test_consent_is_what_the_browser_says(live: Live) -> None:
    denied = Denied("access_denied", "no")
    assert await live.showing(browser_that(anyio.lowlevel.checkpoint, denied))(CONSENT) == denied


@pytest.mark.parametrize("account", ["", "alice"])
async def test_a_second_login_of_an_account_is_refused_and_the_first_goes_on(live: Live, account: str) -> None:
    release = anyio.Event()
    ends: list[object] = []
    acting = live.acting_for(account).showing(browser_that(release.wait))

    async def log_in() -> None:
        ends.append(await acting(CONSENT))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(log_in)
        await anyio.wait_all_tasks_blocked()
        for second in (acting, live.acting_for(account), acting.showing(never)):
            with pytest.raises(LoginInProgress, match="goes on"):
                _ = await second(CONSENT)
        assert ends == []
        release.set()
    assert ends == [Granted(Secret("code"))]
    # And now it is somebody else's turn.
    assert await acting(CONSENT) == Granted(Secret("code"))


async def test_logins_of_different_accounts_do_not_disturb_each_other(live: Live) -> None:
    release = anyio.Event()
    waiting = live.showing(browser_that(release.wait))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(waiting.acting_for("alice"), CONSENT)
        await anyio.wait_all_tasks_blocked()
        for account in ("", "bob", "Alice"):
            other = live.acting_for(account).showing(browser_that(anyio.lowlevel.checkpoint))
            assert await other(CONSENT) == Granted(Secret("code"))
        release.set()


async def test_a_login_that_fails_or_is_cancelled_makes_room_for_the_next(live: Live) -> None:
    async def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        _ = await live.showing(browser_that(fail))(CONSENT)
    with anyio.CancelScope() as scope:

        async def cancel() -> None:
            scope.cancel()
            await anyio.sleep_forever()

        _ = await live.showing(browser_that(cancel))(CONSENT)
    assert scope.cancelled_caught
    assert await live.showing(browser_that(anyio.lowlevel.checkpoint))(CONSENT) == Granted(Secret("code"))


# Closing


async def test_after_closing_nothing_more_is_sent_by_it_or_by_what_shares_with_it(live: Live, wire: Wire) -> None:
    alice = live.acting_for("alice")
    assert not live.is_closed
    await alice.aclose()
    assert live.is_closed
    assert alice.is_closed
    for closed in (live, alice, live.acting_for("bob")):
        with pytest.raises(ClientClosed, match="closed"):
            _ = await closed(LoadApp())
        with pytest.raises(ClientClosed, match="closed"):
            _ = await closed(Send(Request("GET", "https://api.kick.com/x")))
    assert wire.sent == []
    assert wire.closed == 1
    # From another event loop there may be connections of its own.
    await live.aclose()
    assert wire.closed == 2


async def test_a_program_that_waits_while_it_is_closed_sends_nothing_afterwards(live: Live, wire: Wire) -> None:
    def patient() -> Program[object]:
        yield from Sleep(0.005)
        return (yield from Send(Request("GET", "https://api.kick.com/x")))

    ends: list[str] = []

    async def call() -> None:
        try:
            _ = await run(patient(), live, live)
        except ClientClosed:
            ends.append("ClientClosed")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(call)
        await anyio.lowlevel.checkpoint()
        await live.aclose()
    assert ends == ["ClientClosed"]
    assert wire.sent == []


async def test_closing_stores_what_could_not_be_stored_before(wire: Wire) -> None:
    store = FailingStore()
    live = Live(APP, wire, RememberedTokens(store), browser=never)
    with pytest.warns(TokenNotSaved):
        _ = await live(SaveToken(USER, TOKEN, ""))
    store.fails = False
    await live.aclose()
    stored = await store.load(USER)
    assert stored is not None
    assert stored.token == TOKEN
    assert wire.closed == 1


async def test_connections_are_closed_even_if_a_token_still_cannot_be_stored(wire: Wire) -> None:
    live = Live(APP, wire, RememberedTokens(FailingStore()), browser=never)
    live.tokens.put(USER, TOKEN, save=True)
    with pytest.warns(TokenNotSaved, match="No space left"):
        await live.aclose()
    assert wire.closed == 1


async def test_connections_are_closed_even_if_closing_is_cancelled(live: Live, wire: Wire) -> None:
    live.tokens.put(USER, TOKEN, save=True)
    with anyio.CancelScope() as scope, warnings.catch_warnings():
        scope.cancel()
        await live.aclose()
    assert wire.closed == 1
    assert live.is_closed
