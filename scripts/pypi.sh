#!/bin/sh
# Puts a package of PyPI below .dev, where that has not been done, and prints the folder.
#
#   scripts/pypi.sh NAME VERSION [EXTRAS]     for instance: scripts/pypi.sh gql 4.4.0 '[aiohttp,websockets]'
#
# Only tests use such packages, and nothing of the product does.
set -eu
name=$1 version=$2 extras=${3:-}
cd "$(dirname "$0")/.."
folder=$(pwd -P)/.dev/$name-$version
if [ ! -d "$folder" ]; then
    python3 -m pip --version >/dev/null 2>&1 || {
        echo "python3 with pip is missing: the tests with $name need it." >&2
        exit 1
    }
    mkdir -p .dev
    python3 -m pip install --quiet --no-input --no-warn-conflicts --root-user-action ignore --target "$folder.$$" "$name$extras==$version" >&2 || {
        rm -rf "$folder.$$"
        echo "$name $version could not be installed from PyPI: the tests with it need it." >&2
        exit 1
    }
    # Several tests may do this at once; the first one's stays. mv would put a folder into one that is there.
    mkdir "$folder.lock" 2>/dev/null && { [ -d "$folder" ] || mv "$folder.$$" "$folder"; rmdir "$folder.lock"; }
    rm -rf "$folder.$$"
    while [ ! -d "$folder" ]; do sleep 0.1; done
fi
printf '%s\n' "$folder"
