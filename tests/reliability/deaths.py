"""A process is killed in the middle of a refresh, and another one begins where it left off."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

from journal import Count
from msgspec import Struct
from orders import Fault, Release
from rows import Row
from stage import Stage

CALLS = frozenset({"call", "c_call"})
MARGIN = 20
"""Function calls after the file has changed at which a process is killed as well."""


class Toll(Struct):
    """What a sweep has cost so far."""

    points: int = 0
    refreshes: int = 0
    lost: int = 0
    unavoidable: int = 0
    failed: int = 0
    unclear: int = 0
    processes: int = 0

    def judge(self, stage: Stage, first_token: str) -> None:
        """Whether the grant survived a kill, and whether the next process gets on with it, or says that it cannot."""
        state, saved, is_kept = stage.settled(), stage.saved(), stage.is_kept()
        after = stage.call_and_wait()
        self.points += 1
        self.processes += 2
        self.refreshes += state.refreshes
        if is_kept:
            self.failed += bool(after.error)
        elif saved == first_token and state.granted:
            # Rotated and not saved: the old file stands whole, and Kick takes nothing that is in it.
            self.unavoidable += 1
            self.unclear += not (after.error and after.clear)
        else:
            self.lost += 1

    def row(self, stage: Stage, scenario: str, note: str = "") -> Row:
        return stage.row(
            scenario,
            "kill points",
            self.points,
            processes=self.processes,
            refreshes=self.refreshes,
            lost=self.lost,
            unavoidable=self.unavoidable,
            failed=self.failed,
            unclear=self.unclear,
            note=note,
        )


def kill_points(stage: Stage) -> Iterator[Row]:
    """By what Kick has said so far, and then by what the library has done so far."""
    for strict in (False, True):
        rotation = "strict rotation" if strict else "lenient rotation"
        yield waiting(stage, rotation, strict=strict)
        yield working(stage, rotation, strict=strict)


def waiting(stage: Stage, rotation: str, *, strict: bool) -> Row:
    """Killed while the answer is not there: not acted on, acted on, and after each of many octets of the answer."""
    toll = Toll()
    stage.begin(strict=strict)
    stage.call_and_wait()
    length = stage.state().length
    stage.told()
    before = [Fault(acts=False, hold="asked"), Fault(hold="asked")]
    answering = [Fault(keep=keep, hold="answered") for keep in range(length)]
    for fault in [*before, *stage.some(answering, 30, 4)]:
        grant = stage.begin(strict=strict)
        stage.control.tell(fault)
        pid = stage.call()
        assert stage.control.wait_until(lambda state: state.held > 0)
        stage.kill(pid)
        stage.control.tell(Release())
        toll.judge(stage, grant.refresh_token)
    return toll.row(stage, f"killed while Kick answers, {rotation}")


def working(stage: Stage, rotation: str, *, strict: bool) -> Row:
    """Killed at function calls of the library, from the beginning of a call until the new token is saved."""
    toll = Toll()
    stage.begin(strict=strict)
    killed_at(stage, 0)
    calls = stage.number()
    stage.told()
    for place in stage.some(list(range(1, calls + 1)), 250, 8):
        grant = stage.begin(strict=strict)
        killed_at(stage, place)
        toll.judge(stage, grant.refresh_token)
    return toll.row(stage, f"killed at a function call, {rotation}", f"of {calls:,} until the token is saved")


def killed_at(stage: Stage, place: int) -> None:
    """Let a process make a call, and kill it at the library's `place`th function call on the way (0: never)."""

    def work() -> None:
        clock = Clockwork(stage, place)
        threading.setprofile(clock.tick)
        sys.setprofile(clock.tick)
        stage.run(stage.attempt)
        sys.setprofile(None)
        stage.journal.write(Count(clock.until_saved()))

    os.waitpid(stage.fork(work), 0)


class Clockwork:
    """Counts the function calls of a library, in all threads, and kills at one of them."""

    def __init__(self, stage: Stage, place: int) -> None:
        self._folders = stage.watch.folders
        self._place = place
        self._count = self._saved_at = 0
        self._saved = stage.saved
        self._before = stage.saved()

    def tick(self, frame: FrameType, event: str, _: object) -> None:
        if event in CALLS and self._is_its_own(frame):
            self._count += 1
            if self._count == self._place:
                os.kill(os.getpid(), signal.SIGKILL)
            if not self._place and not self._saved_at and self._saved() != self._before:
                self._saved_at = self._count

    def _is_its_own(self, frame: FrameType) -> bool:
        """Whether the library makes this call, or what it has called in another library does."""
        before = frame.f_back
        return frame.f_code.co_filename.startswith(self._folders) or (
            before is not None and before.f_code.co_filename.startswith(self._folders)
        )

    def until_saved(self) -> int:
        """How many calls until the file held another token, and a few more; all if it never did."""
        return min(self._count, self._saved_at + MARGIN) if self._saved_at else self._count
