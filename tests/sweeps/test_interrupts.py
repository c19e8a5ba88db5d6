"""Ctrl-C at every effect of a program, and at lines all over the code."""

import signal
import sys
from collections.abc import Awaitable, Callable, Generator, Iterable
from contextlib import contextmanager, suppress
from itertools import count, product
from pathlib import Path
from types import FrameType
from typing import Any, Final

import anyio
import pytest

from interpreters.driver import run
from kickcore import KickClient
from kickcore.api.users import fetch_user
from kickcore.effects import Leaf, Program
from kickcore.errors import LoginRequired
from kickcore.oauth.login import logout

from .stages import OTHER, SETTINGS, Stage

ROOT: Final = Path(__file__).parent.parent.parent
OURS: Final = (str(ROOT / "kickcore"), str(ROOT / "interpreters"))
SANDBOX: Final = str(ROOT / "interpreters" / "sandbox")
BACKENDS: Final = ("asyncio", "trio")

PROGRAMS: Final[dict[str, tuple[Callable[[], Program[Any]], str]]] = {
    "a call": (fetch_user, "fresh"),
    "a call with a token that is over": (fetch_user, "expired"),
    "a call with a token that is due": (fetch_user, "due"),
    "a call with a token that is refused": (fetch_user, "refused"),
    "a call with a token that was handed over": (fetch_user, "handed over"),
    "a call without an app token": (lambda: fetch_user(OTHER), "without an app token"),
    "a logout": (logout, "fresh"),
}


class Interrupting:
    """Answers effects live, and at one of them somebody presses Ctrl-C: before it is carried out, or after it."""

    def __init__(self, client: KickClient, number: int, *, after: bool, times: int = 1) -> None:
        self.count = 0
        self._live = client._live
        self._number = number
        self._after = after
        self._times = times

    async def __call__(self, effect: Leaf) -> object:
        self.count += 1
        here = self.count == self._number
        if here and not self._after:
            self._press()
        answer = await self._live(effect)
        if here and self._after:
            self._press()
        return answer

    def _press(self) -> None:
        for _ in range(self._times):
            signal.raise_signal(signal.SIGINT)


def refreshes(stage: Stage) -> int:
    """How many refresh tokens were spent."""
    return sum(held.spent_at is not None for held in stage.kick.world.refresh.values())


async def works(stage: Stage) -> None:
    """The next call by the same client on a new event loop, and one by a new client, once that one is closed."""
    for client in (stage.client, stage.new_client()):
        with anyio.fail_after(5):
            assert (await client.fetch_user()).name == "streamer_123"
            assert (await client.fetch_user(OTHER)).name == "xQc"
            await client.close()


def is_kept(stage: Stage) -> bool:
    """Whether the store, or else the client, has a refresh token that Kick takes."""
    return stage.is_kept(stage.stored()) or stage.is_kept(stage.client.user_token)


def interrupted_at_effects(name: str, backend: str, folder: Path, places: Iterable[tuple[int, bool]]) -> None:
    """Press Ctrl-C at these effects of a program, until there are no more."""
    program, setting = PROGRAMS[name]
    for number, after in places:
        stage = Stage(folder / f"{number}-{after}")
        SETTINGS[setting](stage)
        interrupting = Interrupting(stage.client, number, after=after)
        is_interrupted = interrupted(run, program(), interrupting, stage.client._live, backend=backend)
        if interrupting.count < number:
            assert not is_interrupted
            return
        assert is_kept(stage), (number, after)
        assert refreshes(stage) <= 1
        if name != "a logout" or stage.stored() is not None:
            anyio.run(works, stage, backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", PROGRAMS)
def test_ctrl_c_at_any_effect_leaves_the_token_as_it_was_or_renewed(name: str, backend: str, tmp_path: Path) -> None:
    interrupted_at_effects(name, backend, tmp_path, ((number, number % 2 == 0) for number in count(1)))


@pytest.mark.full
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", PROGRAMS)
def test_ctrl_c_before_and_after_any_effect_leaves_the_token_as_it_was_or_renewed(
    name: str, backend: str, tmp_path: Path
) -> None:
    interrupted_at_effects(name, backend, tmp_path, ((number, after) for number in count(1) for after in (False, True)))


def interrupted(work: Callable[..., Awaitable[Any]], *args: Any, backend: str) -> bool:
    """Whether a run was ended by Ctrl-C, as it must be unless it was done by then."""
    try:
        anyio.run(work, *args, backend=backend)
    except KeyboardInterrupt:
        return True
    return False


@pytest.mark.parametrize("name", ["a call with a token that is over", "a logout"])
def test_whoever_presses_ctrl_c_twice_may_lose_the_answer_but_is_told(name: str, tmp_path: Path) -> None:
    """The second time, Python itself raises it wherever it is, which may be between "spent" and "saved"."""
    program, setting = PROGRAMS[name]
    for number, after in product(range(1, 100), (False, True)):
        stage = Stage(tmp_path / f"{number}-{after}")
        SETTINGS[setting](stage)
        interrupting = Interrupting(stage.client, number, after=after, times=2)
        is_interrupted = interrupted(run, program(), interrupting, stage.client._live, backend="asyncio")
        if interrupting.count < number:
            break
        assert is_interrupted
        _ = stage.stored()
        for client in (stage.client, stage.new_client()):
            try:
                anyio.run(client.fetch_user)
            except LoginRequired:
                assert stage.stored() is None or not stage.is_kept(stage.stored())


# At lines


def is_ours(frame: FrameType) -> bool:
    """Whether code of the library runs; the simulated Kick is not the one who presses Ctrl-C."""
    name = frame.f_code.co_filename
    return name.startswith(OURS) and not name.startswith(SANDBOX)


@contextmanager
def at_line(number: int) -> Generator[list[int]]:
    """Press Ctrl-C at the line of our code that is the `number`th to run in this thread. Counts them."""
    lines = [0]

    def trace(frame: FrameType, event: str, _: object) -> Any:
        if event == "line":
            lines[0] += 1
            if lines[0] == number:
                signal.raise_signal(signal.SIGINT)
        return trace if is_ours(frame) else None

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield lines
    finally:
        sys.settrace(before)


def interrupted_at_lines(name: str, backend: str, folder: Path, first: int, step: int) -> int:
    """Press Ctrl-C at every `step`th line of a program from the `first` on. Gives how many lines there were."""
    program, setting = PROGRAMS[name]
    for number in count(first, step):
        stage = Stage(folder / str(number))
        SETTINGS[setting](stage)
        with at_line(number) as lines, suppress(RuntimeError):
            # "Event loop stopped before Future completed": so asyncio says it where its end was interrupted.
            _ = interrupted(stage.client.run, program(), backend=backend)
        if lines[0] < number:
            return lines[0]
        assert is_kept(stage), number
        assert refreshes(stage) <= 1, number
        if name != "a logout" or stage.stored() is not None:
            anyio.run(works, stage, backend=backend)
    raise AssertionError


ENDED_IN_THE_MIDDLE: Final = pytest.mark.filterwarnings(
    "ignore:coroutine .* was never awaited:RuntimeWarning",
    # Of a Ctrl-C that comes in the middle of a `__del__`, Python can only tell.
    "ignore:Exception ignored in:pytest.PytestUnraisableExceptionWarning",
)


@ENDED_IN_THE_MIDDLE
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", ["a call with a token that is over", "a logout"])
def test_ctrl_c_at_some_lines_leaves_the_token_as_it_was_or_renewed(name: str, backend: str, tmp_path: Path) -> None:
    assert interrupted_at_lines(name, backend, tmp_path, 97, 101) > 200


@pytest.mark.full
@ENDED_IN_THE_MIDDLE
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", PROGRAMS)
def test_ctrl_c_at_any_line_leaves_the_token_as_it_was_or_renewed(name: str, backend: str, tmp_path: Path) -> None:
    assert interrupted_at_lines(name, backend, tmp_path, 1, 1) > 200
