"""Write what GET /schema answers, for the tests of the forms in labextension/ (``make docs``)."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from dlc_jupyter.analyses import base
from dlc_jupyter.handlers.schemas import described

PAGE = Path(__file__).parent.parent / "labextension" / "tests" / "schema.json"


def page() -> str:
    """Return the document, of the analyses that come with the package alone."""
    own = {name: each for name, each in described().items() if base.registry()[name].__module__.startswith("dlc_")}
    return json.dumps(own, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    if "--check" in sys.argv[1:]:
        sys.exit(0 if PAGE.exists() and PAGE.read_text() == page() else f"{PAGE.name} is out of date: run make docs.")
    PAGE.write_text(page())
