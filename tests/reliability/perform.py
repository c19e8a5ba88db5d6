"""Plays one scenario with one library, and prints rows as JSON: `perform.py SUBJECT SCENARIO URL SEED quick|full`."""

import ssl
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec
from answers import bad_answers, lost_answers
from bad_files import bad_files
from cancelling import cancellation_points
from crowd import callers, processes
from deaths import kill_points
from orders import Control
from rows import Row
from saves import save_points
from stage import Stage
from storm import lenient_storm, strict_storm
from subjects import SUBJECTS

SCENARIOS: Final[dict[str, Callable[[Stage], Iterator[Row]]]] = {
    "callers": callers,
    "processes": processes,
    "lenient storm": lenient_storm,
    "strict storm": strict_storm,
    "kill points": kill_points,
    "cancellation points": cancellation_points,
    "bad answers": bad_answers,
    "lost answers": lost_answers,
    "bad files": bad_files,
    "save points": save_points,
}


def main(subject: str, scenario: str, url: str, seed: str, form: str) -> None:
    with tempfile.TemporaryDirectory(prefix="kickcore-reliability-") as folder:
        stage = Stage(SUBJECTS[subject](), Control(url), Path(folder), int(seed), is_quick=form == "quick")
        stage.watch.begin()
        # Nothing here is encrypted, and each of thousands of clients would read all certificates that there are.
        ssl.SSLContext.load_verify_locations = lambda *_, **__: None
        for row in SCENARIOS[scenario](stage):
            print(msgspec.json.encode(row).decode(), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
