"""Analyses of other packages: found by their entry points, and left out where they are broken."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dlc_jupyter.analyses.base import registry

HEAD = "from dlc_jupyter.analyses.base import Analysis, Parameters\n"
GOOD = HEAD + "class Count(Analysis):\n    name = 'count'\n    class Parameters(Parameters):\n        to: int = 3\n"


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], None]]:
    """Install a package whose module holds this text and whose entry point is the class ``Count`` in it."""
    modules: list[str] = []

    def put(package: str, text: str) -> None:
        module = package.replace("-", "_")
        modules.append(module)
        (tmp_path / f"{module}.py").write_text(text)
        information = tmp_path / f"{module}-1.dist-info"
        information.mkdir()
        (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1\n")
        (information / "entry_points.txt").write_text(f"[dlc_jupyter.analyses]\nentry-{module} = {module}:Count\n")

    monkeypatch.syspath_prepend(str(tmp_path))
    registry.cache_clear()
    yield put
    registry.cache_clear()
    for module in modules:
        sys.modules.pop(module, None)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("import there_is_no_such_module", "ModuleNotFoundError: No module named 'there_is_no_such_module'"),
        ("def f(:", "SyntaxError: invalid syntax"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("", "AttributeError: module 'bad_lab' has no attribute 'Count'"),
        ("Count = 7", "TypeError: bad_lab:Count is no subclass of dlc_jupyter.analyses.base.Analysis"),
        (HEAD + "class Count(Analysis): pass", "TypeError: bad_lab:Count has no name"),
        (HEAD + "class Count(Analysis):\n    name = 'x'", "AttributeError: type object 'Count' has no attribute"),
    ],
    ids=["not importable", "no Python", "exits", "not there", "no class", "no name", "no parameters"],
)
def test_a_broken_package_is_left_out_and_named(
    install: Callable[[str, str], None], caplog: pytest.LogCaptureFixture, text: str, why: str
) -> None:
    install("bad-lab", text)
    install("good-lab", GOOD)
    found = registry()
    assert {"sleep", "video", "label", "count"} <= set(found)
    (warning,) = [record.getMessage() for record in caplog.records]
    assert warning.startswith(f"The analysis entry-bad_lab of bad-lab is left out: {why}")


def test_a_package_cannot_take_the_name_of_an_analysis_that_is_there(install: Callable[[str, str], None]) -> None:
    sleep = registry()["sleep"]
    registry.cache_clear()
    install("good-lab", GOOD.replace("'count'", "'sleep'"))
    assert registry()["sleep"] is sleep
