"""The version of kickcore, where everything may read it."""

from typing import Final

VERSION: Final = "0.1.0"
