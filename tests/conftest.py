"""What all tests share: both event loops, the vectors and the payloads."""

import json
from pathlib import Path
from typing import Any

import pytest

TESTS = Path(__file__).parent


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def payload() -> Any:
    """The octets of an example body, by its path below `tests/payloads`."""
    return lambda name: (TESTS / "payloads" / name).read_bytes()


@pytest.fixture
def vectors() -> Any:
    """The vectors of a file below `tests/vectors`."""
    return lambda name: json.loads((TESTS / "vectors" / name).read_text("utf-8"))
