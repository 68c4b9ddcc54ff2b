"""Write constraints.txt: every distribution in this environment, at its version.

    .venv/bin/python tools/write_constraints.py

The build of a version (``2.13.0+cpu``), where it came from, this package itself and the wheels that only a CUDA build
of torch needs are left out, so that the same file serves every machine.
"""

import re
from importlib.metadata import distributions
from pathlib import Path

CONSTRAINTS = Path(__file__).parent.parent / "constraints.txt"
HEADER = """\
# The versions that `make .venv` installs, all tested together. Written by tools/write_constraints.py, not by hand.
"""
LEFT_OUT = re.compile(r"dlc-jupyter|pip|triton|nvidia-.*|cuda-.*")


def normalized(name: str) -> str:
    """A distribution's name as pip compares it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def main() -> None:
    """Write the file beside pyproject.toml."""
    versions = {normalized(found.name): found.version.partition("+")[0] for found in distributions()}
    kept = [f"{name}=={versions[name]}" for name in sorted(versions) if not LEFT_OUT.fullmatch(name)]
    CONSTRAINTS.write_text(HEADER + "\n".join(kept) + "\n")


if __name__ == "__main__":
    main()
