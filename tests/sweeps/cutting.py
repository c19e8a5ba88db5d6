"""Calls are cut short at their suspension points, one after the other, each on a stage of its own."""

import gc
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Final, NamedTuple
from warnings import catch_warnings, simplefilter

import anyio
from anyio.lowlevel import checkpoint

from .calls import CALLS, OPERATIONS
from .points import WAYS, Came, counting, is_right
from .stages import SETTINGS, Left, Stage

USUAL: Final = ("fresh", "expired", "due", "refused", "without an app token", "failing once", "limited once")
"""The settings in which every call is cut. The others are for what changes tokens."""

EVERYWHERE: Final = (
    ("fetch_user", "expired"),
    ("fetch_user", "refused"),
    ("fetch_livestream_stats", "without an app token"),
    ("authenticate", "fresh"),
    ("authenticate by the browser", "without an app token"),
    ("logout", "fresh"),
    ("close", "handed over"),
)
"""What the bounded form cuts at every point: a refresh, an app token, both logins, a logout, and a save on closing."""

HERE_AND_THERE: Final = (
    *(("fetch_user", setting) for setting in SETTINGS if setting not in {"expired", "refused"}),
    ("authenticate", "handed over"),
    ("logout", "handed over"),
    ("logout", "injected"),
    ("keep_alive", "fresh"),
    ("__aexit__", "handed over"),
)
"""What it cuts at every third point: the other ways to what is done about tokens."""

SAMPLES: Final = 2
"""Points that it takes of every call besides."""


SHORTEST: Final = 10
"""Points that nearly every call has, whatever it finds."""
FEW: Final = 20


class Cut(NamedTuple):
    """A call that is to be cut: by its name, by how it finds its tokens, by the way in which it is cancelled, where."""

    name: str
    setting: str
    way: str
    place: int

    def __str__(self) -> str:
        return f"{self.name}, {self.setting}, by {self.way} at {self.place}"


class Sweep:
    """Cuts calls on the event loop that runs. Counts the points, and keeps what was not as it must be."""

    def __init__(self, backend: str, folder: Path) -> None:
        self.ways = tuple(WAYS[backend])
        self.points = 0
        self.complaints: list[str] = []
        self._backend = backend
        self._folder = folder
        self._numbers = count()

    async def cut(self, cut: Cut) -> tuple[Came, int]:
        """Cut one call, and look at what it leaves. Gives what came of it, and how often it was suspended."""
        folder = self._folder / str(next(self._numbers))
        async with anyio.create_task_group() as visitors:
            stage = Stage(folder, visitors, in_memory="in memory" in cut.setting)
            SETTINGS[cut.setting](stage)
            before = Left()
            came, suspensions = await WAYS[self._backend][cut.way](lambda: CALLS[cut.name](stage), cut.place)
            found = [complaint async for complaint in stage.complaints(before)]
            visitors.cancel_scope.cancel()
        if came.was_cancelled:
            self.points += 1
            if not is_right(cut.way, came):
                found.append(f"it {came}")
        self.complaints += [f"{cut}: {complaint}" for complaint in found]
        shutil.rmtree(folder)
        return came, suspensions

    async def every_point(self, name: str, setting: str, way: str) -> None:
        """Cut a call at each of its points in one way."""
        for place in count(1):
            came, _ = await self.cut(Cut(name, setting, way, place))
            if not came.was_cancelled:
                return

    async def once_at_points(self, name: str, setting: str, step: int = 1) -> None:
        """Cut a call at every `step`th of its points, in one way after the other."""
        for number, place in enumerate(count(1 + len(setting) % step, step)):
            came, _ = await self.cut(Cut(name, setting, self.ways[number % len(self.ways)], place))
            if not came.was_cancelled:
                return

    async def some_points(self, name: str) -> None:
        """Cut a call at a few of its points, in another setting and way for every call."""
        number = list(CALLS).index(name)
        for sample in range(SAMPLES):
            setting, way = USUAL[(number + sample) % len(USUAL)], self.ways[(number + sample) % len(self.ways)]
            place = 1 + (3 * number + SHORTEST // SAMPLES * sample) % SHORTEST
            _ = await self.cut(Cut(name, setting, way, place))


@asynccontextmanager
async def sweeping(backend: str, folder: Path) -> AsyncIterator[Sweep]:
    """A sweep; what the event loop has to complain of at its end counts as well."""
    sweep = Sweep(backend, folder)
    with catch_warnings():
        simplefilter("ignore", DeprecationWarning)
        with counting(backend) as complaints:
            yield sweep
            if sweep.points > FEW:
                # What was never asked for is complained of when it is thrown away.
                _ = gc.collect()
            await checkpoint()
            sweep.complaints += complaints


def full_plan() -> list[tuple[str, str]]:
    """All calls with all settings that are of interest for them."""
    usual = [(name, setting) for name in CALLS for setting in (USUAL if name in OPERATIONS else SETTINGS)]
    return [*usual, *(pair for pair in EVERYWHERE + HERE_AND_THERE if pair not in usual)]
