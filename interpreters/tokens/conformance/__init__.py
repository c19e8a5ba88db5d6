"""What every token store promises, as checks that anybody can run on a store of their own.

    await conforms(lambda: Subject(MyStore("tokens.db"), lambda: MyStore("tokens.db")))

Each check is a coroutine function of a `Subject` and needs no plugin; with pytest, run one test for each of `CHECKS`.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final, TypeAlias

from interpreters.tokens.conformance.holding import HOLDING
from interpreters.tokens.conformance.keeping import KEEPING
from interpreters.tokens.conformance.promise import BrokenPromise, Check, Keeper, Subject, promise
from interpreters.tokens.conformance.scripts import SCRIPTS, Drop, Load, Operation, Save, Script, follow, scripts
from interpreters.tokens.conformance.versions import VERSIONS

__all__ = [
    "CHECKS",
    "BrokenPromise",
    "Check",
    "Drop",
    "Keeper",
    "Load",
    "MakeSubject",
    "Operation",
    "Save",
    "Script",
    "Subject",
    "conforms",
    "follow",
    "promise",
    "scripts",
]

CHECKS: Final[tuple[Check, ...]] = (*KEEPING, *VERSIONS, *SCRIPTS, *HOLDING)
"""All promises, each under the name that it is known by: `check.__name__`."""

MakeSubject: TypeAlias = Callable[[], Subject | AbstractAsyncContextManager[Subject]]
"""Makes a subject that is empty, or a context that opens one and cleans up after it."""


async def conforms(make: MakeSubject) -> None:
    """Run every check, each on a subject of its own.

    Raises an `ExceptionGroup` that holds a `BrokenPromise` for each promise that was not kept, named in its text; what
    the store itself raised is its cause.
    """
    broken: list[BrokenPromise] = []
    for check in CHECKS:
        try:
            async with _opened(make) as subject:
                await check(subject)
        except Exception as error:  # noqa: BLE001 - whatever a store fails with, the promise is broken
            told = str(error) if isinstance(error, BrokenPromise) else f"{type(error).__name__}: {error}"
            named = BrokenPromise(f"{check.__name__}: {told}")
            named.__cause__ = error
            broken.append(named)
    if broken:
        raise ExceptionGroup(f"{len(broken)} of {len(CHECKS)} promises of a token store are broken", broken)


@asynccontextmanager
async def _opened(make: MakeSubject) -> AsyncGenerator[Subject]:
    made = make()
    if isinstance(made, Subject):
        yield made
    else:
        async with made as subject:
            yield subject
