#!/usr/bin/env bash
# The browser of the browser tests: nothing where there is one, Debian's package where we may install it, else one line.
set -euo pipefail

found() {
    [ -x "${CHROMIUM:-}" ] && return
    command -v chromium || command -v google-chrome
} >/dev/null

found && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing chromium for the browser tests."
    export DEBIAN_FRONTEND=noninteractive
    log=$(mktemp)
    {
        timeout 180 apt-get -o Acquire::Retries=2 update &&
            timeout 420 apt-get -o DPkg::Lock::Timeout=120 install --yes --no-install-recommends chromium fonts-dejavu-core
    } >"$log" 2>&1 </dev/null || tail -n 5 "$log"
    rm -f "$log"
fi
found || echo "No Chromium: the browser tests are skipped (with CI=true they fail). Install it, or set CHROMIUM to its path."
