"""Processes on one cache, a token that lives for a second, and SIGKILL at random moments."""

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator

import anyio
from journal import Outcome, kinds
from rows import Row
from stage import Stage

LIFE = 1.0
PAUSE = 0.05
"""Seconds that a refresh takes at most, twice: so that a kill often meets one."""
SAY_SO = 30.0
"""Seconds in which each process must have met a grant that is gone."""


class Crew:
    """Processes that make calls without end, as many as there should be."""

    def __init__(self, stage: Stage, size: int) -> None:
        self._stage = stage
        self.size = size
        self.pids: list[int] = []
        self.started = self.killed = 0

    def fill(self) -> None:
        """Start as many as are missing."""
        missing = self.size - len(self.pids)
        works = [Busy(self._stage, self._stage.random.random()) for _ in range(missing)]
        self.pids += [self._stage.fork(work.begin) for work in works]
        self.started += missing

    def kill(self, count: int) -> None:
        """Kill some of them, all at once."""
        chosen = self._stage.random.sample(self.pids, count)
        for pid in chosen:
            os.kill(pid, signal.SIGKILL)
        for pid in chosen:
            os.waitpid(pid, 0)
        self.pids = [pid for pid in self.pids if pid not in chosen]
        self.killed += count


class Busy:
    """Makes calls until it is killed, or nobody is left to kill it."""

    def __init__(self, stage: Stage, seed: float) -> None:
        self._stage = stage
        self._seed = seed
        self._killer = os.getpid()

    def begin(self) -> None:
        self._stage.random.seed(self._seed)
        self._stage.run(self.call_without_end)

    async def call_without_end(self, client: object) -> None:
        while os.getppid() == self._killer:
            await self._stage.attempt(client)
            await anyio.sleep(self._stage.random.random() * 0.1)


def wait(stage: Stage) -> None:
    """Wait by chance: for some moment, or for one at which a token is being renewed."""
    time.sleep(stage.random.random() * 0.3)
    if stage.random.random() < 0.7:
        stage.control.wait_until(lambda state: state.under_way > 0, 1.5 * LIFE)
        time.sleep(stage.random.random() * 2 * PAUSE)


def lenient_storm(stage: Stage) -> Iterator[Row]:
    """A spent refresh token is taken again for a while: whoever is killed, no login is ever needed."""
    crew, seconds = Crew(stage, stage.size(20, 6)), stage.size(20.0, 2.0)
    stage.begin(strict=False, user_life=LIFE, pause=PAUSE)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        crew.fill()
        wait(stage)
        # With even chances the one that renews is among half of them.
        crew.kill(stage.random.choice((1, crew.size // 2)))
    crew.kill(len(crew.pids))
    state = stage.settled()
    told = stage.told()
    last = stage.call_and_wait()
    note = f"{len(told):,} calls; {state.reused} times a token was taken that had been spent; {kinds(told)}"
    yield stage.row(
        f"{crew.size} processes for {seconds:g} s, killed at random, lenient rotation",
        "kills",
        crew.killed,
        processes=crew.started + 1,
        refreshes=state.refreshes,
        lost=int(not stage.is_kept() or bool(last.error)),
        failed=sum(bool(outcome.error) for outcome in told),
        note=note.removesuffix("; "),
    )


def strict_storm(stage: Stage) -> Iterator[Row]:
    """All are killed at once, again and again. A grant is lost for good if it was rotated and not saved: all say so."""
    crew, seconds = Crew(stage, stage.size(20, 6)), stage.size(20.0, 2.0)
    counts: Counter[str] = Counter()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        stage.begin(user_life=LIFE, pause=PAUSE)
        is_kept = wave_after_wave(stage, crew, end, counts)
        state = stage.settled()
        counts["refreshes"] += state.refreshes
        if is_kept:
            break
        if state.replays or not stage.saved():
            # Somebody spent a token twice while its successor was there, or destroyed what was saved.
            counts["lost"] += 1
        else:
            counts["unavoidable"] += 1
            counts["unclear"] += left_in_the_dark(stage, crew)
    told = stage.told()
    yield stage.row(
        f"{crew.size} processes for {seconds:g} s, all killed at random, strict rotation",
        "kills",
        crew.killed,
        processes=crew.started,
        note=f"{len(told):,} calls; {kinds(told)}".removesuffix("; "),
        **counts,
    )


def wave_after_wave(stage: Stage, crew: Crew, end: float, counts: Counter[str]) -> bool:
    """Kill all, until the grant is gone or the time is up: whether it is kept. Until it is gone, no call may fail."""
    is_kept = True
    while is_kept and time.monotonic() < end:
        before = len(stage.told())
        crew.fill()
        wait(stage)
        crew.kill(crew.size)
        stage.settled()
        counts["failed"] += sum(bool(outcome.error) for outcome in stage.told()[before:])
        is_kept = stage.is_kept()
    return is_kept


def left_in_the_dark(stage: Stage, crew: Crew) -> int:
    """Start processes on a grant that is gone: how many did not say so, or said something else."""
    before = len(stage.told())
    crew.fill()
    errors: list[Outcome] = []
    deadline = time.monotonic() + SAY_SO
    while time.monotonic() < deadline and not {error.process for error in errors} >= set(crew.pids):
        time.sleep(0.02)
        errors = [outcome for outcome in stage.told()[before:] if outcome.error]
    silent = set(crew.pids) - {error.process for error in errors}
    crew.kill(crew.size)
    return len(silent) + len({error.process for error in errors if not error.clear})
