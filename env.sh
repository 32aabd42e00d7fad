#!/usr/bin/env bash
# Make .venv beside this script and install what Audio Caption needs, at pinned versions.
#
#   bash env.sh          to caption and to train
#   bash env.sh --dev    also to run the tests and the checks
#
# Running it again is harmless and quick. PYTHON=python3.12 chooses another interpreter. On a Linux machine without an
# NVIDIA card, pip's usual torch brings about 2 GB of CUDA libraries along; set PIP_EXTRA_INDEX_URL or TORCH_INDEX_URL to
# PyTorch's CPU index (its address stands on pytorch.org) to avoid them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

python=${PYTHON:-python3}
parts=(core)
for argument in "$@"; do
  case $argument in
    --dev) parts+=(dev) ;;
    *) echo "env.sh: unknown option $argument (known: --dev)" >&2; exit 2 ;;
  esac
done

say() { echo "env.sh: $*" >&2; }

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || {
  say "$python is missing or older than 3.11: install Python 3.11 or later, or set PYTHON"; exit 2; }

# System packages. Core needs none: the wheels carry libsndfile and FFmpeg. Java is for scores that evaluate.py computes.
"$python" -c 'import venv, ensurepip' 2>/dev/null || {
  package=python3-venv
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    say "installing $package"; apt-get update -qq && apt-get install -y -qq "$package"
  elif sudo -n true 2>/dev/null && command -v apt-get >/dev/null; then
    say "installing $package"; sudo -n apt-get update -qq && sudo -n apt-get install -y -qq "$package"
  else
    say "Python's venv module is missing; run: sudo apt-get install -y $package"; exit 2
  fi; }

if command -v nvidia-smi >/dev/null && nvidia-smi >/dev/null 2>&1; then say "NVIDIA card found: torch's CUDA build will be used"
else say "no NVIDIA card found: captioning and training run on the CPU"; fi

[ -x .venv/bin/python ] || { say "making .venv"; "$python" -m venv .venv; }
pip() { .venv/bin/python -m pip --disable-pip-version-check "$@"; }

install() { # one requirements file, unless this very file was installed already
  local file=requirements/$1.txt mark
  mark=.venv/.installed-$1-$(cksum < "$file" | tr ' ' '-')
  if [ -e "$mark" ]; then say "$file: installed already"; return; fi
  say "$file: installing (a few minutes the first time)"
  shift
  pip install --progress-bar on -r "$file" "$@"
  touch "$mark"
}

if [ -n "${TORCH_INDEX_URL:-}" ]; then install torch --index-url "$TORCH_INDEX_URL"; else install torch; fi
for part in "${parts[@]}"; do install "$part"; done
pip check
say "ready: .venv/bin/python inference.py assets/siren_then_waves.flac"
