"""Tries what may happen to a token, on kickcore and on kickcom.py 1.1.0, and counts: `python3 tests/reliability`.

    callers              10,000 calls at once whose token has ended
    processes            2, 20 and 80 of them on one cache
    lenient storm        20 processes for 20 s, a token that lives for 1 s, killed at random; no login may be needed
    strict storm         the same, all killed at once; who meets a grant that is gone must say so
    kill points          killed at each moment between "sent" and "saved"
    cancellation points  cancelled wherever a call can be suspended
    bad answers          odd answers to a refresh, while Kick rotates
    lost answers         answers that break off at each octet
    bad files            odd things in the place of the token file
    save points          a save cut short by a kill or an error at each of its calls to the system

Both talk to the simulated Kick, over HTTP, in a process of its own. All logs at DEBUG, warnings, outputs, errors and
the local names in their frames are looked through for tokens and the client secret.

Needs nothing but Python, on a POSIX system: it makes a virtual environment of its own, which is gone afterwards.
`--quick` tries fewer of everything. `--without-peer` leaves kickcom.py out and uses the environment that it is run in.
`--only NAME` plays one scenario. `--seed N` decides what is left to chance. The exit status is 1 if a number of
kickcore's that must be zero is not.
"""

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

HERE = Path(__file__).parent
PEER = "kickcom.py==1.1.0"


def main() -> int:
    arguments = sys.argv[1:]
    if "--without-peer" in arguments:
        return played(sys.executable, arguments)
    with tempfile.TemporaryDirectory(prefix="kickcore-reliability-") as folder:
        venv.create(folder, with_pip=True)
        python = str(Path(folder) / "bin" / "python")
        install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, f"{HERE.parent.parent}[trio]", PEER], check=True)
        return played(python, arguments)


def played(python: str, arguments: list[str]) -> int:
    return subprocess.run([python, str(HERE / "run.py"), *arguments], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
