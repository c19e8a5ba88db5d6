"""Exceptions at every effect: the driver is one loop, so each effect is a place where one can be raised."""

import gc
import warnings
import weakref
from collections.abc import Callable
from contextlib import suppress
from itertools import count, product
from typing import Final

import pytest
from anyio.lowlevel import checkpoint

from interpreters.driver import run, run_sync
from interpreters.sandbox import Simulated
from kickcore.api.users import fetch_user
from kickcore.effects import DropToken, Leaf, SaveToken, Send, Sleep
from kickcore.errors import LoginRequired, UnreadableTokenFile
from kickcore.notices import RenewalFailed
from kickcore.oauth.tokens import TokenKind

from .left import at_last, tasks
from .points import counting
from .programs import CASES, ROUNDS, Case, is_kept, world_of
from .stages import OTHER


class Full(OSError):
    """A disk that is full."""


class Short(MemoryError):
    """No memory is left."""


class Broken(ValueError):
    """An interpreter that has a mistake in it."""


class Over(Exception):
    """A program that never ends has gone on for long enough."""


ERRORS: Final[dict[str, Callable[[], Exception]]] = {
    "StoreError": lambda: UnreadableTokenFile("cannot be used", path="token.json"),
    "OSError": lambda: Full("no space left"),
    "MemoryError": lambda: Short("no memory"),
    "ValueError": lambda: Broken("a mistake"),
}


class Raising:
    """Answers effects as a simulated Kick does, and raises at one of them: in the place of its answer, or after it."""

    def __init__(self, kick: Simulated, number: int, error: Exception, *, after: bool) -> None:
        self.has_raised = False
        self.is_between = False
        """Whether it was raised between "spent" and "saved", so that what was granted was in an answer and is gone."""
        self._kick = kick
        self._number = number
        self._error: Exception | None = error
        self._after = after
        self._count = 0
        self._sleeps = 0

    def __call__(self, effect: Leaf) -> object:
        self._count += 1
        if isinstance(effect, Sleep):
            self._sleeps += 1
            if self._sleeps > ROUNDS:
                raise Over
        if self._count == self._number and not self._after:
            self._raise()
        answer = self._kick.answer(effect)
        if not self.has_raised:
            self.is_between = _spends(effect) or (self.is_between and not isinstance(effect, SaveToken | DropToken))
        if self._count == self._number and self._after:
            self._raise()
        return answer

    def _raise(self) -> None:
        self.has_raised = True
        error, self._error = self._error, None
        assert error is not None
        try:
            raise error
        finally:
            # Its traceback holds this frame.
            del error

    async def awaited(self, effect: Leaf) -> object:
        """The same for the driver that awaits."""
        await checkpoint()
        return self(effect)


def _spends(effect: Leaf) -> bool:
    if not isinstance(effect, Send) or "/oauth/" not in effect.request.url:
        return False
    return ("grant_type", "client_credentials") not in effect.request.form


def complaint(
    case: Case, kick: Simulated, raising: Raising, error: Exception, came: Exception | None, told: str
) -> str:
    """What is not as it must be after an exception."""
    told += " ".join(notice.reason for notice in kick.notices if isinstance(notice, RenewalFailed))
    if came is not error and str(error) not in told and type(error).__name__ not in told:
        return f"it surfaced as {came!r}, and {told!r} was told"
    if came is not error and not isinstance(came, Over | None) and not raising.is_between:
        return f"later, {came!r} was raised"
    if came is error and (error.__context__ or error.__cause__):
        return f"it has got a context: {error.__context__!r}"
    if not raising.is_between and not is_kept(kick):
        return "the refresh token is lost"
    try:
        _ = run_sync(fetch_user(None if case.kind is TokenKind.USER else OTHER), kick.answer)
    except LoginRequired:
        if not raising.is_between and kick.tokens.get(kick.app.slot(TokenKind.USER)) is not None:
            return "the next call does not work"
    return ""


@pytest.mark.parametrize("kind", ERRORS)
@pytest.mark.parametrize("name", CASES)
def test_an_exception_at_any_effect_surfaces_as_it_is_and_loses_nothing(name: str, kind: str) -> None:
    case = CASES[name]
    for number, after in product(range(1, 100), (False, True)):
        kick, error = world_of(case), ERRORS[kind]()
        raising = Raising(kick, number, error, after=after)
        came = None
        try:
            run_sync(case.program(kick), raising)
        except (type(error), Over, LoginRequired) as raised:
            came = raised
        if not raising.has_raised:
            assert number > 2
            break
        assert complaint(case, kick, raising, error, came, "") == "", (number, after)


@pytest.mark.parametrize("kind", ["StoreError", "ValueError"])
@pytest.mark.parametrize("name", CASES)
async def test_the_driver_that_awaits_lets_it_surface_too_and_leaves_no_task(
    name: str, kind: str, anyio_backend: str
) -> None:
    case, before = CASES[name], tasks()
    with counting(anyio_backend) as complaints:
        for number, after in product(range(1, 100), (False, True)):
            kick, error = world_of(case), ERRORS[kind]()
            raising = Raising(kick, number, error, after=after)
            came = None
            with warnings.catch_warnings(record=True) as told:
                warnings.simplefilter("always")
                try:
                    await run(case.program(kick), raising.awaited, kick)
                except (type(error), Over, LoginRequired) as raised:
                    came = raised
                assert not await at_last(lambda: tasks() - before)
            if not raising.has_raised:
                break
            said = " ".join(str(warning.message) for warning in told)
            assert complaint(case, kick, raising, error, came, said) == "", (number, after)
    assert complaints == []


async def test_an_exception_at_any_effect_leaves_no_reference_cycle() -> None:
    _ = gc.collect()
    gc.disable()
    try:
        for name, case in CASES.items():
            for number in count(1):
                gone = await raised_at(case, number)
                if gone is None:
                    break
                # The event loop itself lets go of a task's last result on its next turn.
                await checkpoint()
                await checkpoint()
                assert gone() is None, (name, number)
    finally:
        gc.enable()


async def raised_at(case: Case, number: int) -> weakref.ref[Exception] | None:
    """A weak reference to an exception that was raised at an effect, if there was such an effect."""
    kick, error = world_of(case), Broken()
    raising = Raising(kick, number, error, after=False)
    gone = weakref.ref(error)
    del error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = tasks()
        with suppress(Broken, Over):
            await run(case.program(kick), raising.awaited, kick)
        assert not await at_last(lambda: tasks() - before)
    return gone if raising.has_raised else None


AHEAD: Final = CASES["a user token that is due"]


@pytest.mark.parametrize("error", [Full("no space left"), Broken("a mistake")], ids=["OSError", "ValueError"])
async def test_what_fails_beside_a_program_ends_nothing_where_warnings_are_errors(
    error: Exception, anyio_backend: str
) -> None:
    """On trio, an exception in a task of the system would end everything."""
    before = tasks()
    with counting(anyio_backend) as complaints:
        for number in range(1, 30):
            kick = world_of(AHEAD)
            raising = Raising(kick, number, error, after=False)
            with suppress(type(error)):
                _ = await run(AHEAD.program(kick), raising.awaited, kick)
            assert not await at_last(lambda: tasks() - before)
            if not raising.has_raised:
                break
    _ = gc.collect()
    assert complaints == []
