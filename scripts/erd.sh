#!/bin/sh
# Draws the tables of a migrated database into docs/data-model.md:
#
#     eval "$(./dev services)" && cargo run -- migrate && scripts/erd.sh
#
# What it draws is scripts/erd.sql. The test docs::data_model compares.
set -eu
cd "$(dirname "$0")/.."
: "${DATABASE_URL:?names the migrated database}"
page=docs/data-model.md
new=$(mktemp)
trap 'rm -f "$new"' EXIT
lines=$(psql --no-psqlrc --quiet --no-align --tuples-only --set ON_ERROR_STOP=1 "$DATABASE_URL" --file scripts/erd.sql)
LINES_OF_DIAGRAM=$lines awk '
    /^erDiagram$/ { print; print ENVIRON["LINES_OF_DIAGRAM"]; inside = 1; next }
    inside && /^```$/ { inside = 0 }
    !inside { print }
' "$page" >"$new"
cat "$new" >"$page"
