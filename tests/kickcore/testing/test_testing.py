"""The package as users meet it."""

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import kickcore.testing

ROOT = Path(__file__).parents[3]
NAMES = kickcore.testing.__all__


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)


@pytest.mark.parametrize("module", ["kickcore.testing", "kickcore.testing.clocks"])
def test_without_hypothesis_the_error_says_what_to_install(module: str) -> None:
    told = python(f"import sys; sys.modules['hypothesis'] = None; import {module}")
    assert told.returncode == 1
    assert told.stderr.endswith(
        "ImportError: kickcore.testing needs Hypothesis; install it with: pip install 'kickcore[testing]'\n"
    )


def test_kickcore_itself_does_not_load_it() -> None:
    told = python("import sys, kickcore, kickcore.client; print('hypothesis' in sys.modules)")
    assert told.stdout == "False\n", told.stderr


def test_it_needs_no_pytest() -> None:
    told = python("import sys; sys.modules['pytest'] = None; import kickcore.testing")
    assert told.returncode == 0, told.stderr


def test_all_names_are_there_and_in_order() -> None:
    assert len(set(NAMES)) == len(NAMES)
    assert all(getattr(kickcore.testing, name) is not None for name in NAMES)
    tree = ast.parse(Path(kickcore.testing.__file__).read_text("utf-8"))
    imported = {alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert imported - {"find_spec"} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_name_that_can_be_called_says_what_it_is(name: str) -> None:
    member = getattr(kickcore.testing, name)
    if inspect.isclass(member) or inspect.isfunction(member):
        assert inspect.getdoc(member)
    if inspect.isfunction(member):
        signature = inspect.signature(member)
        assert signature.return_annotation is not signature.empty
        assert all(each.annotation is not each.empty for each in signature.parameters.values())


def test_every_name_is_on_the_page() -> None:
    page = (ROOT / "docs" / "testing.md").read_text("utf-8")
    assert [name for name in NAMES if f"{name}" not in page] == []
