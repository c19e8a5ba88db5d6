"""Programs as methods of a client: same name, same parameters, written once in the core."""

import warnings
from collections.abc import Callable, Coroutine, Mapping
from inspect import Parameter, cleandoc, signature
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, get_args

from interpreters.flow import Flow
from kickcore.api.page import Page
from kickcore.effects import Program

T = TypeVar("T")
P = ParamSpec("P")


class Runs(Protocol):
    """What a lifted method needs of its client."""

    async def run(self, program: Program[T]) -> T:
        """Run a program."""
        ...


def flat(program: Callable[P, Program[T]]) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, T]]:
    """A program as a method that gives its value when awaited. `help()` and editors show a method."""

    async def method(self: Runs, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.run(program(*args, **kwargs))

    _name_it(method, program, _returned(program))
    return method


def deprecated(
    program: Callable[P, Program[T]], replacements: Mapping[str, str]
) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, T]]:
    """The same for what Kick has deprecated: each call warns and names the replacement, found by the program's name."""
    replacement = replacements[program.__name__]

    async def method(self: Runs, /, *args: P.args, **kwargs: P.kwargs) -> T:
        warnings.warn(
            f"Kick has deprecated what {program.__name__} asks; use {replacement} unless you need what only this gives",
            DeprecationWarning,
            stacklevel=2,
        )
        return await self.run(program(*args, **kwargs))

    _name_it(method, program, _returned(program))
    return method


def flowing(program: Callable[P, Program[Page[T]]], name: str) -> Callable[Concatenate[Any, P], Flow[T]]:
    """A program that gives a page as a method whose `async for` gives the items of all pages."""

    def method(self: Runs, /, *args: P.args, **kwargs: P.kwargs) -> Flow[T]:
        async def fetch(cursor: str | None) -> Page[T]:
            if cursor is not None:
                kwargs["cursor"] = cursor
            return await self.run(program(*args, **kwargs))

        return Flow(fetch)

    item = get_args(_returned(program))[0]
    _name_it(method, program, Flow[item])
    method.__name__, method.__qualname__ = name, f"KickClient.{name}"
    method.__doc__ = (
        f"All items of all pages of `{program.__name__}`, from its `cursor` on: `async for item in client.{name}(...)`."
        f"\n\n{cleandoc(program.__doc__ or '')}"
    )
    return method


def _returned(program: Callable[..., object]) -> Any:
    return get_args(signature(program, eval_str=True).return_annotation)[-1]


def _name_it(method: Any, program: Callable[..., object], returned: object) -> None:
    written = signature(program)
    own = Parameter("self", Parameter.POSITIONAL_OR_KEYWORD)
    method.__name__ = program.__name__
    method.__qualname__ = f"KickClient.{program.__name__}"
    method.__doc__ = program.__doc__
    method.__signature__ = written.replace(parameters=[own, *written.parameters.values()], return_annotation=returned)
