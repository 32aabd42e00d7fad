#!/usr/bin/env bash
# Create .venv beside this script and install Audio Caption with pinned dependencies.
#
#   bash env.sh          captioning, training and evaluation (most metrics need Java; captioning does not)
#   bash env.sh --dev    also tests and checks, including those of the desktop app
#   bash env.sh --ui     also the desktop app
#   bash env.sh --eval   also metrics computed by language models (sbert_sim, FENSE, SPIDEr-FL)
#   bash env.sh --scale  also captioning on a cluster (Ray) and of recordings on object storage
#   bash env.sh --lite   only captioning with exported captioners (inference.py --engine onnx), without torch
#
# Options except --lite can be combined. A second run installs only what changed. PYTHON=python3.12 selects another interpreter. On Linux
# without an NVIDIA GPU, the default torch package includes about 2 GB of CUDA libraries: set TORCH_INDEX_URL to PyTorch's
# CPU index to avoid them. requirements/lock.txt pins the dependencies of the packages in the other requirements files.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

say() { echo "env.sh: $*" >&2; }

python=${PYTHON:-python3}
parts=(lite core)
for argument in "$@"; do
  case $argument in
    --dev | --ui | --eval | --scale) parts+=("${argument#--}") ;;
    --lite)
      [ $# = 1 ] || { say "--lite installs without torch and cannot be combined with other options"; exit 2; }
      parts=(lite) ;;
    *) say "unknown option $argument (known: --dev --ui --eval --scale --lite)"; exit 2 ;;
  esac
done
wanted() { [[ " ${parts[*]} " == *" $1 "* ]]; }
app_libraries=required
if wanted dev && ! wanted ui; then parts+=(ui) app_libraries=optional; fi

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || {
  say "$python is missing or older than 3.11: install Python 3.11 or later, or set PYTHON"; exit 2; }

# System packages. Core and dev need only Python's venv module: the wheels contain libsndfile and FFmpeg. Java (for metrics)
# and Qt's libraries (for tests of the desktop app) are optional: where they cannot be installed, the rest is set up.
missing=()
optional=()
"$python" -c 'import venv, ensurepip' 2>/dev/null || missing+=(python3-venv)

if wanted ui && [ "$(uname -s)" = Linux ]; then # on other systems the wheels contain these libraries
  libraries=$(PATH=$PATH:/usr/sbin:/sbin ldconfig -p 2>/dev/null || true)
  # Looked up by file because package names differ between releases.
  for pair in libportaudio.so.2=libportaudio2 libGL.so.1=libgl1 libEGL.so.1=libegl1 libxkbcommon.so.0=libxkbcommon0 \
    libfontconfig.so.1=libfontconfig1 libglib-2.0.so.0=libglib2.0-0 libdbus-1.so.3=libdbus-1-3 \
    libxcb-cursor.so.0=libxcb-cursor0 libxcb-icccm.so.4=libxcb-icccm4 libxcb-keysyms.so.1=libxcb-keysyms1 \
    libxcb-shape.so.0=libxcb-shape0 libxkbcommon-x11.so.0=libxkbcommon-x11-0 libgssapi_krb5.so.2=libgssapi-krb5-2; do
    if [[ $libraries == *"${pair%=*} "* ]]; then continue; fi
    if [ $app_libraries = required ]; then missing+=("${pair#*=}"); else optional+=("${pair#*=}"); fi
  done
fi
root=(env)
[ "$(id -u)" = 0 ] || root=(sudo -n env)
apt_get() { "${root[@]}" DEBIAN_FRONTEND=noninteractive apt-get "$@"; }
if [ ${#missing[@]} -gt 0 ]; then
  if command -v apt-get >/dev/null && "${root[@]}" true 2>/dev/null; then
    say "installing system packages: ${missing[*]}"
    apt_get update -qq || say "updating the package list failed; continuing with the old one"
    apt_get install -y -qq "${missing[@]}"
  elif command -v apt-get >/dev/null; then
    say "system packages are missing; run this, then env.sh again: sudo apt-get install -y ${missing[*]}"; exit 2
  else
    say "install the equivalents of the Debian packages ${missing[*]}, then run env.sh again"; exit 2
  fi
fi

install_optional() { # purpose, and the packages needed only for it
  local purpose=$1 remedy
  shift
  remedy="for $purpose run this: sudo apt-get install -y $*"
  command -v apt-get >/dev/null || remedy="for $purpose install the equivalents of the Debian packages $*"
  if command -v apt-get >/dev/null && "${root[@]}" true 2>/dev/null; then
    say "installing for $purpose: $*"
    { apt_get update -qq && apt_get install -y -qq "$@"; } || say "that failed; $remedy"
  else say "continuing without $*; $remedy"; fi
}
if wanted core && ! java -version >/dev/null 2>&1; then install_optional evaluate.py default-jre-headless; fi
if [ ${#optional[@]} -gt 0 ]; then install_optional "tests of the desktop app" "${optional[@]}"; fi

if ! wanted core; then say "without torch: captioning runs on the CPU"
elif command -v nvidia-smi >/dev/null && nvidia-smi >/dev/null 2>&1; then say "NVIDIA GPU found: torch's CUDA build is used"
else say "no NVIDIA GPU found: captioning and training run on the CPU"; fi

pip() { .venv/bin/python -m pip --disable-pip-version-check "$@"; }
pip --version >/dev/null 2>&1 || { say "creating .venv"; "$python" -m venv --clear .venv; } # --clear replaces an incomplete one

changed=false
install() { # one requirements file, unless it and the lock file are unchanged since they were installed
  local file=requirements/$1.txt mark
  mark=.venv/.installed-$1-$(cat "$file" requirements/lock.txt | cksum | tr ' ' '-')
  if [ -e "$mark" ]; then say "$file: installed already"; return; fi
  say "$file: installing (a few minutes the first time)"
  rm -f ".venv/.installed-$1-"*
  shift
  pip install --progress-bar on -r "$file" "$@"
  touch "$mark"
  changed=true
}

if ! wanted core; then # lite.txt lists the dependencies that are used
  install lite --no-deps --no-compile
  say "ready: .venv/bin/python inference.py FILE --engine onnx --ckpt_path FOLDER (export.py writes the folder, where torch is)"
  exit
fi
# torch first and alone, so that TORCH_INDEX_URL applies to it only; that index may lack the locked versions of its dependencies.
if [ -n "${TORCH_INDEX_URL:-}" ]; then install torch --index-url "$TORCH_INDEX_URL"
else install torch -c requirements/lock.txt; fi
for part in "${parts[@]}"; do install "$part" -c requirements/lock.txt; done
if $changed; then pip check; fi
say "ready: .venv/bin/python inference.py assets/waves_then_bell.flac"
if wanted ui; then say "desktop app: .venv/bin/python UI_Code.py"; fi
