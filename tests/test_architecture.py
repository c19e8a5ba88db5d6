"""The rules of the house that no other tool keeps."""

import ast
import inspect
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

import kickcore
from interpreters.live import Live
from kickcore import KickClient, effects, errors
from kickcore.api import categories, channels, chat, introspection, livestreams, users
from kickcore.effects import Effect, Exclusive, Leaf, RenewAhead
from kickcore.oauth import login

ROOT = Path(__file__).parent.parent
PURE = sorted(
    path
    for path in (ROOT / "kickcore").rglob("*.py")
    if path.relative_to(ROOT / "kickcore").parts[0] not in {"client.py", "__main__.py", "cli"}
)
CORE = [path for path in PURE if path.relative_to(ROOT / "kickcore").parts[0] != "testing"]
"""What needs no interpreter either."""
LEAVES: tuple[type[Effect[Any]], ...] = get_args(Leaf)


def nodes(path: Path) -> Iterator[ast.AST]:
    return ast.walk(ast.parse(path.read_text("utf-8")))


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", PURE, ids=named)
def test_no_pure_module_knows_async(path: Path) -> None:
    kinds = (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith)
    assert not [node.lineno for node in nodes(path) if isinstance(node, kinds)]


@pytest.mark.parametrize("path", PURE, ids=named)
def test_a_bare_yield_stands_only_where_an_effect_is_its_own_wrapper(path: Path) -> None:
    found = [node for node in nodes(path) if isinstance(node, ast.Yield)]
    assert len(found) == (1 if path.name == "effects.py" else 0)


@pytest.mark.parametrize("path", PURE, ids=named)
def test_no_program_asks_for_an_effect_in_a_finally_or_catches_what_is_not_an_exception(path: Path) -> None:
    for node in nodes(path):
        if isinstance(node, ast.Try):
            inside = [inner for statement in node.finalbody for inner in ast.walk(statement)]
            assert not any(isinstance(inner, ast.Yield | ast.YieldFrom) for inner in inside)
        if isinstance(node, ast.ExceptHandler):
            caught = ast.unparse(node.type) if node.type else "everything"
            assert not any(word in caught for word in ("BaseException", "GeneratorExit", "everything"))


@pytest.mark.parametrize("path", PURE, ids=named)
def test_no_pure_module_opens_prints_or_asks_the_time(path: Path) -> None:
    forbidden = {"open", "print", "input", "eval", "exec", "datetime.now", "datetime.utcnow", "datetime.today"}
    calls = {ast.unparse(node.func) for node in nodes(path) if isinstance(node, ast.Call)}
    assert not calls & forbidden


@pytest.mark.parametrize("path", PURE, ids=named)
def test_nothing_is_silenced_in_the_core(path: Path) -> None:
    text = path.read_text("utf-8")
    assert "type: ignore" not in text
    assert "pyright: ignore" not in text


def test_one_effect_has_one_handler_of_its_name_and_one_line_in_the_rules_and_the_docs() -> None:
    defined = {kind for _, kind in inspect.getmembers(effects, inspect.isclass) if issubclass(kind, Effect)} - {Effect}
    assert defined == {*LEAVES, Exclusive, RenewAhead}
    page = (ROOT / "docs" / "effects.md").read_text("utf-8")
    assert effects.__doc__ is not None
    for kind in defined:
        tag = kind.__struct_config__.tag
        assert isinstance(tag, str)
        assert tag == effects._snake_case(kind.__name__)
        assert effects.__doc__.count(f"\n    {kind.__name__}(") == 1
        assert page.count(f"| `{kind.__name__}(") == 1
    handlers = {name for name, member in vars(Live).items() if inspect.iscoroutinefunction(member)}
    handlers = {name for name in handlers if not name.startswith("_")}
    assert {kind.__struct_config__.tag for kind in LEAVES} == handlers - {"aclose"}


def test_the_client_has_each_program_under_its_own_name_with_its_signature() -> None:
    modules = (users, channels, livestreams, categories, chat, introspection, login)
    programs = {
        name: member
        for module in modules
        for name, member in inspect.getmembers(module, inspect.isgeneratorfunction)
        if not name.startswith("_") and member.__module__ == module.__name__
    }
    for name, program in programs.items():
        method = getattr(KickClient, name)
        assert method.__name__ == name
        assert method.__doc__
        assert inspect.iscoroutinefunction(method)
        if name != "authenticate":
            assert list(inspect.signature(method).parameters) == ["self", *inspect.signature(program).parameters]
            assert method.__doc__ == program.__doc__


def test_help_shows_a_method_and_not_a_generator() -> None:
    assert str(inspect.signature(KickClient.fetch_user)) == (
        "(self, user_id: int | None = None) -> kickcore.api.users.User"
    )
    assert not hasattr(KickClient.fetch_user, "__wrapped__")


def test_all_public_names_are_there() -> None:
    assert kickcore.__all__ == ["KickClient", "KickError", "Scope", "Secret", "__version__"]
    assert all(getattr(kickcore, name) is not None for name in kickcore.__all__)
    assert dir(kickcore) == sorted(kickcore.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = kickcore.nonsense  # pyright: ignore[reportAttributeAccessIssue]


def test_every_error_is_in_the_one_tree() -> None:
    own = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if kind.__module__ == errors.__name__]
    assert all(issubclass(kind, errors.KickError | errors.KickWarning) for kind in own)


def test_importing_the_package_loads_neither_a_loop_nor_an_http_library() -> None:
    code = "import sys, kickcore; print(*{m.split('.')[0] for m in sys.modules})"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert not {"anyio", "asyncio", "trio", "httpx2", "h11", "socket", "ssl", "interpreters"} & set(told.stdout.split())


def test_the_pure_core_imports_where_no_loop_and_no_socket_can_be() -> None:
    modules = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in CORE]
    code = (
        "import sys\n"
        "forbidden = 'anyio asyncio trio socket ssl httpx2 interpreters'\n"
        "sys.modules.update(dict.fromkeys(forbidden.split()))\n"
        f"for name in {modules!r}: __import__(name.removesuffix('.__init__'))\n"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert told.returncode == 0, told.stderr


def test_the_top_level_holds_what_it_should() -> None:
    shown = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}
    built = {"dist", "build", "__pycache__"}
    assert shown - built == {"LICENSE", "README.md", "docs", "interpreters", "kickcore", "pyproject.toml", "tests"}


def test_names_say_something() -> None:
    empty = {"utils", "util", "helpers", "helper", "manager", "base", "common", "misc"}
    paths = [*(ROOT / "kickcore").rglob("*"), *(ROOT / "interpreters").rglob("*")]
    assert not [path for path in paths if path.stem in empty]
