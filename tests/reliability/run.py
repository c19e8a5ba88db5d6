"""Plays every scenario with every library and prints tables and totals. Run by `python3 tests/reliability`."""

import argparse
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Final

import msgspec
from perform import SCENARIOS
from rows import Row, faults, summary, table
from subjects import SUBJECTS
from watch import CANARY

HERE: Final = Path(__file__).parent
LONGEST: Final = 900
"""Seconds that one scenario may take with one library."""


@contextmanager
def simulated_kick() -> Iterator[str]:
    """The simulated Kick in a process of its own, and where it is."""
    command = [sys.executable, str(HERE / "kick.py")]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        yield f"http://127.0.0.1:{server.stdout.readline().strip()}"
    finally:
        server.kill()
        server.communicate()


def play(subject: str, url: str, *, scenario: str, options: argparse.Namespace) -> list[Row]:
    """Play one scenario with one library in a process of its own, and look through all that it prints."""
    form = "quick" if options.quick else "full"
    command = [sys.executable, str(HERE / "perform.py"), subject, scenario, url, str(options.seed), form]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST, check=False)
    printed = [line for line in done.stdout.splitlines() if not line.startswith("{")] + done.stderr.splitlines()
    rows = [msgspec.json.decode(line, type=Row) for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not (rows or subject == "kickcore-trio"):
        told = CANARY.sub("…", "\n".join(printed[-30:]))
        raise SystemExit(f"{subject}, {scenario}: could not be played (status {done.returncode})\n{told}")
    shown = sum(bool(CANARY.search(line)) for line in printed)
    if shown:
        last = rows[-1]
        note = f"{last.note}; {shown} lines of output show a secret".removeprefix("; ")
        rows[-1] = msgspec.structs.replace(last, secrets=last.secrets + shown, note=note)
    return rows


def machine(seed: int, *, with_peer: bool) -> str:
    """What was measured where."""
    names = ["kickcore", "anyio", "trio", "httpx2", *(["kickcom.py", "aiohttp"] if with_peer else [])]
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    where = f"CPython {platform.python_version()}, {platform.system()} {platform.machine()}, {os.cpu_count()} CPUs"
    return f"{where}; seed {seed}; {datetime.now(UTC):%Y-%m-%d}; {versions}"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python3 tests/reliability", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a bounded form: fewer of everything")
    parser.add_argument("--without-peer", action="store_true", help="kickcore only")
    parser.add_argument("--seed", type=int, default=1, help="for what is left to chance")
    parser.add_argument("--only", choices=list(SCENARIOS), help="one scenario")
    return parser.parse_args()


def main() -> int:
    options = arguments()
    print(machine(options.seed, with_peer=not options.without_peer), flush=True)
    subjects = [name for name in SUBJECTS if not (options.without_peer and name == "kickcom.py")]
    rows: list[Row] = []
    with ExitStack() as stack:
        urls = [stack.enter_context(simulated_kick()) for _ in subjects]
        # In the full form one at a time: each shall have the machine to itself.
        threads = stack.enter_context(ThreadPoolExecutor(2 if options.quick else 1))
        for scenario in [options.only] if options.only else SCENARIOS:
            played = threads.map(partial(play, scenario=scenario, options=options), subjects, urls)
            new = [row for result in played for row in result]
            for title in dict.fromkeys(row.scenario for row in new):
                print(table(title, [row for row in new if row.scenario == title]), flush=True)
            rows += new
    print(summary(rows))
    wrong = faults(row for row in rows if row.library == "kickcore")
    print("\nNot zero, and must be:\n  " + "\n  ".join(wrong) if wrong else "\nAll that must be zero for kickcore is.")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
