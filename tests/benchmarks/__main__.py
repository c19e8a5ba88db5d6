"""Measures kickcore beside kickcom.py 1.1.0, bare httpx2, and recorders, in one run: `python3 tests/benchmarks`.

Needs nothing but Python: it makes a virtual environment of its own, which is gone afterwards. `--rounds N` for more or
fewer rounds (default 15); `--only calls` or `--only replay` for a half of it.
"""

import argparse
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

HERE = Path(__file__).parent
PEERS = {
    "calls": ("measure.py", ["kickcom.py==1.1.0"]),
    "replay": ("replay.py", ["vcrpy==9.4.2", "cassetter==0.16.1", "respx==0.23.1", "httpx==0.28.1"]),
}


def main() -> int:
    options = argparse.ArgumentParser()
    options.add_argument("--only", choices=tuple(PEERS))
    chosen, rest = options.parse_known_args()
    halves = [chosen.only] if chosen.only else [*PEERS]
    with tempfile.TemporaryDirectory(prefix="kickcore-benchmarks-") as folder:
        venv.create(folder, with_pip=True)
        python = str(Path(folder) / "bin" / "python")
        install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        peers = [peer for half in halves for peer in PEERS[half][1]]
        subprocess.run([*install, f"{HERE.parent.parent}[cli]", *peers], check=True)
        codes = [
            subprocess.run([python, str(HERE / PEERS[half][0]), *rest], cwd=folder, check=False).returncode
            for half in halves
        ]
    return max(codes)


if __name__ == "__main__":
    sys.exit(main())
