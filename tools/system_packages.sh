#!/usr/bin/env bash
# Make sure that the named programs are there, and install with apt-get those that are not.
#
#     tools/system_packages.sh ffmpeg ffprobe curl
#
# Touches nothing when all of them are found. Where it cannot install (no apt-get, or not root and no sudo), it says what
# to install and fails.
set -euo pipefail

# Prints the Debian package that brings the program $1.
package_of() {
    case $1 in
        ffmpeg | ffprobe) echo ffmpeg ;;
        node) echo nodejs ;;
        python3.*-venv) echo "$1" ;;
        *) echo "$1" ;;
    esac
}

# True if the program $1 can be run. `python3.x-venv` is no program but the part of Python that Debian packages apart.
is_there() {
    case $1 in
        python3.*-venv) "${1%-venv}" -c 'import ensurepip, venv' 2>/dev/null ;;
        *) command -v "$1" >/dev/null ;;
    esac
}

missing=()
packages=()
for program in "$@"; do
    if ! is_there "$program"; then
        missing+=("$program")
        packages+=("$(package_of "$program")")
    fi
done
[ ${#missing[@]} -eq 0 ] && exit 0
mapfile -t packages < <(printf '%s\n' "${packages[@]}" | sort -u)

as_root=()
if [ "$(id -u)" -ne 0 ]; then
    as_root=(sudo)
    [ -t 0 ] || as_root+=(-n) # nobody is there to type a password
fi

can_install() {
    command -v apt-get >/dev/null && { [ ${#as_root[@]} -eq 0 ] || "${as_root[@]}" true 2>/dev/null; }
}

install() {
    export DEBIAN_FRONTEND=noninteractive
    "${as_root[@]}" apt-get update -q </dev/null || return
    "${as_root[@]}" apt-get install -q -y --no-install-recommends "${packages[@]}" </dev/null
}

if can_install; then
    echo "Not found: ${missing[*]}. Installing with apt-get: ${packages[*]}"
    if install; then
        for program in "${missing[@]}"; do
            is_there "$program" || { echo "apt-get ran, but $program is still missing." >&2; exit 1; }
        done
        exit 0
    fi
fi

cat >&2 <<MESSAGE
Not found: ${missing[*]}. Install it and run the same command again, for example:
    Debian, Ubuntu:  sudo apt-get update && sudo apt-get install ${packages[*]}
    conda:           conda install -c conda-forge ${packages[*]}
    macOS:           brew install ${packages[*]}
MESSAGE
exit 1
