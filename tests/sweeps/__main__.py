"""Counts the cancellation points that were tried: `python -m tests.sweeps`, with `--full` for all of them.

Needs what the tests need. Ends with 1 if anything was not as it must be, and says what.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import anyio

from .calls import CALLS
from .cutting import EVERYWHERE, HERE_AND_THERE, Sweep, full_plan, sweeping


async def swept(backend: str, folder: Path, *, is_full: bool) -> tuple[Counter[str], list[str]]:
    """How many points of each call were tried on an event loop, and what was not as it must be."""
    points: Counter[str] = Counter()
    async with sweeping(backend, folder) as sweep:
        async for name in _all(sweep) if is_full else _bounded(sweep):
            points[name] += sweep.points - points.total()
    return points, sweep.complaints


async def _all(sweep: Sweep) -> AsyncIterator[str]:
    for name, setting in full_plan():
        for way in sweep.ways:
            await sweep.every_point(name, setting, way)
        yield name


async def _bounded(sweep: Sweep) -> AsyncIterator[str]:
    for step, plan in ((1, EVERYWHERE), (3, HERE_AND_THERE)):
        for name, setting in plan:
            await sweep.once_at_points(name, setting, step)
            yield name
    for name in CALLS:
        await sweep.some_points(name)
        yield name


def counts(*, is_full: bool = False) -> tuple[dict[str, Counter[str]], list[str]]:
    """The points tried of each call, by event loop, and what was not as it must be."""
    tried: dict[str, Counter[str]] = {}
    complaints: list[str] = []
    for backend in ("asyncio", "trio"):
        with tempfile.TemporaryDirectory(prefix="kickcore-sweeps-") as folder:
            work = partial(swept, backend, Path(folder), is_full=is_full)
            tried[backend], found = anyio.run(work, backend=backend)
        complaints += [f"{backend}: {complaint}" for complaint in found]
    return tried, complaints


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.sweeps", description=__doc__)
    parser.add_argument("--full", action="store_true", help="every point, in every way and setting: many minutes")
    options = parser.parse_args()
    began = time.perf_counter()
    tried, complaints = counts(is_full=options.full)
    print(f"{'cancellation points tried':30} {'asyncio':>8} {'trio':>8}")
    for name in CALLS:
        print(f"{name:30} {tried['asyncio'][name]:8} {tried['trio'][name]:8}")
    totals = {backend: points.total() for backend, points in tried.items()}
    print(f"{'all':30} {totals['asyncio']:8} {totals['trio']:8}")
    print(f"{sum(totals.values())} points in {time.perf_counter() - began:.0f} seconds; complaints: {len(complaints)}")
    print(*complaints, sep="\n")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
