#!/usr/bin/env bash
# Make .venv beside this script and install what Audio Caption needs, at pinned versions.
#
#   bash env.sh          to caption, to train, and to score by shared words (scores want a Java; captions do not)
#   bash env.sh --dev    also to run the tests and the checks, those of the window included
#   bash env.sh --ui     also for a window and a microphone
#   bash env.sh --eval   also for scores by a sentence model (sbert_sim, FENSE, SPIDEr-FL)
#
# Options may stand together. Running it again is harmless and quick: a requirements file is installed once, and again when
# it changes. PYTHON=python3.12 chooses another interpreter. On a Linux machine without an NVIDIA card, pip's usual torch
# brings about 2 GB of CUDA libraries along; set TORCH_INDEX_URL to PyTorch's CPU index to avoid them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

say() { echo "env.sh: $*" >&2; }

python=${PYTHON:-python3}
parts=(core)
for argument in "$@"; do
  case $argument in
    --dev | --ui | --eval) parts+=("${argument#--}") ;;
    *) say "unknown option $argument (known: --dev --ui --eval)"; exit 2 ;;
  esac
done
wanted() { [[ " ${parts[*]} " == *" $1 "* ]]; }
window_is=needed
if wanted dev && ! wanted ui; then parts+=(ui) window_is=wished; fi

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || {
  say "$python is missing or older than 3.11: install Python 3.11 or later, or set PYTHON"; exit 2; }

# System packages. Core and dev need none but Python's own venv: the wheels carry libsndfile and FFmpeg. A Java (for scores)
# and Qt's libraries (for the window's tests) are wished for: where they cannot be installed, everything else is set up.
missing=()
window=()
"$python" -c 'import venv, ensurepip' 2>/dev/null || missing+=(python3-venv)

if wanted ui && [ "$(uname -s)" = Linux ]; then # on other systems the wheels carry these libraries
  libraries=$(PATH=$PATH:/usr/sbin:/sbin ldconfig -p 2>/dev/null || true)
  # Asked for by file, since a package's name differs between releases.
  for pair in libportaudio.so.2=libportaudio2 libGL.so.1=libgl1 libEGL.so.1=libegl1 libxkbcommon.so.0=libxkbcommon0 \
    libfontconfig.so.1=libfontconfig1 libglib-2.0.so.0=libglib2.0-0 libdbus-1.so.3=libdbus-1-3 \
    libxcb-cursor.so.0=libxcb-cursor0 libxcb-icccm.so.4=libxcb-icccm4 libxcb-keysyms.so.1=libxcb-keysyms1 \
    libxcb-shape.so.0=libxcb-shape0 libxkbcommon-x11.so.0=libxkbcommon-x11-0; do
    if [[ $libraries == *"${pair%=*} "* ]]; then continue; fi
    if [ $window_is = needed ]; then missing+=("${pair#*=}"); else window+=("${pair#*=}"); fi
  done
fi
root=(env)
[ "$(id -u)" = 0 ] || root=(sudo -n env)
apt_get() { "${root[@]}" DEBIAN_FRONTEND=noninteractive apt-get "$@"; }
if [ ${#missing[@]} -gt 0 ]; then
  if command -v apt-get >/dev/null && "${root[@]}" true 2>/dev/null; then
    say "installing system packages: ${missing[*]}"
    apt_get update -qq || say "the package list could not be renewed; going on with the old one"
    apt_get install -y -qq "${missing[@]}"
  elif command -v apt-get >/dev/null; then
    say "system packages are missing; run this, then env.sh again: sudo apt-get install -y ${missing[*]}"; exit 2
  else
    say "install what this system calls the Debian packages ${missing[*]}, then run env.sh again"; exit 2
  fi
fi

wish() { # what for, and packages that only it needs
  local purpose=$1 remedy
  shift
  remedy="for $purpose run this: sudo apt-get install -y $*"
  command -v apt-get >/dev/null || remedy="for $purpose install what Debian calls $*"
  if command -v apt-get >/dev/null && "${root[@]}" true 2>/dev/null; then
    say "installing for $purpose: $*"
    { apt_get update -qq && apt_get install -y -qq "$@"; } || say "that failed; $remedy"
  else say "going on without $*; $remedy"; fi
}
if ! java -version >/dev/null 2>&1; then wish evaluate.py default-jre-headless; fi
if [ ${#window[@]} -gt 0 ]; then wish "the tests of the window" "${window[@]}"; fi

if command -v nvidia-smi >/dev/null && nvidia-smi >/dev/null 2>&1; then say "NVIDIA card found: torch's CUDA build will be used"
else say "no NVIDIA card found: captioning and training run on the CPU"; fi

pip() { .venv/bin/python -m pip --disable-pip-version-check "$@"; }
pip --version >/dev/null 2>&1 || { say "making .venv"; "$python" -m venv --clear .venv; } # also over a half-made one

changed=false
install() { # one requirements file, unless this very file was installed already
  local file=requirements/$1.txt mark
  mark=.venv/.installed-$1-$(cksum < "$file" | tr ' ' '-')
  if [ -e "$mark" ]; then say "$file: installed already"; return; fi
  say "$file: installing (a few minutes the first time)"
  rm -f ".venv/.installed-$1-"*
  shift
  pip install --progress-bar on -r "$file" "$@"
  touch "$mark"
  changed=true
}

# torch first and alone: asked for by another package, it would come newer and with other libraries.
if [ -n "${TORCH_INDEX_URL:-}" ]; then install torch --index-url "$TORCH_INDEX_URL"; else install torch; fi
for part in "${parts[@]}"; do install "$part" -c requirements/torch.txt -c requirements/core.txt; done
if $changed; then pip check; fi
say "ready: .venv/bin/python inference.py assets/waves_then_bell.flac"
if wanted ui; then say "the window: .venv/bin/python UI_Code.py"; fi
