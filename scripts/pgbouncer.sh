#!/bin/sh
# Prints a folder with the program `pgbouncer` and the libraries that it needs besides the system's. Where none is installed, the
# packages of Debian and Ubuntu are unpacked below .dev: installed ones would start a service. Tests stand in front of it.
set -eu
cd "$(dirname "$0")/.."
for folder in $(printf %s "$PATH" | tr : ' ') /usr/sbin; do
    if [ -x "$folder/pgbouncer" ]; then printf '%s\n' "$folder" && exit; fi
done
folder=$(pwd -P)/.dev/pgbouncer
if [ ! -d "$folder" ]; then
    command -v apt-get >/dev/null || { echo 'pgbouncer is missing: install it.' >&2 && exit 1; }
    mine=$folder.$$
    mkdir -p "$mine/packages"
    trap 'rm -rf "$mine"' EXIT
    if [ "$(id -u)" = 0 ]; then apt-get update >/dev/null 2>&1 || true; fi
    libraries=$(apt-cache depends pgbouncer | sed -n 's/^ *Depends: \(lib\(c-ares\|cares\|event\).*\)/\1/p')
    # shellcheck disable=SC2086 # a list
    (cd "$mine/packages" && apt-get -o APT::Sandbox::User=root download pgbouncer $libraries) >&2
    for package in "$mine"/packages/*.deb; do dpkg -x "$package" "$mine/unpacked"; done
    mkdir "$mine/ready"
    cp "$mine/unpacked/usr/sbin/pgbouncer" "$mine/ready/"
    find "$mine/unpacked" -name '*.so.*' -exec cp {} "$mine/ready/" \;
    # Several may do this at once; the first one's stays.
    mv -T "$mine/ready" "$folder" 2>/dev/null || [ -d "$folder" ]
fi
printf '%s\n' "$folder"
