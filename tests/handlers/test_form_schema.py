"""The forms of the panels are tested (in labextension/) with the schemas that there are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_schemas_that_the_forms_are_tested_with_are_those_that_there_are() -> None:
    tool = [sys.executable, ROOT / "tools" / "write_form_schema.py", "--check"]
    ran = subprocess.run(tool, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
