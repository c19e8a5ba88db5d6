"""A save that is cut short by a kill or an error of the system, at each of the points that it has.

kickcore's own sweep is that of `tests/interpreters/tokens/save_points.py`. kickcom.py opens its file for writing,
writes, and closes it: that is where it is cut short here.
"""

import errno
import importlib.util
import os
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from msgspec import Struct
from rows import Row
from stage import Stage

SWEEP: Final = Path(__file__).parents[1] / "interpreters" / "tokens" / "save_points.py"
ERRORS: Final = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EACCES, errno.EINTR, errno.EMFILE)
KILL: Final = 0
"""In the place of an error."""


def save_points(stage: Stage) -> Iterator[Row]:
    """Whether the file is the old one or the new one afterwards, and whether the next process gets on with it."""
    if stage.subject.library != "kickcore":
        yield of_kickcom(stage)
    elif stage.subject.backend == "asyncio":
        # It is the same on both: files are written in a thread, and the sweep does without a loop.
        yield of_kickcore(stage)


def of_kickcore(stage: Stage) -> Row:
    try:
        module = sweeping()
        counts = module.sweep(module.SCENES[:2]) if stage.is_quick else module.sweep()
    except Exception as error:  # noqa: BLE001 - another one's program, told as what it is
        return stage.row("a save cut short", "save points", 0, note=f"not run: {error!r}", failed=1)
    return stage.row(
        "a save cut short",
        "save points",
        counts["kill_points"] + counts["error_points"],
        lost=counts["broken"],
        note=f"{counts['kill_points']:,} kills, {counts['error_points']:,} errors of the system",
    )


def sweeping() -> Any:
    """The module that sweeps, from where it stands."""
    spec = importlib.util.spec_from_file_location("save_points", SWEEP)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Trouble(Struct, frozen=True):
    """What happens at a call to the system: a kill or an error, before the call does its work or after it."""

    at: str
    code: int
    after: bool = False


class Cut:
    """`open` as a library calls it; files that are written meet trouble."""

    def __init__(self, trouble: Trouble) -> None:
        self._trouble = trouble
        self._file: Any = None

    def __call__(self, path: str, mode: str = "r") -> Any:
        opened = partial(Path(path).open, mode)
        if not mode.startswith("w"):
            return opened()
        self._file = self._with_trouble("open", opened)
        return self

    def _with_trouble(self, name: str, call: Callable[[], Any]) -> Any:
        trouble = self._trouble
        if trouble.at != name:
            return call()
        if trouble.after:
            call()
        if trouble.code == KILL:
            os.kill(os.getpid(), signal.SIGKILL)
        raise OSError(trouble.code, os.strerror(trouble.code))

    def __enter__(self) -> Self:
        return self

    def write(self, text: str) -> None:
        self._with_trouble("write", lambda: self._file.write(text))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._with_trouble("close", self._file.close)


def of_kickcom(stage: Stage) -> Row:
    """Rotation is lenient: the old file would do, if it were whole."""
    import kickpy.client

    steps = ("open", "write", "close")
    troubles = [Trouble(at, KILL, after=after) for at in steps for after in (False, True)]
    troubles += [Trouble(at, code) for at in steps for code in ERRORS]
    refreshes = lost = failed = 0
    for trouble in troubles:
        stage.begin(strict=False)

        def work() -> None:
            kickpy.client.open = Cut(trouble)  # noqa: B023 - used within this turn
            stage.run(stage.attempt)

        before = len(stage.told())
        os.waitpid(stage.fork(work), 0)
        # A save that fails need not fail the call.
        failed += sum(bool(outcome.error) for outcome in stage.told()[before:])
        refreshes += stage.settled().refreshes
        lost += not stage.is_kept()
    kills = sum(trouble.code == KILL for trouble in troubles)
    note = f"{kills} kills, {len(troubles) - kills} errors of the system"
    return stage.row(
        "a save cut short", "save points", len(troubles), note=note, refreshes=refreshes, lost=lost, failed=failed
    )
