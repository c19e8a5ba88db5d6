"""Measures kickcore beside kickcom.py 1.1.0 and bare httpx2, in one run: `python3 tests/benchmarks`.

Needs nothing but Python: it makes a virtual environment of its own, which is gone afterwards. `--rounds N` for more or
fewer rounds (default 15).
"""

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

HERE = Path(__file__).parent
PEER = "kickcom.py==1.1.0"


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="kickcore-benchmarks-") as folder:
        venv.create(folder, with_pip=True)
        python = str(Path(folder) / "bin" / "python")
        install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, f"{HERE.parent.parent}[cli]", PEER], check=True)
        return subprocess.run([python, str(HERE / "measure.py"), *sys.argv[1:]], cwd=folder, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
