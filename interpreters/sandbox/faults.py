"""The faults that `Rules` ask for. They are counted in the world, so that they too come again in the same places."""

from math import ceil
from typing import Any, Final, cast

from msgspec import json
from msgspec.structs import replace

from interpreters.sandbox.wire import BLOCKED, FAULT, TOO_MANY, Step
from interpreters.sandbox.world import World
from kickcore.http import Response

MINUTE: Final = 60.0
EXTRA: Final = "not_heard_of_yet"
"""The name of the member that `Rules.extra_members` adds."""


def struck(world: World) -> tuple[World, Response | None]:
    """The world after one more request to the API host, and what keeps the request from it, the firewall first."""
    rules = world.rules
    if rules.firewall_every is None and rules.fail_every is None:
        return world, None
    world = replace(world, requests=world.requests + 1)
    if rules.firewall_every and world.requests % rules.firewall_every == 0:
        return world, BLOCKED
    if rules.fail_every and world.requests % rules.fail_every == 0:
        return world, FAULT
    return world, None


def paced(world: World, operation: str, now: float) -> tuple[World, Response | None]:
    """The world after one more request to an operation, and the 429 if there were too many in this minute.

    A minute begins with the first request in it.
    """
    most = world.rules.rate_limit
    if most is None:
        return world, None
    began, count = world.paces.get(operation, (now, 0))
    if not began <= now < began + MINUTE:
        began, count = now, 0
    if count >= most:
        wait = str(ceil(began + MINUTE - now))
        headers = (("retry-after", wait),) if world.rules.retry_after else ()
        return world, replace(TOO_MANY, headers=TOO_MANY.headers + headers)
    return replace(world, paces={**world.paces, operation: (began, count + 1)}), None


def with_extra_members(step: Step) -> Step:
    """The step with a member more in every object of its answer, if that is JSON."""
    response = step.response
    if not (response.header("content-type") or "").startswith("application/json"):
        return step
    body = json.encode(extended(json.decode(response.body)))
    return replace(step, response=replace(response, body=body))


def extended(value: Any) -> Any:
    """Decoded JSON with a member more in every object."""
    match value:
        case dict():
            members = cast("dict[str, Any]", value)
            return {**{name: extended(member) for name, member in members.items()}, EXTRA: {"of": ["any", "kind"]}}
        case list():
            return [extended(item) for item in cast("list[Any]", value)]
        case _:
            return value
