"""How the engine starts in a Python that may not have dlc_jupyter installed. Run with ``-c`` and the package's folder.

This package, and nothing else from where it is installed, is made importable. Must be valid in any Python 3.
"""

import importlib.util
import json
import os
import sys


def main(package, arguments):  # type: ignore[no-untyped-def]
    """Import dlc_jupyter from its folder and be the engine, or say why this Python cannot."""
    if not getattr(sys.flags, "safe_path", False):
        sys.path.pop(0)  # the current folder, where anything may lie
    try:
        if sys.version_info < (3, 11):  # noqa: UP036
            raise ImportError("it is Python %d.%d, and 3.11 or newer is needed" % sys.version_info[:2])  # noqa: UP031
        initial = os.path.join(package, "__init__.py")  # noqa: PTH118
        spec = importlib.util.spec_from_file_location("dlc_jupyter", initial, submodule_search_locations=[package])
        sys.modules["dlc_jupyter"] = module = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
        spec.loader.exec_module(module)  # type: ignore[union-attr]
        from dlc_jupyter.jobs.engine import main as be_engine
    except ImportError as error:
        problem = "The engine's Python cannot be used: {}. Set DLCApp.engine_python to the one that has DeepLabCut."
        print(json.dumps({"event": "broken", "problem": problem.format(str(error).split(" (/")[0])}), flush=True)
        sys.exit(1)
    be_engine(arguments)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])  # type: ignore[no-untyped-call]
