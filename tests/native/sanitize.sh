#!/usr/bin/env bash
# Decodes mutated images under the address and undefined-behaviour sanitizers.
# usage: tests/native/sanitize.sh FOLDER [ROUNDS=20000] [SEED=1] [PROGRAM=fuzz_decode|fuzz_jpeg]     FOLDER holds the images to start from (up to 60 KB each)
set -euo pipefail
[ $# -ge 1 ] && [ -d "$1" ] || { sed -n '2,3s/^# //p' "$0" >&2; exit 2; }
folder=$1 rounds=${2:-20000} seed=${3:-1} program=${4:-fuzz_decode}
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
build=$root/build/sanitize
mkdir -p "$build"
compile() {
  g++ -std=c++20 -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all \
    -ffp-contract=off -I"$root/csrc" -c "$1" -o "$2"
}
export -f compile
export root
objects=()
: > "$build/todo"
for source in "$root"/csrc/image/*.cpp "$root"/csrc/core/*.cpp "$root/tests/native/$program.cpp"; do
  object=$build/$(basename "${source%.cpp}").o
  objects+=("$object")
  changed=$(find "$source" "$root/csrc" "$root/tests/native" \( -name '*.hpp' -o -path "$source" \) -newer "$object" -print -quit 2> /dev/null || true)
  if [ ! -e "$object" ] || [ -n "$changed" ]; then printf '%s\0%s\0' "$source" "$object" >> "$build/todo"; fi
done
xargs -0 -r -n 2 -P "$(nproc)" bash -c 'compile "$0" "$1"' < "$build/todo"
g++ -fsanitize=address,undefined "${objects[@]}" -ljpeg -lwebp -lwebpdemux -lz -lpthread -o "$build/$program"
mapfile -d '' -t seeds < <(find "$folder" -type f -size -60k -print0 | sort -z)
echo "$rounds rounds over ${#seeds[@]} files"
"$build/$program" "$rounds" "$seed" "${seeds[@]}"
echo "no findings"
