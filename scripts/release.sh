#!/usr/bin/env bash
# Builds what a release consists of, into .dev/release: the program, its checksum, and the list of what is in it. Builds it twice, in
# two folders, and fails when the two differ. docs/releasing.md says when.
set -euo pipefail
CDPATH='' cd -- "$(dirname -- "$0")/.."
checkout=$(pwd -P)
die() { printf 'scripts/release.sh: %s\n' "$*" >&2 && exit 1; }
[ -z "$(git status --porcelain)" ] || die 'the checkout has changes that are not committed.'

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
tag=$(git describe --tags --exact-match 2>/dev/null || true)
[ "$tag" = "v$version" ] || [ "${1:-}" = --untagged ] || die "this is not the tag v$version; --untagged builds all the same."
target=$(rustc -vV | sed -n 's/^host: //p')
name=frontrow-$version-$target
out=$checkout/.dev/release
rm -rf "$out" && mkdir -p "$out"

# $1: a folder. Prints the path of the program that is built there.
build() {
    git clone --quiet --no-hardlinks "$checkout" "$1/source"
    (
        cd "$1/source"
        git checkout --quiet "$(git -C "$checkout" rev-parse HEAD)"
        SOURCE_DATE_EPOCH=$(git log -1 --format=%ct) CARGO_TARGET_DIR=$1/target \
            RUSTFLAGS="--remap-path-prefix=$1/source=. --remap-path-prefix=$1/target=target --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=cargo" \
            cargo build --release --locked --package frontrow >&2
    )
    strip -o "$1/frontrow" "$1/target/release/frontrow"
    printf '%s\n' "$1/frontrow"
}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir "$scratch/one" "$scratch/another"
first=$(build "$scratch/one")
second=$(build "$scratch/another")
cmp "$first" "$second" || die 'two builds of the same source differ.'
install -m 755 "$first" "$out/$name"
(cd "$out" && sha256sum "$name" >"$name.sha256")
scripts/sbom.py >"$out/frontrow-$version.cdx.json"
printf 'In %s:\n' "$out"
ls -l "$out"
