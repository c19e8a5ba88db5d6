"""Many at once: callers of one client, processes on one cache, and processes that are killed all the time."""

import os
from collections.abc import Iterator

import anyio
from journal import kinds
from rows import Row
from stage import Stage


def callers(stage: Stage) -> Iterator[Row]:
    """Calls at the same moment, by one client whose token has ended; strict rotation. One refresh is due."""
    for count in stage.size((10_000,), (300,)):
        stage.begin()

        async def crowd(client: object) -> None:
            async with anyio.create_task_group() as tasks:
                for _ in range(count):  # noqa: B023 - used within this turn
                    tasks.start_soon(stage.attempt, client)

        stage.run(crowd)
        yield judged(stage, f"{count:,} callers in one process", "callers", count)


def processes(stage: Stage) -> Iterator[Row]:
    """Processes that share one cache folder, begin at the same moment; strict rotation. One refresh is due."""
    for count in stage.size((2, 20, 80), (2, 8)):
        stage.begin()
        ready, barrier = os.pipe(), os.pipe()

        def one() -> None:
            os.close(barrier[1])  # noqa: B023 - used within this turn
            os.write(ready[1], b".")  # noqa: B023
            os.read(barrier[0], 1)  # noqa: B023 - nothing comes but the end
            stage.run(stage.attempt)

        pids = [stage.fork(one) for _ in range(count)]
        waiting = 0
        while waiting < count:
            waiting += len(os.read(ready[0], count))
        os.close(barrier[1])
        for pid in pids:
            os.waitpid(pid, 0)
        for end in (*ready, barrier[0]):
            os.close(end)
        yield judged(stage, f"{count} processes on one cache", "processes", count, count)


def judged(stage: Stage, scenario: str, unit: str, tried: int, started: int = 1) -> Row:
    """The row of a crowd for which one refresh was due, and in which everybody should have got through."""
    state, outcomes = stage.settled(), stage.outcomes()
    succeeded = sum(not outcome.error for outcome in outcomes)
    return stage.row(
        scenario,
        unit,
        tried,
        processes=started,
        refreshes=state.refreshes,
        spare=max(0, state.refreshes - 1),
        lost=int(not stage.is_kept()),
        failed=tried - succeeded,
        note=kinds(outcomes),
    )
