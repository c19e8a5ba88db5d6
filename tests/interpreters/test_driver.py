"""The driver: who is answered, what surfaces where, and what a cancellation can and cannot part."""

import asyncio
import gc
import traceback
import warnings
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from msgspec.structs import replace

from interpreters import driver
from interpreters.driver import run, run_sync
from interpreters.tokens.memory import MemoryStore
from interpreters.tokens.remembered import RememberedTokens
from kickcore.effects import (
    DropToken,
    Entropy,
    Exclusive,
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
from kickcore.errors import InvalidClient, KickError, NetworkError, RenewalStalled, TokenLockTimeout
from kickcore.http import Response, Sent, Unreachable
from kickcore.notices import RenewalFailed
from kickcore.oauth.access import token_for
from kickcore.oauth.actions import LogOut, RefreshToken
from kickcore.oauth.tokens import App, Attempt, Outcome, Stored, Token, TokenKind
from kickcore.policy import Pace
from kickcore.secret import Secret

NOW = 1_800_000_000.0
APP = App("CID", Secret("app-secret"))
SLOT = APP.slot(TokenKind.USER)
EXPIRED = Token(Secret("AT0"), NOW - 10, NOW - 7200, Secret("RT0"), ("user:read",))


def granted(number: int) -> Response:
    text = f'{{"access_token":"AT{number}","refresh_token":"RT{number}","expires_in":7200,"token_type":"Bearer"}}'
    return Response(200, body=text.encode())


class World:
    """An in-memory interpreter whose token endpoint spends every refresh token once."""

    def __init__(self, held: Token | None = EXPIRED) -> None:
        self.tokens = RememberedTokens(MemoryStore(), ticks=lambda: 0.0)
        if held is not None:
            self.tokens.put(SLOT, held, save=True)
        self.asked: list[str] = []
        self.log: list[Leaf] = []
        self.before_answer: Callable[[], Awaitable[object]] = checkpoint
        self.answers: list[Response | Unreachable] = []

    async def __call__(self, effect: Leaf) -> object:  # noqa: C901 - one case for each effect
        self.log.append(effect)
        match effect:
            case Now():
                return NOW
            case LoadApp():
                return APP
            case LoadToken():
                return await self.tokens.load(effect.slot, reread=effect.reread)
            case SaveToken():
                return await self.tokens.save(effect.slot, effect.token, effect.version)
            case DropToken():
                return await self.tokens.drop(effect.slot)
            case Send():
                return await self.token_endpoint(effect)
            case LoadPace():
                return Pace()
            case PayRetry():
                return True
            case Entropy(size):
                return bytes(size)
            case Sleep() | HoldBack() | Notify():
                return None
            case _:
                raise AssertionError(f"nobody asked for {effect}")

    async def token_endpoint(self, effect: Send) -> Response | Unreachable:
        refresh = next(value for name, value in effect.request.form if name == "refresh_token")
        assert isinstance(refresh, Secret)
        self.asked.append(refresh.reveal())
        await self.before_answer()
        if self.answers:
            return self.answers.pop(0)
        if self.asked.count(refresh.reveal()) > 1:
            return Response(400, body=b'{"error":"invalid_grant"}')
        return granted(len(self.asked))

    def turn(self, slot: Any) -> Any:
        return self.tokens.turn(slot)

    def hold(self, slot: Any) -> Any:
        return self.tokens.hold(slot)

    async def token(self) -> Token:
        return await run(token_for(SLOT), self, self)

    def held(self) -> Token | None:
        return self.tokens.peek(SLOT)


class Lost(Exception):
    """What a handler raises in these tests. Can be referred to weakly."""


async def no_handler(effect: Leaf) -> object:
    raise AssertionError(f"nobody asked for {effect}")


async def forty_two(effect: Leaf) -> object:
    return 42.0


# What goes in and what comes out


async def test_answers_are_sent_in_and_the_value_comes_out() -> None:
    async def count(effect: Leaf) -> object:
        assert isinstance(effect, Entropy)
        return bytes(effect.size)

    def sizes() -> Program[list[bytes]]:
        answers: list[bytes] = []
        for size in (1, 3, 2):
            answer = yield from Entropy(size, "test")
            answers.append(answer)
        return answers

    assert await run(sizes(), count, World()) == [b"\0", b"\0\0\0", b"\0\0"]


async def test_a_program_that_asks_nothing_returns_its_value() -> None:
    def still() -> Program[str]:
        yield from ()
        return "value"

    assert await run(still(), no_handler, World()) == "value"


async def test_an_exception_of_the_handler_surfaces_at_the_line_that_asked() -> None:
    async def lost_handler(effect: Leaf) -> object:
        raise Lost("the wire")

    def inner_program() -> Program[float]:
        return (yield from Now())

    def outer_program() -> Program[float]:
        return (yield from inner_program())

    with pytest.raises(Lost) as caught:
        await run(outer_program(), lost_handler, World())
    functions = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert [name for name in functions if name in {"outer_program", "inner_program", "lost_handler"}] == [
        "outer_program",
        "inner_program",
        "lost_handler",
    ]
    line = next(f.line for f in traceback.extract_tb(caught.value.__traceback__) if f.name == "inner_program")
    assert line == "return (yield from Now())"
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None


async def test_a_program_may_catch_what_the_handler_raised_and_go_on() -> None:
    async def every_second_fails(effect: Leaf) -> object:
        if isinstance(effect, Now):
            raise Lost("once")
        return b"4"

    def stubborn() -> Program[tuple[bytes, BaseException | None]]:
        try:
            _ = yield from Now()
        except Lost as error:
            lost: Lost | None = error
        else:
            lost = None
        answer = yield from Entropy(1, "test")
        return answer, lost and lost.__context__

    assert await run(stubborn(), every_second_fails, World()) == (b"4", None)


async def test_what_a_program_raises_for_a_reason_keeps_that_reason() -> None:
    async def lost(effect: Leaf) -> object:
        raise Lost("reason")

    def translated() -> Program[float]:
        try:
            return (yield from Now())
        except Lost as error:
            raise ValueError("translated") from error

    with pytest.raises(ValueError, match="translated") as caught:
        await run(translated(), lost, World())
    assert isinstance(caught.value.__cause__, Lost)


async def test_a_second_failure_does_not_gain_the_first_as_its_context() -> None:
    failures = iter([Lost("first"), Lost("second")])

    async def failing(effect: Leaf) -> object:
        raise next(failures)

    def forgiving() -> Program[float]:
        try:
            return (yield from Now())
        except Lost:
            pass
        return (yield from Now())

    with pytest.raises(Lost, match="second") as caught:
        await run(forgiving(), failing, World())
    assert caught.value.__context__ is None


@pytest.mark.parametrize("late", [False, True], ids=["when called", "when awaited"])
async def test_a_stop_iteration_of_the_handler_does_not_end_the_program_silently(late: bool) -> None:
    class Stopping:
        def __await__(self) -> Any:
            raise StopIteration("stolen")
            yield

    def stopping(effect: Leaf) -> Any:
        if late:
            return Stopping()
        raise StopIteration("stolen")

    def plain() -> Program[str]:
        _ = yield from Now()
        return "end"

    with pytest.raises(RuntimeError):
        await run(plain(), stopping, World())


def test_a_stop_iteration_does_not_end_a_program_silently_without_a_loop() -> None:
    def stopping(effect: Leaf) -> object:
        raise StopIteration("stolen")

    def plain() -> Program[str]:
        _ = yield from Now()
        return "end"

    with pytest.raises(RuntimeError):
        run_sync(plain(), stopping)


async def test_an_error_leaves_no_reference_cycle() -> None:
    async def lost(effect: Leaf) -> object:
        raise Lost("to be freed")

    def plain() -> Program[float]:
        return (yield from Now())

    async def fail() -> weakref.ref[Lost]:
        try:
            await run(plain(), lost, World())
        except Lost as error:
            return weakref.ref(error)
        raise AssertionError

    gc.collect()
    gc.disable()
    try:
        assert (await fail())() is None
    finally:
        gc.enable()


async def test_an_error_behind_the_shield_leaves_no_reference_cycle() -> None:
    class Failing(World):
        async def token_endpoint(self, effect: Send) -> Response | Unreachable:
            raise Lost("to be freed")

    world = Failing()

    async def fail() -> weakref.ref[Lost]:
        try:
            await world.token()
        except Lost as error:
            return weakref.ref(error)
        raise AssertionError

    gc.collect()
    gc.disable()
    try:
        gone = await fail()
        # The event loop itself lets go of a task's last result on its next turn.
        await checkpoint()
        assert gone() is None
    finally:
        gc.enable()


def test_an_error_leaves_no_reference_cycle_without_a_loop() -> None:
    def lost(effect: Leaf) -> object:
        raise Lost("to be freed")

    def plain() -> Program[float]:
        return (yield from Now())

    def fail() -> weakref.ref[Lost]:
        try:
            run_sync(plain(), lost)
        except Lost as error:
            return weakref.ref(error)
        raise AssertionError

    gc.collect()
    gc.disable()
    try:
        assert fail()() is None
    finally:
        gc.enable()


# Cancellation


async def test_every_run_is_a_checkpoint_even_when_memory_answers_all() -> None:
    world = World(Token(Secret("AT"), NOW + 7200, NOW, Secret("RT")))
    others = 0

    async def other() -> None:
        nonlocal others
        while True:
            await checkpoint()
            others += 1

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(other)
        for _ in range(50):
            _ = await world.token()
        tasks.cancel_scope.cancel()
    assert others >= 25


async def test_every_run_is_a_cancel_point_even_when_memory_answers_all() -> None:
    began = False

    def program() -> Program[float]:
        nonlocal began
        began = True
        return (yield from Now())

    with anyio.CancelScope() as scope:
        scope.cancel()
        await run(program(), forty_two, World())
        raise AssertionError("it was cancelled before")
    assert scope.cancelled_caught
    assert not began


async def test_cancellation_closes_the_program_and_passes_by() -> None:
    seen: list[str] = []

    async def for_ever(effect: Leaf) -> object:
        await anyio.sleep_forever()

    def program() -> Program[None]:
        try:
            _ = yield from Now()
        except Exception:  # noqa: BLE001 - the point of the test
            seen.append("except")
        finally:
            seen.append("finally")

    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run, program(), for_ever, World())
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
        scope.cancel()
    assert seen == ["finally"]


async def test_the_program_is_closed_when_the_cancellation_arrives_not_at_garbage_collection() -> None:
    open_programs: list[Program[None]] = []
    closed = False

    async def for_ever(effect: Leaf) -> object:
        await anyio.sleep_forever()

    def program() -> Program[None]:
        nonlocal closed
        try:
            _ = yield from Now()
        finally:
            closed = True

    open_programs.append(program())
    with anyio.move_on_after(0):
        await run(open_programs[0], for_ever, World())
    assert not closed  # cancelled at the first checkpoint, before anything began
    open_programs.append(program())
    with anyio.CancelScope() as scope:

        async def cancelled(effect: Leaf) -> object:
            scope.cancel()
            await anyio.sleep_forever()

        await run(open_programs[1], cancelled, World())
    assert closed


async def test_a_keyboard_interrupt_is_not_thrown_into_the_program() -> None:
    seen: list[str] = []

    async def interrupted(effect: Leaf) -> object:
        raise KeyboardInterrupt

    def program() -> Program[None]:
        try:
            _ = yield from Now()
        except BaseException as error:
            seen.append(type(error).__name__)
            raise

    try:
        await run(program(), interrupted, World())
    except KeyboardInterrupt:
        seen.append("passed by")
    assert seen == ["GeneratorExit", "passed by"]


# Exclusive


async def test_one_of_many_callers_renews_and_all_succeed() -> None:
    world = World()
    got: list[Token] = []

    async def call() -> None:
        got.append(await world.token())

    async with anyio.create_task_group() as tasks:
        for _ in range(10_000):
            tasks.start_soon(call)
    assert world.asked == ["RT0"]
    assert len(got) == 10_000
    assert {token.access_token for token in got} == {Secret("AT1")}


async def test_when_half_of_many_callers_are_cancelled_the_others_share_one_renewal() -> None:
    world = World()
    got: list[Token] = []
    scopes: list[anyio.CancelScope] = []
    asked = anyio.Event()
    release = anyio.Event()

    async def slow() -> None:
        asked.set()
        await release.wait()

    async def call(scope: anyio.CancelScope) -> None:
        with scope:
            got.append(await world.token())

    world.before_answer = slow
    async with anyio.create_task_group() as tasks:
        for _ in range(10_000):
            scopes.append(anyio.CancelScope())
            tasks.start_soon(call, scopes[-1])
        await asked.wait()
        await anyio.wait_all_tasks_blocked()
        # Among them is the one whose renewal is under way.
        for scope in scopes[::2]:
            scope.cancel()
        await anyio.wait_all_tasks_blocked()
        for scope in scopes[1::4]:
            scope.cancel()
        release.set()
    assert world.asked == ["RT0"]
    assert len(got) == 2_500
    assert {token.access_token for token in got} == {Secret("AT1")}


async def test_waiting_for_a_turn_can_be_cancelled() -> None:
    world = World()
    release = anyio.Event()
    world.before_answer = release.wait
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(world.token)
        await anyio.wait_all_tasks_blocked()
        with anyio.CancelScope() as waiting:
            async with anyio.create_task_group() as others:
                others.start_soon(world.token)
                await anyio.wait_all_tasks_blocked()
                waiting.cancel()
        assert waiting.cancelled_caught
        assert world.asked == ["RT0"]
        release.set()
    held = world.held()
    assert held is not None
    assert held.refresh_token == Secret("RT1")


async def test_waiting_for_other_processes_can_be_cancelled_and_the_next_in_line_goes_on() -> None:
    world = World()
    held_elsewhere = True

    @asynccontextmanager
    async def hold(slot: Any) -> AsyncGenerator[None]:
        if held_elsewhere:
            await anyio.sleep_forever()
        yield

    world.hold = hold
    first = anyio.CancelScope()

    async def wait() -> None:
        with first:
            await world.token()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(world.token)
        await anyio.wait_all_tasks_blocked()
        held_elsewhere = False
        first.cancel()
    assert first.cancelled_caught
    assert world.asked == ["RT0"]
    token = await world.token()
    assert token.access_token == Secret("AT1")


async def test_cancelling_the_caller_does_not_part_sent_from_saved() -> None:
    world = World()
    came_through: list[str] = []

    async def cancelling() -> None:
        scope.cancel()
        for _ in range(5):
            await checkpoint()

    world.before_answer = cancelling
    with anyio.CancelScope() as scope:
        _ = await world.token()
        came_through.append("as if nothing had happened")
    assert scope.cancelled_caught
    assert came_through == []
    stored = await world.tokens.store.load(SLOT)
    assert stored is not None
    assert stored.token.refresh_token == Secret("RT1")
    assert world.held() == stored.token
    assert (await world.token()).access_token == Secret("AT1")
    assert world.asked == ["RT0"]


@pytest.mark.parametrize("times", [1, 2, 3])
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_cancelling_by_asyncio_itself_does_not_part_sent_from_saved_either(times: int) -> None:
    world = World()
    asked = asyncio.Event()
    release = asyncio.Event()

    async def slow() -> None:
        asked.set()
        await release.wait()

    world.before_answer = slow
    caller = asyncio.create_task(world.token())
    await asked.wait()
    for _ in range(times):
        caller.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert not caller.done()
    release.set()
    with pytest.raises(asyncio.CancelledError):
        await caller
    stored = await world.tokens.store.load(SLOT)
    assert stored is not None
    assert stored.token.refresh_token == Secret("RT1")
    assert (await world.token()).access_token == Secret("AT1")
    assert world.asked == ["RT0"]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_deadline_of_asyncio_lets_the_renewal_end_and_is_still_felt() -> None:
    world = World()

    async def slow() -> None:
        # Not before, however busy the machine is.
        deadline.reschedule(asyncio.get_running_loop().time())
        await asyncio.sleep(0.02)

    world.before_answer = slow
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(None) as deadline:
            _ = await world.token()
    held = world.held()
    assert held is not None
    assert held.refresh_token == Secret("RT1")


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_an_error_of_a_renewal_whose_caller_is_gone_is_not_reported_as_lost() -> None:
    # pytest would turn "Task exception was never retrieved" into a failure.
    complaints: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: complaints.append(context))
    world = World()
    asked = asyncio.Event()
    release = asyncio.Event()

    async def failing() -> None:
        asked.set()
        await release.wait()
        raise Lost("after the caller left")

    world.before_answer = failing
    caller = asyncio.create_task(world.token())
    await asked.wait()
    caller.cancel()
    await asyncio.sleep(0)
    release.set()
    with pytest.raises(asyncio.CancelledError):
        await caller
    del caller
    gc.collect()
    await asyncio.sleep(0)
    assert complaints == []


async def test_cancelling_at_any_step_of_a_renewal_loses_nothing() -> None:
    async def attempt(point: int) -> int:
        world = World()
        steps = 0

        async def cancelling(effect: Leaf) -> object:
            nonlocal steps
            steps += 1
            if steps == point:
                scope.cancel()
            await checkpoint()
            answer = await world(effect)
            await checkpoint()
            return answer

        with anyio.CancelScope() as scope:
            _ = await run(token_for(SLOT), cancelling, world)
        assert scope.cancelled_caught is (0 < point <= steps)
        # Whatever happened: what is held is living, and the next call works.
        token = await world.token()
        assert token.access_token == Secret("AT1")
        assert world.asked == ["RT0"]
        assert not world.turn(SLOT).is_taken()
        return steps

    steps = await attempt(0)
    assert steps >= 8
    for point in range(1, steps + 1):
        _ = await attempt(point)


async def ends_of(calls: int, world: World) -> list[str]:
    """How so many calls at once end: an access token, or the name of an error."""
    ends: list[str] = []

    async def call() -> None:
        try:
            token = await world.token()
        except KickError as error:
            ends.append(type(error).__name__)
            return
        ends.append(token.access_token.reveal() if token.access_token else "")

    async with anyio.create_task_group() as tasks:
        for _ in range(calls):
            tasks.start_soon(call)
    return ends


async def test_those_who_wait_share_a_failure_and_the_next_caller_tries_again() -> None:
    world = World()
    world.answers = [Response(401, body=b'{"error":"invalid_client"}'), granted(1)]
    assert await ends_of(1_000, world) == ["InvalidClient"] * 1_000
    assert world.asked == ["RT0"]
    assert await ends_of(1_000, world) == ["AT1"] * 1_000
    assert world.asked == ["RT0", "RT0"]


async def test_those_who_share_a_failure_have_an_error_each_that_says_the_same() -> None:
    world = World()
    world.answers = [Response(401, body=b'{"error":"invalid_client"}')]
    errors: list[InvalidClient] = []

    async def call() -> None:
        try:
            _ = await world.token()
        except InvalidClient as error:
            errors.append(error)

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(call)
    assert len({id(error) for error in errors}) == 3
    assert len({(str(error), error.error, error.status) for error in errors}) == 1
    assert all(error.__context__ is None for error in errors)


async def test_a_dead_grant_is_asked_for_once_by_however_many() -> None:
    world = World()
    world.answers = [Response(400, body=b'{"error":"invalid_grant"}')]
    assert await ends_of(1_000, world) == ["ReauthorizationRequired"] * 1_000
    assert await ends_of(5, world) == ["ReauthorizationRequired"] * 5
    assert world.asked == ["RT0"]


async def test_those_who_wait_share_the_wait_for_a_lock_that_never_comes() -> None:
    world = World()
    tried = 0

    @asynccontextmanager
    async def hold(slot: Any) -> AsyncGenerator[None]:
        nonlocal tried
        tried += 1
        await checkpoint()
        raise TokenLockTimeout("another process has held it", path="file.lock")
        yield

    world.hold = hold
    assert await ends_of(100, world) == ["TokenLockTimeout"] * 100
    assert tried == 1


async def test_a_login_does_not_share_the_failure_of_a_renewal() -> None:
    world = World()
    world.answers = [Response(401, body=b'{"error":"invalid_client"}')]
    release = anyio.Event()
    world.before_answer = release.wait

    def log_out() -> Program[Token]:
        return (yield from Exclusive(SLOT, LogOut(SLOT)))

    async def revoked(effect: Leaf) -> object:
        is_revoke = isinstance(effect, Send) and effect.request.url.endswith("/revoke")
        return Response(200) if is_revoke else await world(effect)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ends_of, 1, world)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(run, log_out(), revoked, world)
        await anyio.wait_all_tasks_blocked()
        release.set()
    assert world.held() is None


# Ahead

DUE = Token(Secret("AT0"), NOW + 300, NOW - 6900, Secret("RT0"), ("user:read",))


async def settled() -> None:
    """Let what is beside the program come to its end."""
    for _ in range(50):
        await checkpoint()


async def test_a_due_token_is_used_while_it_is_renewed_beside() -> None:
    world = World(DUE)
    release = anyio.Event()
    world.before_answer = release.wait
    assert await ends_of(1_000, world) == ["AT0"] * 1_000
    await settled()
    assert world.asked == ["RT0"]
    assert await ends_of(10, world) == ["AT0"] * 10
    release.set()
    await settled()
    assert await ends_of(10, world) == ["AT1"] * 10
    assert world.asked == ["RT0"]


async def test_the_end_of_the_caller_does_not_end_what_is_beside() -> None:
    world = World(DUE)

    async def cancelling() -> None:
        scope.cancel()
        await settled()

    world.before_answer = cancelling
    with anyio.CancelScope() as scope:
        _ = await world.token()
        await anyio.sleep_forever()
    await settled()
    assert await ends_of(1, world) == ["AT1"]


async def test_who_cannot_wait_any_longer_waits_for_what_is_beside() -> None:
    world = World(DUE)
    release = anyio.Event()
    world.before_answer = release.wait
    assert await ends_of(1, world) == ["AT0"]
    await settled()

    async def later(effect: Leaf) -> object:
        return NOW + 400 if isinstance(effect, Now) else await world(effect)

    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(run, token_for(SLOT), later, world)
        await anyio.wait_all_tasks_blocked()
        release.set()
    assert world.asked == ["RT0"]


@pytest.mark.parametrize("failure", [Lost("broken"), TokenLockTimeout("held", path="f"), MemoryError()], ids=repr)
async def test_what_breaks_beside_is_a_warning_at_most_and_the_next_call_works(failure: Exception) -> None:
    world = World(DUE)

    async def broken() -> None:
        world.before_answer = checkpoint
        raise failure

    world.before_answer = broken
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        assert await ends_of(1, world) == ["AT0"]
        await settled()
    assert len(warned) == (0 if isinstance(failure, KickError) else 1)
    assert not world.turn(SLOT).is_ahead
    assert not world.turn(SLOT).is_taken()
    assert await ends_of(1, world) == ["AT0"]


async def test_a_lock_that_cannot_be_had_beside_is_no_matter() -> None:
    world = World(DUE)

    @asynccontextmanager
    async def hold(slot: Any) -> AsyncGenerator[None]:
        raise TokenLockTimeout("another process has held it", path="file.lock")
        yield

    world.hold = hold
    assert await ends_of(1, world) == ["AT0"]
    await settled()
    assert world.asked == []
    assert world.log[-1] == Notify(RenewalFailed("user", "", "another process has held it"))


async def test_a_lock_that_keeps_nobody_out_is_told_to_the_body() -> None:
    begun = Token(Secret("AT0"), NOW - 10, NOW - 7200, Secret("RT0"), None, None, None, Attempt(NOW, Outcome.UNKNOWN))
    for keeps_out, waits in ((False, True), (True, False), (None, False)):
        world = World(begun)

        @asynccontextmanager
        async def hold(slot: Any, keeps_out: Any = keeps_out) -> AsyncGenerator[Any]:
            yield keeps_out

        world.hold = hold
        looked: list[Leaf] = []

        async def answer(effect: Leaf, world: World = world, looked: list[Leaf] = looked) -> object:
            looked.append(effect)
            slept = sum(isinstance(effect, Sleep) for effect in looked)
            return NOW + slept if isinstance(effect, Now) else await world(effect)

        assert (await run(token_for(SLOT), answer, world)).access_token == Secret("AT1")
        assert any(isinstance(effect, Sleep) for effect in looked) is waits


async def test_an_exception_in_the_body_lets_go_of_the_turn() -> None:
    class Failing(World):
        async def token_endpoint(self, effect: Send) -> Response | Unreachable:
            if not self.asked:
                self.asked.append("")
                raise Lost("once")
            return await super().token_endpoint(effect)

    world = Failing()
    with pytest.raises(Lost) as caught:
        _ = await world.token()
    functions = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert "token_for" in functions
    assert "_renew" in functions
    assert functions[-1] == "token_endpoint"
    assert caught.value.__context__ is None
    with anyio.fail_after(1):
        assert (await world.token()).access_token is not None


async def test_a_dead_wire_is_not_remembered() -> None:
    world = World()
    world.answers = [Unreachable("no connection", Sent.NO)] * 3
    with pytest.raises(NetworkError):
        _ = await world.token()
    world.asked.clear()
    assert (await world.token()).access_token == Secret("AT1")


async def test_a_renewal_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "SHIELD", 0.01)
    world = World()
    world.before_answer = anyio.sleep_forever
    with pytest.raises(RenewalStalled, match="user token"):
        _ = await world.token()
    held = world.held()
    assert held == replace(EXPIRED, attempt=Attempt(NOW, Outcome.UNKNOWN))
    assert not world.turn(SLOT).is_taken()
    world.before_answer = checkpoint
    world.asked.clear()
    assert (await world.token()).access_token == Secret("AT1")


async def test_a_cancelled_caller_of_a_stalled_renewal_sees_its_cancellation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "SHIELD", 0.01)
    world = World()

    async def stall() -> None:
        scope.cancel()
        await anyio.sleep_forever()

    world.before_answer = stall
    with anyio.CancelScope() as scope:
        _ = await world.token()
    assert scope.cancelled_caught


async def test_slots_do_not_wait_for_each_other() -> None:
    world = World()
    other = APP.slot(TokenKind.USER)
    other = type(other)(other.issuer, other.client_id, other.kind, "bob")
    world.tokens.put(other, Token(Secret("BT"), NOW - 1, NOW - 100, Secret("BR")), save=True)
    async with anyio.create_task_group() as tasks:
        release = anyio.Event()
        world.before_answer = release.wait
        tasks.start_soon(world.token)
        await anyio.wait_all_tasks_blocked()
        world.before_answer = checkpoint
        with anyio.fail_after(1):
            _ = await run(token_for(other), world, world)
        release.set()
    assert world.asked == ["RT0", "BR"]


# Without a loop


async def test_run_sync_asks_the_same_as_run_for_the_same_answers() -> None:
    world = World()
    answers: list[object] = []

    async def recording(effect: Leaf) -> object:
        answers.append(await world(effect))
        return answers[-1]

    token = await run(token_for(SLOT), recording, world)
    asked: list[Leaf] = []
    replayed = iter(answers)

    def answer(effect: Leaf) -> object:
        asked.append(effect)
        return next(replayed)

    assert run_sync(token_for(SLOT), answer) == token
    assert asked == world.log
    assert next(replayed, None) is None


async def test_run_sync_asks_the_same_as_run_where_somebody_else_renewed_meanwhile() -> None:
    world = World()
    fresh = Token(Secret("AT9"), NOW + 7200, NOW, Secret("RT9"))

    class Renewed(World):
        def turn(self, slot: Any) -> Any:
            self.tokens.put(SLOT, fresh, save=True)
            return super().turn(slot)

    world = Renewed()
    answers: list[object] = []

    async def recording(effect: Leaf) -> object:
        answers.append(await world(effect))
        return answers[-1]

    assert await run(token_for(SLOT), recording, world) == fresh
    asked: list[Leaf] = []
    replayed = iter(answers)

    def answer(effect: Leaf) -> object:
        asked.append(effect)
        return next(replayed)

    assert run_sync(token_for(SLOT), answer) == fresh
    assert asked == world.log


def test_run_sync_throws_what_the_answer_raises_at_the_line_that_asked() -> None:
    def lost_answer(effect: Leaf) -> object:
        raise Lost("the wire")

    def asking() -> Program[None]:
        yield from Sleep(1)

    with pytest.raises(Lost) as caught:
        run_sync(asking(), lost_answer)
    functions = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert "asking" in functions
    assert functions[-1] == "lost_answer"
    assert caught.value.__context__ is None


def test_run_sync_carries_an_exclusive_out() -> None:
    answers: list[object] = [Stored(EXPIRED, "1"), NOW, APP, None, NOW]

    def answer(effect: Leaf) -> object:
        return answers.pop(0)

    def renewing() -> Program[Token]:
        return (yield from Exclusive(SLOT, RefreshToken(SLOT)))

    with pytest.raises(Exception, match="no user token is held"):
        run_sync(renewing(), answer)
    assert answers == []
