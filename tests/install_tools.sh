#!/usr/bin/env bash
# The browser of the browser tests, and nginx for the test behind a proxy: nothing where they are, Debian's packages where
# we may install them, else one line each.
set -euo pipefail

# With --no-install-recommends there is no service that begins to listen; where there is one, it is not started.
packages=()
browser() { [ -x "${CHROMIUM:-}" ] || command -v chromium || command -v google-chrome; } >/dev/null
proxy() { [ -x "${NGINX:-}" ] || PATH=$PATH:/usr/sbin command -v nginx; } >/dev/null

browser || packages+=(chromium fonts-dejavu-core)
proxy || packages+=(nginx-light)
[ ${#packages[@]} = 0 ] && exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing ${packages[*]} for the browser tests."
    export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 # a package does not start its service at run level 1
    log=$(mktemp)
    {
        timeout 180 apt-get -o Acquire::Retries=2 update &&
            timeout 420 apt-get -o DPkg::Lock::Timeout=120 install --yes --no-install-recommends "${packages[@]}"
    } >"$log" 2>&1 </dev/null || tail -n 5 "$log"
    rm -f "$log"
fi
browser || echo "No Chromium: the browser tests are skipped (with CI=true they fail). Install it, or set CHROMIUM to its path."
proxy || echo "No nginx: the test behind a proxy is skipped (with CI=true it fails). Install it, or set NGINX to its path."
