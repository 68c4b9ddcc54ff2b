"""What is installed: the wheel as it is released, and what runs in an environment that has nothing but it."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from dlc_jupyter import __version__, demo
from dlc_jupyter.commands.server import OwnServer

ROOT = Path(__file__).parent.parent

#: Only the engine may import these: an environment without the extra ``deeplabcut`` has none of them.
OF_THE_ENGINE = {"av", "cv2", "deeplabcut", "matplotlib", "numpy", "pandas", "scipy", "tables", "torch", "torchvision"}


# -- the archives ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source archive, and the wheel that is built from it, as ``make dist`` does."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    return next(dist.glob("*.whl"))


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        licence = archive.read(f"dlc_jupyter-{__version__}.dist-info/licenses/LICENSE").decode()
        metadata = archive.read(f"dlc_jupyter-{__version__}.dist-info/METADATA").decode()
    package = ROOT / "dlc_jupyter"
    ours = {
        str(path.relative_to(ROOT)) for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    }
    config = f"dlc_jupyter-{__version__}.data/data/etc/jupyter/jupyter_server_config.d/dlc_jupyter.json"
    about = {f"dlc_jupyter-{__version__}.dist-info/{name}" for name in ("METADATA", "RECORD", "WHEEL")}
    about |= {f"dlc_jupyter-{__version__}.dist-info/{name}" for name in ("entry_points.txt", "licenses/LICENSE")}
    assert names == ours | {config} | about
    assert {f"dlc_jupyter/{path.relative_to(package)}" for path in (demo.VIDEO, demo.TRUTH, demo.MODEL)} <= names
    assert "MIT License" in licence
    assert "License-Expression: MIT" in metadata
    assert "Requires-Dist: torch" in metadata
    assert not [line for line in metadata.splitlines() if "Requires-Dist: torch" in line and "extra ==" not in line]


def test_the_source_archive_holds_what_a_contributor_needs(dist: Path) -> None:
    with tarfile.open(next(dist.glob("*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for name in ("Makefile", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "README.md", "constraints.txt"):
        assert name in names
    assert {"tests/test_packaging.py", "docs/configuration.md", "tools/environment.sh"} <= names
    assert not [name for name in names if name.startswith((".venv", ".git/", "demo-run", "dist"))]


# -- an environment of its own -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Environment:
    """An environment in which the wheel is installed; its dependencies are those of the environment of the tests."""

    folder: Path

    def run(self, *command: object, rc: int = 0) -> str:
        """Run a program of it, far from the checkout, and return what it printed."""
        program, *arguments = map(str, command)
        done = subprocess.run(
            [self.folder / "bin" / program, *arguments],
            cwd=self.folder,
            env={"PATH": f"{self.folder / 'bin'}:/usr/bin:/bin", "HOME": str(self.folder)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == rc, done.stdout
        return done.stdout


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", f"--python={python}", "install", "--quiet", "--no-deps", "--no-index", wheel]
    subprocess.run(pip, check=True, stdin=subprocess.DEVNULL)
    # Of this other folder only the packages themselves are found, not what its .pth files name: not the checkout.
    packages = next((folder / "lib").glob("python*/site-packages"))
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return Environment(folder)


def test_what_is_installed_is_the_wheel(environment: Environment) -> None:
    where = environment.run("python", "-c", "import dlc_jupyter; print(dlc_jupyter.__file__)")
    assert where.startswith(str(environment.folder))


def test_installing_enables_the_server_extension(environment: Environment) -> None:
    listed = environment.run("python", "-m", "jupyter_server", "extension", "list")
    line = next(line for line in listed.splitlines() if line.split()[:1] == ["dlc_jupyter"])
    assert "enabled" in line
    validated = next(line for line in listed.splitlines() if f"dlc_jupyter {__version__}" in line)
    assert "OK" in validated
    assert "Extension    Jupyter's servers load it" in environment.run(
        "dlc-jupyter", "check", "--DLCApp.engine_python=/nowhere/python", rc=1
    )


def test_both_commands_are_there(environment: Environment) -> None:
    assert environment.run("dlc-jupyter", "--version") == f"dlc-jupyter {__version__}\n"
    assert environment.run("jupyter-dlc", "--version") == f"{__version__}\n"


def test_the_installed_demo_model_can_be_used(environment: Environment) -> None:
    path = environment.run("python", "-c", "from dlc_jupyter import demo; print(demo.MODEL)").strip()
    assert path.startswith(str(environment.folder))
    listed = json.loads(environment.run("dlc-jupyter", "models", "--json", f"--DLCApp.models=mouse={path}"))
    assert [(model["problem"], len(model["snapshots"])) for model in listed] == [(None, 1)]


# -- what is imported --------------------------------------------------------------------------------------------------


def test_importing_the_package_imports_next_to_nothing() -> None:
    code = "import sys, dlc_jupyter; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert not set(done.stdout.split()) & (OF_THE_ENGINE | {"tornado", "jupyter_server", "sqlalchemy", "pydantic"})


REPORT = """\
import atexit, json, os, sys
def report():
    with open(os.path.join({folder!r}, str(os.getpid())), "w") as file:
        json.dump([sys.argv, sorted({{name.partition(".")[0] for name in sys.modules}})], file)
atexit.register(report)
"""


def test_neither_server_nor_worker_import_what_only_the_engine_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every process writes down at its end what it has imported, after an upload and an analysis."""
    reports = tmp_path / "reports"
    reports.mkdir()
    (tmp_path / "sitecustomize.py").write_text(REPORT.format(folder=str(reports)))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("DLC_JUPYTER_PRELOAD", "")
    config = tmp_path / "config.py"
    models = {demo.MODEL_NAME: str(demo.MODEL)}
    config.write_text(
        f"c.DLCApp.data_dir = {str(tmp_path / 'data')!r}\nc.DLCApp.models = {models!r}\nc.DLCApp.min_free_bytes = 0\n"
    )
    with OwnServer(config, tmp_path) as server:
        client = server.client
        client.upload(demo.VIDEO)
        client.wait(client.run("sleep", time=0), timeout=60)
        client.models()
    imported: dict[str, set[str]] = {}
    for report in reports.iterdir():
        argv, modules = json.loads(report.read_text())
        imported[Path(argv[0]).stem] = set(modules)
    for name in ("app", "worker"):
        assert "dlc_jupyter" in imported[name]
        assert not imported[name] & OF_THE_ENGINE
