"""The world that the tests of the simulated API begin with."""

import pytest

from interpreters.sandbox import Sandbox, small_world

from .asking import NOW


@pytest.fixture
def sandbox() -> Sandbox:
    """The small world, in which it is always the same moment."""
    return Sandbox(small_world(), clock=lambda: NOW)
