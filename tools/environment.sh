#!/usr/bin/env bash
# Make the development environment `.venv`: DeepLabCut, JupyterLab, the test tools, and this package, editable.
#
# Run it by `make .venv`. PYTHON=/path/to/python chooses the interpreter; otherwise the first of python3.11 (the version
# that constraints.txt was written with), 3.12, 3.13 and python3 that will do is taken.
set -euo pipefail
cd "$(dirname "$0")/.."

is_recent() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

find_python() {
    local candidate
    for candidate in ${PYTHON:-python3.11 python3.12 python3.13 python3}; do
        if is_recent "$candidate"; then
            "$candidate" -c 'import sys; print(sys.executable)'
            return
        fi
    done
    echo "Python 3.11 or newer is needed and ${PYTHON:-none} was found. Install one, or run: make PYTHON=/path/to/python3.11 …" >&2
    return 1
}

if ! { is_recent .venv/bin/python && .venv/bin/python -m pip --version >/dev/null; }; then
    python=$(find_python)
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        tools/system_packages.sh "$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
    fi
    echo "Making .venv with $python"
    "$python" -m venv --clear .venv
fi

log=.venv/install.log
echo "Installing DeepLabCut, JupyterLab and the test tools: up to 3 GB, some minutes. What pip says is in $log"
if ! .venv/bin/python -m pip install --progress-bar off -c constraints.txt -e '.[deeplabcut,lab,test]' >"$log" 2>&1; then
    tail -n 30 "$log" >&2
    echo "pip could not install everything; all that it said is in $log" >&2
    exit 1
fi
.venv/bin/python tools/pair_torchvision.py
echo "The environment is complete."

touch .venv/.complete
