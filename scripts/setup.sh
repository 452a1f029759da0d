#!/usr/bin/env bash
# Brings a Debian 12 / Ubuntu 22.04 or newer machine to the point where the tests and the demo run: system
# libraries, .venv, pinned packages, compiled extension. Each step is skipped when its inputs have not changed,
# so running it again is cheap; an interrupted run is repaired by the next one.
#
# usage: scripts/setup.sh            environment: PYTHON=python3.12 chooses the interpreter of a new .venv
#        scripts/setup.sh browser    only the browser that some tests drive
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly EXTRAS="train,dali,loggers,dev,ray,export"
readonly SUPPORTED="3.10 3.11 3.12 3.13"
readonly SEARCHED="python3.11 python3.12 python3.10 python3.13 python3"  # first those that Composer is released for
readonly STAMPS=.venv/.stamps
readonly LOG=build/setup.log

say() { printf 'setup: %s\n' "$*"; }
die() { printf 'setup: %s\n' "$*" >&2; exit 1; }

# Runs a command with its output in the log; on failure shows the end of it and stops.
logged() {
  local from
  from=$(wc -c < "$LOG")
  printf '\n$ %s\n' "$*" >> "$LOG"
  "$@" >> "$LOG" 2>&1 < /dev/null && return
  tail -c "+$((from + 1))" "$LOG" | tail -n 30 >&2
  die "'$1 ${2-} ${3-} ...' failed; the end of its output is above, all of it in $LOG"
}

version_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2> /dev/null; }

is_supported() { [[ " $SUPPORTED " == *" $1 "* ]]; }

find_python() {
  local name version
  for name in ${PYTHON:-$SEARCHED}; do
    version=$(version_of "$name") || continue
    is_supported "$version" && { command -v "$name"; return; }
  done
  return 1
}

# --- system libraries ------------------------------------------------------------------------------------------------

has_header() { echo "#include <$1>" | g++ -E -x c++ -include cstdio - > /dev/null 2>&1; }
has_python_header() { "$1" -c 'import os, sysconfig as s; os.stat(os.path.join(s.get_path("include"), "Python.h"))'; }

missing_packages() {
  local python=$1 version=$2
  command -v g++ > /dev/null || echo g++
  has_header jpeglib.h || echo libjpeg-dev
  has_header zlib.h || echo zlib1g-dev
  has_header webp/demux.h || echo libwebp-dev
  has_header xxhash.h || echo libxxhash-dev
  "$python" -c 'import ensurepip, venv' 2> /dev/null || echo "python$version-venv"
  has_python_header "$python" 2> /dev/null || echo "python$version-dev"
}

# The names that tests/engine/browser.py looks for.
missing_browser() {
  command -v chromium chromium-browser google-chrome > /dev/null || echo chromium
  command -v chromedriver > /dev/null || echo chromium-driver
}

# Takes the command that lists what is missing.
install_missing() {
  local packages sudo=()
  mapfile -t packages < <("$@")
  ((${#packages[@]})) || return 0
  if ((EUID)); then sudo=(sudo -n); fi
  if ! command -v apt-get > /dev/null || { ((EUID)) && ! sudo -n true 2> /dev/null; }; then
    die "missing system packages; install them, then run this again:
  sudo apt-get update && sudo apt-get install -y --no-install-recommends ${packages[*]}"
  fi
  say "system packages: ${packages[*]}"
  logged "${sudo[@]}" apt-get update -q
  logged "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -yq --no-install-recommends "${packages[@]}"
}

# --- stamps: a step is done when its stamp holds the hash of its inputs ----------------------------------------------

hash_of() { cat "$@" | sha256sum | cut -d ' ' -f 1; }
is_done() { [[ -f $STAMPS/$1 && $(< "$STAMPS/$1") == "$2" ]]; }

mark_done() {
  echo "$2" > "$STAMPS/$1.new"
  mv "$STAMPS/$1.new" "$STAMPS/$1"
}

# --- .venv, packages, extension --------------------------------------------------------------------------------------

venv_is_sound() {
  local version
  # An installation that was cut off may have left half a package behind: only a new .venv is sure.
  [[ ! -e $STAMPS/packages.running ]] || return 1
  version=$(version_of .venv/bin/python) && is_supported "$version" || return 1
  [[ -z ${PYTHON:-} || $(version_of "$PYTHON") == "$version" ]] || return 1
  [[ -e $STAMPS/venv && -e .venv/bin/pip ]]
}

make_venv() {
  say ".venv with Python $2"
  rm -rf .venv
  logged "$1" -m venv .venv
  mkdir -p "$STAMPS"
  mark_done venv "$2"
}

install_packages() {
  local inputs
  inputs=$(hash_of pyproject.toml constraints.txt <(echo "$EXTRAS"))
  is_done packages "$inputs" && return
  say "Python packages [$EXTRAS], pinned in constraints.txt (some minutes the first time, about 8 GB)"
  touch "$STAMPS/packages.running"
  local pip=(.venv/bin/python -m pip install --quiet --progress-bar off --constraint constraints.txt)
  logged "${pip[@]}" setuptools pybind11 wheel
  logged env VECLIP_BUILD_EXTENSION=0 "${pip[@]}" --no-build-isolation --editable ".[$EXTRAS]"
  mark_done packages "$inputs"
  rm "$STAMPS/packages.running"
}

build_extension() {
  local inputs files
  mapfile -t files < <(find csrc -type f | LC_ALL=C sort)
  inputs=$(hash_of setup.py "${files[@]}" "$STAMPS/venv" "$STAMPS/packages" <(printf '%s\n' "${files[@]}"))
  compgen -G 'engine/native/_core.*.so' > /dev/null && is_done extension "$inputs" && return
  say "compiled extension (engine.native)"
  logged env VECLIP_DEV_BUILD=1 .venv/bin/python setup.py build_ext --inplace --parallel 1
  logged .venv/bin/python -c 'import engine.native'
  mark_done extension "$inputs"
}

main() {
  local python version started=$SECONDS
  mkdir -p build
  exec 9> build/.setup.lock
  flock 9
  : > "$LOG"
  if [[ ${1:-} == browser ]]; then
    install_missing missing_browser
    return
  fi
  python=$(find_python) || die "${PYTHON:-no Python}: not a working Python of $SUPPORTED; \
install one (sudo apt-get install python3 python3-venv python3-dev) or name it: make setup PYTHON=/path/to/python3.11"
  venv_is_sound && python=.venv/bin/python
  version=$(version_of "$python")
  install_missing missing_packages "$python" "$version"
  venv_is_sound || make_venv "$python" "$version"
  install_packages
  build_extension
  say "ready: .venv (Python $version), $((SECONDS - started)) s"
}

main "$@"
