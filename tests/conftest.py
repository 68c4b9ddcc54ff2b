"""For all tests: a real Jupyter server in the test's own process (``jp_serverapp``, ``jp_fetch``), and DeepLabCut."""

import importlib
import os
import warnings

import pytest

pytest_plugins = ["pytest_jupyter.jupyter_server"]

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("HF_HUB_OFFLINE", "1")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the tests in a browser write the documentation's pictures (``make pictures``)."""
    parser.addoption("--pictures", action="store_true", help="write the pictures of docs/pictures")


@pytest.fixture(scope="session")
def deeplabcut():
    """DeepLabCut, imported once: that takes ten seconds. Only where nobody relies on the outcome may it be missing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module("deeplabcut") if os.environ.get("CI") else pytest.importorskip("deeplabcut")
