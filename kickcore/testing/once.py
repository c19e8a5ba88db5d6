"""Strategies are built once for each set of arguments: Hypothesis looks a new one through before it draws from it."""

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import ParamSpec, TypeVar, cast

from hypothesis.strategies import SearchStrategy

P = ParamSpec("P")
T = TypeVar("T")


def built_once(build: Callable[P, SearchStrategy[T]]) -> Callable[P, SearchStrategy[T]]:
    """Remember the last strategies that were built. The arguments can be hashed."""
    return cast("Callable[P, SearchStrategy[T]]", wraps(build)(lru_cache(maxsize=256)(build)))
