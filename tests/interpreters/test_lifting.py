"""Programs as methods."""

import inspect

import pytest

from interpreters.driver import run_sync
from interpreters.flow import Flow
from interpreters.lifting import deprecated, flat, flowing
from kickcore.api.page import Page
from kickcore.effects import Now, Program


def fetch_time(zone: str, *, digits: int = 3) -> Program[str]:
    """The time in a zone."""
    now = yield from Now()
    return f"{now:.{digits}f} {zone}"


def fetch_numbers(*, cursor: str | None = None) -> Program[Page[int]]:
    """A page of numbers."""
    _ = yield from Now()
    return Page((1, 2), "next") if cursor is None else Page((3,), None)


class Client:
    fetch_old_time = deprecated(fetch_time, {"fetch_time": "fetch_new_time"})
    fetch_time = flat(fetch_time)
    numbers = flowing(fetch_numbers, "numbers")

    async def run(self, program: Program[str]) -> str:
        return run_sync(program, lambda _: 1.5)


async def test_a_lifted_program_is_run_by_its_client() -> None:
    assert await Client().fetch_time("UTC", digits=1) == "1.5 UTC"


def test_it_shows_as_a_method() -> None:
    assert str(inspect.signature(Client.fetch_time)) == "(self, zone: str, *, digits: int = 3) -> str"
    assert Client.fetch_time.__name__ == "fetch_time"
    assert Client.fetch_time.__doc__ == "The time in a zone."
    assert inspect.iscoroutinefunction(Client.fetch_time)


async def test_what_is_deprecated_warns_at_the_line_that_called_it() -> None:
    with pytest.warns(DeprecationWarning, match="use fetch_new_time") as told:
        assert await Client().fetch_old_time("UTC") == "1.500 UTC"
    assert told[0].filename == __file__


async def test_a_flow_runs_the_program_for_every_page() -> None:
    flow = Client().numbers()
    assert isinstance(flow, Flow)
    assert [number async for number in flow] == [1, 2, 3]
    assert "A page of numbers." in (Client.numbers.__doc__ or "")
    assert list(inspect.signature(Client.numbers).parameters) == ["self", "cursor"]
