"""Looks for secrets in what a library lets out: logs, warnings, errors and the local names of its frames."""

import logging
import re
import traceback
import warnings
from collections.abc import Iterator
from types import TracebackType
from typing import Final

from journal import Journal, SecretSeen

CANARY: Final = re.compile(r"SANDBOX(?:USER|REFRESH|APP|SECRET)[A-Z2-7]{8}")
"""How each token of the simulated Kick begins, and the client secret. A piece of one counts as well."""


class Watch(logging.Handler):
    """A handler of all logs at DEBUG, and what looks at everything else. Writes what it finds into the journal."""

    def __init__(self, journal: Journal, folders: tuple[str, ...]) -> None:
        super().__init__(logging.DEBUG)
        self._journal = journal
        self.folders = folders
        self.setFormatter(logging.Formatter("%(name)s %(message)s"))

    def begin(self) -> None:
        """See everything from now on. Warnings are looked at and not shown: there are thousands."""
        logging.getLogger().addHandler(self)
        logging.getLogger().setLevel(logging.DEBUG)
        warnings.simplefilter("always")
        warnings.showwarning = lambda message, *_, **__: self.look("a warning", str(message))

    def emit(self, record: logging.LogRecord) -> None:
        self.look(f"log of {record.name}", self.format(record))

    def look(self, where: str, text: str) -> None:
        if CANARY.search(text):
            self._journal.write(SecretSeen(where))

    def error(self, error: BaseException) -> None:
        """Look at an error as it is logged, and as services that collect errors see it: with the library's locals."""
        name = type(error).__name__
        self.look(f"text of {name}", "".join(traceback.format_exception(error)) + repr(error))
        shown = {repr_of(value) for link in chain(error) for value in self._locals(link.__traceback__)}
        self.look(f"frames of {name}", "\n".join(shown))

    def _locals(self, trace: TracebackType | None) -> Iterator[object]:
        for frame, _ in traceback.walk_tb(trace):
            if frame.f_code.co_filename.startswith(self.folders):
                yield from frame.f_locals.values()


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what it came from."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def repr_of(value: object) -> str:
    try:
        return repr(value)
    except Exception:  # noqa: BLE001 - a value that cannot be shown shows nothing
        return ""
