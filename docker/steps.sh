#!/usr/bin/env bash
# The steps of the image, in the folder that holds the project: the Dockerfile runs them, and so does
# tests/docker_steps.sh in a clean folder on a machine without an engine.
set -euo pipefail
cd "$(dirname "$0")/.."

case "$1" in
packages) # TORCH_BACKEND: cpu, cu130, … as uv names them; empty for what the package index has. LIGHT=yes: no torch
    if [ "${LIGHT:-no}" = yes ]; then make .venv/.explore; else make .venv/.app TORCH="${TORCH_BACKEND:-}"; fi
    ;;
data) # BAKE=yes: the weights; always: a small run that draws a map, so that its code is compiled once and for all
    mkdir -p "$PROTEUS_CACHE" "$PROTEUS_RUNS" "$NUMBA_CACHE_DIR"
    if [ "${LIGHT:-no}" = yes ]; then exit 0; fi
    if [ "${BAKE:-yes}" = yes ]; then .venv/bin/python -m core fetch dinov2-s14; fi
    runs=$(mktemp -d)
    .venv/bin/python -m core train --stream split-digits --backbone tiny --method lda --quiet --runs "$runs"
    rm -rf "$runs"
    ;;
healthy)
    .venv/bin/python -c "import os, urllib.request as u
u.urlopen(f'http://127.0.0.1:{os.environ.get(\"PORT\", \"8501\")}/_stcore/health', timeout=4)"
    ;;
serve)
    if [ "${LIGHT:-no}" = yes ]; then exec make explore ADDRESS=0.0.0.0; else exec make app ADDRESS=0.0.0.0; fi
    ;;
*)
    echo "docker/steps.sh packages|data|healthy|serve" >&2
    exit 2
    ;;
esac
