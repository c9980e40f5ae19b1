#!/bin/sh
# Puts gql (https://github.com/graphql-python/gql) below .dev, where that has not been done, and prints the folder.
# It is the GraphQL client of Python that tests/clients goes a fan's way with; nothing of the product uses it.
set -eu
version=4.4.0
cd "$(dirname "$0")/.."
folder=$(pwd -P)/.dev/gql-$version
if [ ! -d "$folder" ]; then
    python3 -m pip --version >/dev/null 2>&1 || {
        echo 'python3 with pip is missing: the test in Python needs it.' >&2
        exit 1
    }
    mkdir -p .dev
    python3 -m pip install --quiet --no-input --no-warn-conflicts --root-user-action ignore --target "$folder.$$" "gql[aiohttp,websockets]==$version" >&2 || {
        rm -rf "$folder.$$"
        echo "gql $version could not be installed from PyPI: the test in Python needs it." >&2
        exit 1
    }
    # Several tests may do this at once; the first one's stays. mv would put a folder into one that is there.
    mkdir "$folder.lock" 2>/dev/null && { [ -d "$folder" ] || mv "$folder.$$" "$folder"; rmdir "$folder.lock"; }
    rm -rf "$folder.$$"
    while [ ! -d "$folder" ]; do sleep 0.1; done
fi
printf '%s\n' "$folder"
