"""The quick form of `python3 tests/reliability`, without kickcom.py: what must be zero is zero."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
TRIED = (
    "callers",
    "processes",
    "kills",
    "kill points",
    "save points",
    "cancellation points",
    "bad answers",
    "lost answers",
    "bad files",
)
ZERO = (
    "refreshes beyond one",
    "grants lost",
    "calls failed that should not",
    "errors that do not say what is wrong",
    "errors outside the library's tree",
    "secrets seen",
)
LINE = re.compile(r"^  (\S.*?) {2,}([\d,]+)$", re.MULTILINE)


@pytest.mark.skipif(os.name != "posix", reason="processes are forked, and killed by signals")
def test_what_must_be_zero_is() -> None:
    command = [sys.executable, str(HERE), "--quick", "--without-peer"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    totals = {name: int(count.replace(",", "")) for name, count in LINE.findall(done.stdout.partition("\nIn all")[2])}
    assert {name: totals[name] for name in ZERO} == dict.fromkeys(ZERO, 0)
    assert all(totals[name] for name in TRIED)
    assert "kickcore, asyncio" in done.stdout
    assert "kickcore, trio" in done.stdout
