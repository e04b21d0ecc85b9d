#!/bin/sh
# Makes .venv/ as requirements.lock says. Needs Python 3.11 or newer and a package index, nothing
# else. PYTHON=… chooses the interpreter; pip's own settings choose the index.
set -eu
cd "$(dirname "$0")/.."

can() { # can INTERPRETER STATEMENT: it runs, is new enough, and the statement works
    "$1" -c "import sys; assert sys.version_info >= (3, 11); $2" >/dev/null 2>&1
}

newest() { # newest STATEMENT: the first interpreter that can
    for name in ${PYTHON:-python3.14 python3.13 python3.12 python3.11 python3 python}; do
        if can "$name" "$1"; then echo "$name" && return; fi
    done
    return 1
}

find_python() {
    newest 'import venv, ensurepip' && return
    if ! bare=$(newest 'import sys'); then
        echo "gateway_lab needs Python 3.11 or newer; none was found." >&2
        echo "hint: apt-get install python3 python3-venv, or PYTHON=/path/to/python make …" >&2
        return 1
    fi
    # Debian and Ubuntu keep venv's other half in a package of its own.
    package=$("$bare" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "$bare cannot make environments: installing $package" >&2
        { apt-get update -q && apt-get install -q -y "$package"; } >&2
        newest 'import venv, ensurepip' && return
    fi
    echo "$bare cannot make environments: its package $package is not installed." >&2
    echo "hint: sudo apt-get install $package" >&2
    return 1
}

if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    python=$(find_python)
    echo "Making .venv/ with $("$python" --version) …"
    "$python" -m venv --clear .venv
fi

uv=$(sed -n 's/^uv==\([^ ]*\).*/\1/p' requirements.lock)
if [ "$(.venv/bin/uv --version 2>/dev/null | cut -d' ' -f2)" != "$uv" ]; then
    sed -n '/^uv==/,/^    # via/p' requirements.lock >.venv/uv.txt
    .venv/bin/python -m pip install --quiet --disable-pip-version-check \
        --no-deps --require-hashes -r .venv/uv.txt
fi

[ -z "${PIP_INDEX_URL:-}" ] || export UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-$PIP_INDEX_URL}"
export VIRTUAL_ENV="$PWD/.venv"
.venv/bin/uv pip sync --quiet requirements.lock
.venv/bin/uv pip install --quiet --no-deps --no-build-isolation --editable .
touch .venv/.ready
echo "Ready: .venv/"
