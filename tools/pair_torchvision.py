"""Make torchvision importable where its wheel was built for CUDA and torch was not.

For development environments only; no wheel contains it. Run with the environment's own interpreter:

    .venv/bin/python tools/pair_torchvision.py

It does nothing where ``import torchvision`` works, and fails where it fails for any other reason than this pairing.
"""

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

SHIM = Path(__file__).with_name("torchvision_cpu_shim.py")
SYMPTOM = "operator torchvision::nms does not exist"


def import_error() -> str | None:
    """What a fresh interpreter prints when it cannot import torchvision; None if it can."""
    result = subprocess.run(
        [sys.executable, "-c", "import torchvision"], stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    return None if result.returncode == 0 else result.stderr


def install_shim(site_packages: Path) -> None:
    """Copy the shim to where this interpreter loads it at every start."""
    shutil.copyfile(SHIM, site_packages / SHIM.name)
    (site_packages / f"{SHIM.stem}.pth").write_text(f"import {SHIM.stem}\n")


def main() -> int:
    """Look, mend if need be, look again; the exit status."""
    if sys.prefix == sys.base_prefix:
        print("Run this with the interpreter of a virtual environment: it changes the environment it runs in.")
        return 1
    error = import_error()
    if error is None:
        return 0
    if SYMPTOM in error:
        install_shim(Path(sysconfig.get_path("purelib")))
        error = import_error()
    if error is None:
        print("torchvision is built for CUDA and torch is not: installed a shim that lets them be imported together.")
        return 0
    print(f"torchvision cannot be imported:\n{error}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
