"""The loops that drive programs. The rules that they keep stand at the top of `kickcore.effects`."""

import warnings
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any, Final, Protocol, TypeAlias, TypeVar

import anyio
from anyio.lowlevel import checkpoint

from interpreters.apart import begin, to_its_end
from interpreters.turns import Turn
from kickcore.effects import Exclusive, Leaf, Notify, Program, RenewAhead
from kickcore.errors import KickError, KickWarning, RenewalStalled, StoreError
from kickcore.notices import RenewalFailed
from kickcore.oauth.access import glance
from kickcore.oauth.actions import FetchAppToken, RefreshToken
from kickcore.oauth.renewal import carry_out, renew_ahead
from kickcore.oauth.tokens import Slot, Token

T = TypeVar("T")

Handler: TypeAlias = Callable[[Leaf], Awaitable[object]]
"""Answers an effect. What wraps one (to record, to inject faults, to log) is a function from handler to handler."""

SHIELD: Final = 25.0
"""Seconds that the body of an `Exclusive` may take before it is given up. Kick's token endpoint gets 15 of them."""


class Turns(Protocol):
    """Who may change the token of a slot: one task of this process at a time, and one process at a time."""

    def turn(self, slot: Slot) -> Turn:
        """The line in which the tasks of this event loop wait for the slot."""
        ...

    def hold(self, slot: Slot) -> AbstractAsyncContextManager[object]:
        """Wait for the slot among the processes that share the store. Taken inside `turn`.

        Gives False if others cannot be kept out, and anything else if they are.
        """
        ...


class Watch:
    """Who keeps turns may also watch what a driver does beside answering effects. Nothing of this is an effect."""

    async def has_turn(self, effect: Exclusive) -> None:
        """The turn of an `Exclusive` has come; it is looked at the token once more, and then `hold` is asked."""

    async def shares(self, effect: Exclusive, failure: Exception) -> None:
        """Somebody failed at the same thing just now; that failure is raised, and `hold` is not asked."""

    async def stalled(self) -> None:
        """What was done exclusively took too long and is given up."""

    async def begins_ahead(self, effect: RenewAhead, *, begins: bool) -> "tuple[Handler, Turns] | None":
        """A `RenewAhead` begins, or somebody is at it. What is given answers for the work beside."""


_NOBODY: Final = Watch()


async def run(program: Program[T], handle: Handler, turns: Turns) -> T:
    """Drive `program` to its end and return its value.

    Always a checkpoint, however little the program asks. Raises what the program raises; an exception of the handler
    goes through the program, a cancellation does not.
    """
    await checkpoint()
    return await _drive(program, handle, turns)


async def _drive(program: Program[T], handle: Handler, turns: Turns) -> T:
    answer: object = None
    failure: Exception | None = None
    try:
        while True:
            effect = program.send(answer) if failure is None else program.throw(failure)
            failure = None
            try:
                answer = await _answer(effect, handle, turns)
            except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to the line that asked
                # Thrown on the next turn, outside this block: the error would gain a false context here.
                failure = error
    except StopIteration as stop:
        return stop.value
    finally:
        program.close()
        # Its traceback holds this frame, and this frame holds it.
        failure = None


async def _answer(effect: Leaf | Exclusive | RenewAhead, handle: Handler, turns: Turns) -> object:
    if isinstance(effect, Exclusive):
        return await _exclusive(effect, handle, turns)
    if isinstance(effect, RenewAhead):
        return await _renew_ahead(effect, handle, turns)
    return await handle(effect)


async def _exclusive(effect: Exclusive, handle: Handler, turns: Turns) -> Token:
    """Wait in line; see what came of it meanwhile; else renew, where no cancellation can part "sent" from "saved"."""
    turn = turns.turn(effect.slot)
    watch = turns if isinstance(turns, Watch) else _NOBODY
    ended = turn.ended
    async with turn:
        await watch.has_turn(effect)
        token = await _drive(glance(effect.action), handle, turns)
        if token is None:
            if isinstance(effect.action, FetchAppToken | RefreshToken) and (failure := turn.failure_since(ended)):
                try:
                    await watch.shares(effect, failure)
                    raise failure
                finally:
                    del failure
            try:
                async with turns.hold(effect.slot) as held:
                    body = carry_out(effect.action, is_alone=held is not False)
                    token = await to_its_end(_attempt(_drive(body, handle, turns), turn, effect.slot))
                    if token is None:
                        await watch.stalled()
            except StoreError as error:
                # Who waits shall not wait as long for the same lock.
                turn.end(error)
                raise
    # The shield kept a cancellation away; here it gets through.
    await checkpoint()
    if token is None:
        raise _stalled(effect.slot)
    return token


async def _attempt(work: Coroutine[Any, Any, T], turn: Turn, slot: Slot) -> T | None:
    """Do the work within its limit, and let those who wait share a failure."""
    failure: KickError | None = None
    try:
        with anyio.move_on_after(SHIELD, shield=True):
            result = await work
            failure = result if isinstance(result, KickError) else None
            return result
        failure = _stalled(slot)
        return None
    except KickError as error:
        failure = error
        raise
    finally:
        turn.end(failure)
        # Its traceback holds this frame.
        del failure


def _stalled(slot: Slot) -> RenewalStalled:
    return RenewalStalled(
        f"renewing the {slot.kind} token took more than {SHIELD:g} seconds and was given up; "
        "what was held is kept, and the next call tries again"
    )


async def _renew_ahead(effect: RenewAhead, handle: Handler, turns: Turns) -> None:
    turn = turns.turn(effect.slot)
    begins = not turn.is_ahead and not turn.is_taken()
    turn.is_ahead = turn.is_ahead or begins
    if isinstance(turns, Watch):
        handle, turns = await turns.begins_ahead(effect, begins=begins) or (handle, turns)
    if begins:
        begin(_ahead(effect, handle, turns, turn))


async def _ahead(effect: RenewAhead, handle: Handler, turns: Turns, turn: Turn) -> None:
    """The body of a `RenewAhead`, of which nobody is told but who listens to notices."""
    try:
        async with turn, turns.hold(effect.slot) as held:
            body = renew_ahead(effect.action, is_alone=held is not False)
            _ = await to_its_end(_attempt(_drive(body, handle, turns), turn, effect.slot))
    except StoreError as error:
        slot = effect.slot
        await handle(Notify(RenewalFailed(slot.kind.value, slot.account, str(error))))
    except Exception as error:  # noqa: BLE001 - nobody waits for it, and on trio it would end everything
        # Of what is not ours only the kind: its text may hold what it was given.
        told = str(error) if isinstance(error, KickError | OSError) else type(error).__name__
        with suppress(KickWarning):
            warnings.warn(f"a token could not be renewed ahead of its end: {told}", KickWarning, stacklevel=1)
    finally:
        turn.is_ahead = False


def run_sync(program: Program[T], answer: Callable[[Leaf], object]) -> T:
    """Drive `program` without an event loop: for replays, for tests, for a world that is a function."""
    said: object = None
    failure: Exception | None = None
    try:
        while True:
            effect = program.send(said) if failure is None else program.throw(failure)
            failure = None
            try:
                said = _answer_sync(effect, answer)
            except Exception as error:  # noqa: BLE001 - as above
                failure = error
    except StopIteration as stop:
        return stop.value
    finally:
        program.close()
        failure = None


def _answer_sync(effect: Leaf | Exclusive | RenewAhead, answer: Callable[[Leaf], object]) -> object:
    """Nobody to wait for, and nothing beside; but what is asked is the same, so that a recording can be replayed."""
    if isinstance(effect, RenewAhead):
        _ = run_sync(renew_ahead(effect.action), answer)
        return None
    if isinstance(effect, Exclusive):
        token = run_sync(glance(effect.action), answer)
        return run_sync(carry_out(effect.action), answer) if token is None else token
    return answer(effect)
