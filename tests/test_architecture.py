"""Imports point downwards: what docs/architecture.md promises."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import dlc_jupyter

PACKAGE = Path(dlc_jupyter.__file__).parent

#: What each room may use besides itself.
BELOW = {"amounts", "errors", "orphans", "settings", "storage", "_version"}
MAY_USE = {
    "amounts": set(),
    "errors": set(),
    "orphans": set(),
    "_version": set(),
    "settings": set(),
    "storage": {"amounts", "errors", "settings"},
    "pose": {"errors", "orphans"},
    "pose3d": {"errors", "pose"},
    "analyses": {"errors", "pose", "pose3d", "_version"},
    "jobs": BELOW | {"analyses", "pose"},
    "handlers": BELOW | {"analyses", "pose", "jobs"},
    "terminal": {"amounts"},
    "client": {"amounts", "errors", "terminal", "_version"},
    "widgets": {"client", "errors", "_version"},
    "demo": {"pose", "pose3d"},
}
#: What only the engine imports, and only when it runs something.
HEAVY = {"deeplabcut", "torch", "torchvision", "pandas", "cv2", "av"}


def imports(path: Path, *, late: bool = True) -> Iterator[str]:
    """The names of the modules that a file imports; without `late`, only those imported with the file itself."""
    tree = ast.parse(path.read_text())
    nodes = ast.walk(tree) if late else iter(tree.body)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def rooms_used(room: str) -> dict[str, set[str]]:
    """By file of a room, the other rooms of the package that it imports."""
    folder = PACKAGE / room
    files = sorted(folder.rglob("*.py")) if folder.is_dir() else [PACKAGE / f"{room}.py"]
    used = {}
    for file in files:
        parts = [name.split(".") for name in imports(file)]
        used[file.name] = {part[1] for part in parts if part[0] == "dlc_jupyter" and len(part) > 1} - {room}
    return used


@pytest.mark.parametrize("room", MAY_USE)
def test_a_room_uses_only_what_is_below_it(room: str) -> None:
    found = {file: used - MAY_USE[room] - {"__version__"} for file, used in rooms_used(room).items()}
    assert {file: used for file, used in found.items() if used} == {}


@pytest.mark.parametrize("room", ["analyses", "jobs", "handlers", "storage"])
def test_importing_a_room_imports_nothing_heavy(room: str) -> None:
    for file in (PACKAGE / room).glob("*.py"):
        assert not {name.split(".")[0] for name in imports(file, late=False)} & HEAVY, file.name


@pytest.mark.parametrize("room", ["pose", "pose3d", "analyses"])
def test_poses_and_analyses_know_neither_http_nor_sql(room: str) -> None:
    for file in (PACKAGE / room).glob("*.py"):
        assert not {name.split(".")[0] for name in imports(file)} & {"tornado", "huey", "sqlalchemy"}, file.name


def test_what_is_asked_of_the_kernel_is_in_one_module() -> None:
    assert {file.name for file in PACKAGE.rglob("*.py") if "prctl" in file.read_text()} == {"orphans.py"}


def test_what_only_one_database_knows_is_in_one_module() -> None:
    """huey's own queue file aside: it is SQLite by huey's choice. What is asked is in tests/jobs/test_postgresql.py."""
    assert {file.name for file in PACKAGE.rglob("*.py") if "PRAGMA" in file.read_text()} == {"database.py"}
    apart = ("sqlite3", "sqlalchemy.dialects", "psycopg")
    knowing = {
        file.relative_to(PACKAGE).as_posix()
        for file in PACKAGE.rglob("*.py")
        if any(name.startswith(apart) for name in imports(file))
    }
    assert knowing == {"storage/database.py", "jobs/queue.py"}
