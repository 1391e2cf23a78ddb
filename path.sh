#!/usr/bin/env bash
# The environment of the recipe.
#
#   ./path.sh CMD…                    runs CMD in it, in the project's root
#   . ./path.sh                       puts it into the current shell (bash or zsh), and leaves that where it is
#   ./path.sh mindinsight exp/NAME    shows how a training goes; MindInsight comes into an environment of its own
#
# The first call, and the first one after requirements.lock has changed, installs the packages into .venv. Nothing else
# is installed, nothing outside the project is touched. Variables that you may set:
#
#   YINJIE_PYTHON       the Python to make .venv with: 3.10, 3.11 or 3.12 (else the first such on PATH)
#   OMP_NUM_THREADS     threads of the numerical libraries (else one a processor)
#   ONEDNN_MAX_CPU_ISA  instructions that MindSpore's convolutions may use (else AVX2 on processors with AVX-512, for which
#                       oneDNN would fall back to a reference kernel that is some 50 times slower)

if [ -z "${BASH_VERSION:-}${ZSH_VERSION:-}" ]; then
    echo "path.sh: this shell is neither bash nor zsh; run ./path.sh CMD, or start bash and then . ./path.sh" >&2
    return 1 2> /dev/null || exit 1
fi

_yinjie_environment() {
    case "$PATH" in
        "$1/.venv/bin:"*) ;;
        *) PATH="$1/.venv/bin:$PATH" ;;
    esac
    export PATH VIRTUAL_ENV="$1/.venv" LC_ALL=C.UTF-8 PYTHONUNBUFFERED=1
    unset PYTHONHOME PYTHONPATH  # packages from elsewhere would come before those of the lock
    export OMP_NUM_THREADS="${OMP_NUM_THREADS:-$(nproc 2> /dev/null || getconf _NPROCESSORS_ONLN)}"
    if grep -qs avx512f /proc/cpuinfo; then
        export ONEDNN_MAX_CPU_ISA="${ONEDNN_MAX_CPU_ISA-AVX2}"
    fi
}

if [ -n "${ZSH_VERSION:-}" ]; then
    _yinjie_self="${(%):-%x}"
else
    _yinjie_self="${BASH_SOURCE[0]}"
fi
_yinjie_root="$(CDPATH='' cd -- "$(dirname -- "$_yinjie_self")" && pwd -P)"

if [ -n "${ZSH_VERSION:-}" ] || [ "$_yinjie_self" != "$0" ]; then
    # Sourced: a process of its own installs, so that nothing of this shell changes but the variables above.
    _yinjie_status=0
    bash "$_yinjie_root/path.sh" true && _yinjie_environment "$_yinjie_root" || _yinjie_status=1
    unset -f _yinjie_environment
    unset _yinjie_self _yinjie_root
    eval "unset _yinjie_status; return $_yinjie_status"
fi

set -euo pipefail
unset PYTHONHOME PYTHONPATH
root="$_yinjie_root"
venv="$root/.venv"
lock="$root/requirements.lock"
unset _yinjie_root _yinjie_self

say() {
    echo "path.sh: $*" >&2
}

# What .venv must be made from: venvs cannot be moved, so the folder counts, too.
wanted() {
    echo "# $root"
    cat "$lock"
}

is_current() {
    [ -x "$venv/bin/python" ] && [ -f "$venv/installed" ] && [ "$(< "$venv/installed")" = "$(wanted)" ]
}

probe='
import sys
version = "%d.%d" % sys.version_info[:2]
if not (3, 10) <= sys.version_info[:2] <= (3, 12):
    sys.exit("is Python " + version)
try:
    import ensurepip, venv
except ImportError:
    sys.exit("has no venv module (Debian, Ubuntu: apt install python%s-venv)" % version)
'

find_python() {
    local candidate answer tried=""
    if [ -n "${YINJIE_PYTHON:-}" ]; then
        set -- "$YINJIE_PYTHON"
    else
        set -- python3.12 python3.11 python3.10 python3 python
    fi
    for candidate in "$@"; do
        [ $# -eq 1 ] || command -v "$candidate" > /dev/null || continue
        # To be on PATH is not enough: pyenv's shims are there even if they only fail.
        if answer="$("$candidate" -c "$probe" 2>&1)"; then
            command -v "$candidate"
            return
        fi
        tried+=$'\n'"  $candidate: ${answer%%$'\n'*}"
    done
    say "no Python 3.10, 3.11 or 3.12 with its venv module found; install one (Debian, Ubuntu: apt install python3" \
        "python3-venv; macOS: brew install python@3.12), or name it: YINJIE_PYTHON=/usr/bin/python3.11 ./path.sh …" \
        "${tried:+$'\n'Tried:$tried}"
    return 1
}

# Of several path.sh at once one installs and the others wait for it: the lock belongs to file descriptor 9.
wait_for_turn() {
    exec 9> "$root/.venv.lock"
    "$1" -c '
import fcntl, sys
try:
    fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)
except OSError:
    print("path.sh: another path.sh is installing into .venv; waiting for it", file=sys.stderr)
    fcntl.flock(9, fcntl.LOCK_EX)
'
}

# Says which of $1 packages pip is at, in one line of a terminal, else every tenth.
progress() {
    local word name rest number=0 end=$'\n'
    [ ! -t 2 ] || end=$'\033[K\r'
    while read -r word name rest; do
        case "$word" in
            Collecting)
                number=$((number + 1))
                if [ -t 2 ] || [ $((number % 10)) -eq 0 ]; then
                    printf 'path.sh: %d of %d: %s%s' "$number" "$1" "$name" "$end" >&2
                fi ;;
            Installing)
                printf 'path.sh: all are there; unpacking them%s' "$end" >&2 ;;
        esac
    done
    [ ! -t 2 ] || printf '\033[K' >&2
}

make_venv() {
    local count
    count="$(grep -c '^[A-Za-z0-9]' "$lock" || true)"
    say "installing $count packages into .venv ($("$1" --version), 3 GB; takes a few minutes, once)"
    rm -rf "$venv"
    if ! "$1" -m venv "$venv" || ! "$venv/bin/python" -m pip install --no-input --disable-pip-version-check \
        --progress-bar off --no-deps --require-hashes -r "$lock" | progress "$count"; then
        say "the installation failed, for the reason above; the next call starts from the beginning"
        return 1
    fi
    # Last: without this file .venv counts as half-made.
    wanted > "$venv/installed.tmp"
    mv "$venv/installed.tmp" "$venv/installed"
}

# Operators that train faster than MindSpore's own. The module knows whether they are there for this processor. It
# compiles them if there is a C++ compiler, once.
ensure_kernels() {
    [ -f "$root/steps/model/onednn/build.py" ] || return 0
    (cd "$root" && "$venv/bin/python" -m steps.model.onednn.build --once >&2) ||
        say "the operators for training were not built, for the reason above; training will use MindSpore's own"
}

if ! is_current; then
    python="$(find_python)"
    wait_for_turn "$python"
    is_current || make_venv "$python"
    exec 9>&-
fi
ensure_kernels

if [ $# -eq 0 ]; then
    say "the environment is ready; try ./path.sh doit list"
    exit
fi
_yinjie_environment "$root"
cd "$root"
if [ "$1" = mindinsight ]; then
    shift
    set -- python -m steps.mindinsight "$@"
fi
if [ "$1" = doit ]; then
    for word in "$@"; do  # doit would show a traceback of its own
        [ -n "$word" ] || { say "a word after doit is empty; is a variable not set?"; exit 2; }
    done
fi
exec "$@"
