#!/bin/sh
# Prints the path of a program that tests need: nginx, promtool or prometheus. Takes the one in the PATH, or else unpacks
# Debian's package below .dev, without installing it: no service starts, and nothing needs root.
set -eu
cd "$(dirname "$0")/.."
name=${1:?name a program}
case $name in
nginx) package=nginx path=usr/sbin/nginx ;;
promtool | prometheus) package=prometheus path=usr/bin/$name ;;
*) echo "scripts/program.sh: where $name is to be had is not known." >&2 && exit 1 ;;
esac

found=$(command -v "$name" || { [ -x "/usr/sbin/$name" ] && echo "/usr/sbin/$name"; }) || found=''
[ -z "$found" ] || { printf '%s\n' "$found" && exit 0; }

folder=$(pwd -P)/.dev/$package
if [ ! -d "$folder" ]; then
    if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
        echo "$name is missing: install it." >&2 && exit 1
    fi
    mkdir -p .dev
    new=$folder.$$
    mkdir "$new" "$new/download"
    # apt drops its rights for a download, and may then not enter this folder.
    chmod 777 "$new/download"
    get() { (cd "$new/download" && apt-get download "$package" >/dev/null 2>&1); }
    # A list that is old names versions that are gone.
    if ! get && ! { apt-get update >/dev/null 2>&1 </dev/null && get; }; then
        rm -rf "$new"
        echo "$name is missing, and Debian's package $package could not be had: install it." >&2 && exit 1
    fi
    dpkg-deb -x "$new"/download/*.deb "$new"
    rm -rf "$new/download"
    # Several may do this at once; the first one's stays. mv would put a folder into one that is there.
    mkdir "$folder.lock" 2>/dev/null && { [ -d "$folder" ] || mv "$new" "$folder"; rmdir "$folder.lock"; }
    rm -rf "$new"
    while [ ! -d "$folder" ]; do sleep 0.1; done
fi
"$folder/$path" -v >/dev/null 2>&1 || "$folder/$path" --version >/dev/null 2>&1 || {
    echo "$folder/$path does not run: a library may be missing." >&2
    exit 1
}
printf '%s\n' "$folder/$path"
