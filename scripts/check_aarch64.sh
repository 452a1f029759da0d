#!/usr/bin/env bash
# Compiles the core (csrc without bindings/) for aarch64 without linking, so that x86 intrinsics never leak out of their
# guards. Library headers are taken from the host: those used here do not depend on the architecture.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

compiler=aarch64-linux-gnu-g++
command -v $compiler > /dev/null || {
  echo "check-aarch64: needs a cross compiler: sudo apt-get install -y g++-aarch64-linux-gnu" >&2
  exit 1
}

headers=$(mktemp -d)
trap 'rm -rf "$headers"' EXIT
for header in jpeglib.h jmorecfg.h jerror.h jconfig.h zlib.h zconf.h xxhash.h; do
  cp "$(find /usr/include -maxdepth 2 -name "$header" -print -quit)" "$headers/"
done
cp -r /usr/include/webp "$headers/"

find csrc -name '*.cpp' -not -path '*/bindings/*' -print0 |
  xargs -0 -n 1 -P "$(nproc)" $compiler -std=c++20 -fsyntax-only -Wall -Wextra -Werror -Icsrc -isystem "$headers"
echo "check-aarch64: the core compiles"
