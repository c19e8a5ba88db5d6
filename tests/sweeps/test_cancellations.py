"""Every coroutine of `KickClient`, cancelled wherever it can be suspended."""

import inspect
from pathlib import Path

import pytest

from kickcore import KickClient

from .calls import CALLS
from .cutting import EVERYWHERE, HERE_AND_THERE, full_plan, sweeping

FLOWS = {"livestreams", "categories", "reward_redemptions", "drops_claims"}


def test_no_coroutine_of_the_client_is_left_out() -> None:
    members = inspect.getmembers(KickClient, inspect.iscoroutinefunction)
    public = {name for name, _ in members if not name.startswith("_")}
    assert public | {"__aexit__"} | FLOWS <= set(CALLS)


@pytest.mark.parametrize(("name", "setting"), EVERYWHERE, ids=str)
async def test_cancelled_at_any_point_nothing_is_lost_and_nothing_left(
    name: str, setting: str, anyio_backend: str, tmp_path: Path
) -> None:
    async with sweeping(anyio_backend, tmp_path) as sweep:
        await sweep.once_at_points(name, setting)
    assert sweep.complaints == []


@pytest.mark.parametrize(("name", "setting"), HERE_AND_THERE, ids=str)
async def test_cancelled_here_and_there_nothing_is_lost_and_nothing_left(
    name: str, setting: str, anyio_backend: str, tmp_path: Path
) -> None:
    async with sweeping(anyio_backend, tmp_path) as sweep:
        await sweep.once_at_points(name, setting, 3)
    assert sweep.complaints == []


@pytest.mark.parametrize("name", CALLS)
async def test_cancelled_at_some_points_every_call_loses_nothing_and_leaves_nothing(
    name: str, anyio_backend: str, tmp_path: Path
) -> None:
    async with sweeping(anyio_backend, tmp_path) as sweep:
        await sweep.some_points(name)
    assert sweep.complaints == []
    assert sweep.points or name in {"close", "__aexit__"}


@pytest.mark.full
@pytest.mark.parametrize(("name", "setting"), full_plan(), ids=str)
async def test_cancelled_in_any_way_at_any_point_nothing_is_lost_and_nothing_left(
    name: str, setting: str, anyio_backend: str, tmp_path: Path
) -> None:
    async with sweeping(anyio_backend, tmp_path) as sweep:
        for way in sweep.ways:
            await sweep.every_point(name, setting, way)
    assert sweep.complaints == []
