"""A program one step at a time, without a loop: what it asks, and then what it makes of an answer."""

from collections.abc import Generator
from inspect import isgenerator
from pathlib import Path
from types import FrameType
from typing import Any, Final, TypeAlias

from interpreters.sessions.coding import Asked, Hold
from kickcore.effects import Body, Exclusive, Leaf, Notify, Program, RenewAhead
from kickcore.errors import RenewalStalled, StoreError
from kickcore.notices import RenewalFailed
from kickcore.oauth.access import glance
from kickcore.oauth.renewal import carry_out, renew_ahead
from kickcore.oauth.tokens import Slot, Token

Unfolded: TypeAlias = Generator[Leaf | Hold, Any, Any]


def exclusive(effect: Exclusive) -> Generator[Leaf | Hold, Any, Token]:
    """An `Exclusive` whose turn has come: look again, hold the slot, carry it out. See `interpreters.driver`."""
    token = yield from glance(effect.action)
    if token is None:
        alone = yield Hold(effect.slot)
        token = yield from carry_out(effect.action, is_alone=alone)
    return token


def ahead(effect: RenewAhead) -> Generator[Leaf | Hold, Any, None]:
    """What is done beside a program that asked for it. It gives nothing, and whatever goes wrong ends with it."""
    try:
        alone = yield Hold(effect.slot)
        _ = yield from renew_ahead(effect.action, is_alone=alone)
    except StoreError as error:
        failed = RenewalFailed(effect.slot.kind.value, effect.slot.account, str(error))
    except Exception:  # noqa: BLE001 - nobody waits for it
        return
    else:
        return
    yield from _tell(failed)


def _tell(failed: RenewalFailed) -> Body[None]:
    yield from Notify(failed)


class Ended:
    """The place of what a program asks, once it asks no more."""


ENDED: Final = Ended()


class Steps:
    """A program under way. `asked` is what it waits for; once that is `ENDED`, `value` or `error` is what it gave.

    An `Exclusive` is asked as such (its turn), and then step by step. A `RenewAhead` is asked; to do it is not its
    business.
    """

    __slots__ = ("_inner", "_program", "_slot", "asked", "error", "value")

    def __init__(self, program: Program[Any] | Unfolded) -> None:
        self._program = program
        self._inner: Unfolded | None = None
        self._slot: Slot | None = None
        self.value: Any = None
        self.error: BaseException | None = None
        self.asked: Asked | Ended = ENDED

    def begin(self) -> Asked | Ended:
        """The first thing that it asks."""
        return self._next(None, None)

    def answer(self, answer: object) -> Asked | Ended:
        """Give it the answer; what it asks next."""
        asked = self.asked
        if self._inner is not None:
            return self._next(answer, None)
        if type(asked) is Exclusive:
            self._inner, self._slot = exclusive(asked), asked.slot
            return self._next(None, None)
        # By far the most frequent, so by itself.
        try:
            self.asked = asked = self._program.send(answer)
        except StopIteration as stop:
            self.value, self.asked = stop.value, ENDED
            return ENDED
        except Exception as error:  # noqa: BLE001 - it goes to whoever runs the program
            self.error, self.asked = error, ENDED
            return ENDED
        return asked

    def fail(self, error: Exception) -> Asked | Ended:
        """Throw an exception in, at the line that asked; what it asks next."""
        return self._next(None, error)

    def stall(self) -> Asked | Ended:
        """Give up what it does exclusively, as its driver does where that takes too long."""
        inner, slot = self._inner, self._slot
        if inner is None or slot is None:
            return self.asked
        inner.close()
        self._inner = None
        text = f"renewing the {slot.kind} token took more than 25 seconds and was given up"
        return self._next(None, RenewalStalled(f"{text}; what was held is kept, and the next call tries again"))

    def close(self) -> None:
        """End it where it is."""
        if self._inner is not None:
            self._inner.close()
        self._program.close()
        self.asked = ENDED

    @property
    def is_exclusive(self) -> bool:
        """Whether it holds its turn with a token."""
        return self._inner is not None

    def _next(self, answer: object, failure: Exception | None) -> Asked | Ended:
        while True:
            current: Any = self._program if self._inner is None else self._inner
            try:
                self.asked = asked = current.send(answer) if failure is None else current.throw(failure)
            except StopIteration as stop:
                answer, failure = stop.value, None
                if self._inner is None:
                    self.value, self.asked = answer, ENDED
                    return ENDED
                self._inner = None
            except Exception as error:  # noqa: BLE001 - it goes to the line that asked, or to whoever runs the program
                if self._inner is None:
                    self.error, self.asked = error, ENDED
                    return ENDED
                self._inner, failure = None, error
            else:
                return asked

    def frames(self) -> list[FrameType]:
        """Where it stands: its frames, the innermost last."""
        found: list[FrameType] = []
        for outer in (self._program, self._inner):
            current: Any = outer
            while isgenerator(current):
                if current.gi_frame is not None:
                    found.append(current.gi_frame)
                current = current.gi_yieldfrom
        return found


def place_of(frames: list[FrameType]) -> str:
    """The source line of the innermost `yield from` of a program: its file, line and function."""
    outside = [frame for frame in frames if not frame.f_code.co_filename.endswith(("effects.py", "steps.py"))]
    if not outside:
        return "an unknown line"
    frame = outside[-1]
    return f"{_shown(frame.f_code.co_filename)}:{frame.f_lineno} in {frame.f_code.co_name}"


_INSTALLED: Final = Path(__file__).parent.parent.parent


def _shown(file: str) -> str:
    """A source file as short as it can be: from here, or from where kickcore is installed."""
    for folder in (Path.cwd(), _INSTALLED):
        try:
            return Path(file).relative_to(folder).as_posix()
        except ValueError:
            continue
    return file
