#!/usr/bin/env bash
# Builds fuzz_mds.cpp with ASan and UBSan and runs it.   usage: tests/native/fuzz_mds.sh [ITERATIONS] [SEED]
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
"${CXX:-g++}" -std=c++20 -O1 -g -Wall -Wextra -Werror -fsanitize=address,undefined -fno-sanitize-recover=all \
    -I"$root/csrc" "$root"/tests/native/fuzz_mds.cpp "$root"/csrc/mds/*.cpp -o "$out/fuzz_mds"
"$out/fuzz_mds" "${1:-100000}" "${2:-1}"
