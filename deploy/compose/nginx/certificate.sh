#!/bin/sh
# Makes a certificate that signs itself, for trying things out on this machine; browsers ask whether to trust it.
set -eu
folder=${1:-/etc/nginx/tls}
[ -s "$folder/frontrow.crt" ] && exit 0
mkdir -p "$folder"
umask 077
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 365 -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout "$folder/frontrow.key" -out "$folder/frontrow.crt" 2>/dev/null
