#!/usr/bin/env bash
# What the Dockerfile does, without an engine: its steps on a copy of the committed project in a clean folder, then the
# server, its health and its first page. TORCH_BACKEND=cpu as in the image; empty for what the package index has.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
place=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill -- "-$server" 2>/dev/null || true; rm -rf "$place"' EXIT

mkdir -p "$place/lab" "$place/data" "$place/home"
git -C "$root" archive HEAD | tar -x -C "$place/lab"
(cd "$place/lab" && rm -rf tests .ci Dockerfile) # as .dockerignore says
cd "$place/lab"
export HOME="$place/home" PROTEUS_CACHE="$place/data/cache" PROTEUS_RUNS="$place/data/runs"
export NUMBA_CACHE_DIR="$place/data/numba" PYTHONUNBUFFERED=1 PORT="${PORT:-8599}" TORCH_BACKEND="${TORCH_BACKEND-cpu}"
unset PYTHONPATH VIRTUAL_ENV

for step in packages data; do
    began=$SECONDS
    docker/steps.sh "$step"
    echo "== $step: $((SECONDS - began)) s"
done
find "$NUMBA_CACHE_DIR" -name '*.nbi' | wc -l | sed 's/$/ compiled functions are kept/'
du -sh .venv "$PROTEUS_CACHE" | sed 's/^/== /'

set -m
docker/steps.sh serve >"$place/log" 2>&1 &
server=$!
for _ in $(seq 120); do
    if docker/steps.sh healthy 2>/dev/null; then
        .venv/bin/python -c "import sys, urllib.request as u; sys.exit(b'<title>' not in u.urlopen('http://127.0.0.1:$PORT/').read())"
        echo "== healthy, and the first page answers"
        exit 0
    fi
    kill -0 "$server" 2>/dev/null || break
    sleep 1
done
tail -n 20 "$place/log"
echo "The server did not become healthy."
exit 1
