"""Write docs/configuration.md from the options themselves (``make docs``); with ``--check``, say whether it is true."""

from __future__ import annotations

import sys
from pathlib import Path

from traitlets import TraitType

from dlc_jupyter.settings import GIB, Settings

PAGE = Path(__file__).parent.parent / "docs" / "configuration.md"

HEAD = """\
# Configuration

<!-- Written by tools/write_configuration_page.py (make docs) from dlc_jupyter/settings.py: change it there. -->

Every option is a trait of `DLCApp`. Write it into `jupyter_server_config.py` (`jupyter --paths` lists the folders where
Jupyter looks for it), or give it on a command line:

```python
# jupyter_server_config.py
c.DLCApp.models = {"my-mouse": "/data/projects/my-mouse-2026-01-01/config.yaml"}
c.DLCApp.data_dir = "/data/dlc"
```

```bash
jupyter lab --DLCApp.data_dir=/data/dlc
jupyter dlc --DLCApp.models=my-mouse=/data/projects/my-mouse-2026-01-01/config.yaml
```

The server, the worker and `dlc-jupyter` read the same files: `jupyter_dlc_config`, `jupyter_config` and
`jupyter_server_config`, as `.py` or `.json`, the later ones winning over the earlier ones and the command line over all
of them. `--config=FILE` is read instead of `jupyter_server_config`. `dlc-jupyter check` says whether what is configured
can work.

| option | type | default |
|---|---|---|
"""

#: Defaults that depend on the machine, in words.
IN_WORDS = {
    "data_dir": "`dlc` under Jupyter's data folder (`jupyter --data-dir`)",
    "engine_python": "the server's own Python",
}
TYPES = {
    "Unicode": "text",
    "Dict": "name → path",
    "Int": "whole number",
    "Float": "number",
    "Bool": "`True` or `False`",
}


def default(name: str, trait: TraitType[object, object]) -> str:
    """Return an option's default in words."""
    if name in IN_WORDS:
        return IN_WORDS[name]
    value = trait.default()
    if name.endswith("_bytes") and isinstance(value, int) and value >= GIB:
        return f"`{value}` ({value // GIB} GiB)"
    return "empty" if value in ("", {}) else f"`{value}`"


def page() -> str:
    """Return the whole page."""
    traits = {name: Settings.class_traits()[name] for name in Settings.option_names()}
    kinds = {name: TYPES[type(trait).__name__] for name, trait in traits.items()}
    rows = [f"| [`{name}`](#{name}) | {kinds[name]} | {default(name, trait)} |" for name, trait in traits.items()]
    sections = [
        f"\n## {name}\n\n{kinds[name][0].upper()}{kinds[name][1:]}. Default: {default(name, trait)}.\n\n{trait.help}\n"
        for name, trait in traits.items()
    ]
    return HEAD + "\n".join(rows) + "\n" + "".join(sections)


def main() -> int:
    """Write the page, or compare it."""
    if "--check" in sys.argv[1:]:
        if PAGE.exists() and PAGE.read_text() == page():
            return 0
        print("docs/configuration.md is not what the options say. Run: make docs", file=sys.stderr)
        return 1
    PAGE.write_text(page())
    return 0


if __name__ == "__main__":
    sys.exit(main())
