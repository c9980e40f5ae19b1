#!/usr/bin/env bash
# A Redis Cluster of three nodes on loopback, to rehearse against: eval "$(scripts/cluster.sh start)", then run the server.
# Killing one node shows what its death costs. Data lie in .dev/cluster and are lost with `stop`. The tests start their own.
set -euo pipefail
CDPATH='' cd -- "$(dirname -- "$0")/.."
folder=$(pwd -P)/.dev/cluster
ports="${FRONTROW_TEST_CLUSTER_PORTS:-17101 17102 17103}"

die() { printf '%s\n' "$*" >&2 && exit 1; }

start() {
    local redis port first=0 all=''
    # Debian's redis-tools has the server under another name; it looks at the name that it is called by.
    redis=$(command -v redis-server || command -v redis-check-rdb) || die "There is no redis-server in the PATH."
    for port in $ports; do
        mkdir -p "$folder/$port"
        (exec -a redis-server "$redis" --bind 127.0.0.1 --port "$port" --dir "$folder/$port" --daemonize yes \
            --cluster-enabled yes --cluster-node-timeout 2000 --cluster-require-full-coverage no --save '' \
            --pidfile "$folder/$port/pid" --logfile "$folder/$port/log" >/dev/null)
        until redis-cli -p "$port" ping >/dev/null 2>&1; do sleep 0.1; done
        redis-cli -p "$port" cluster meet 127.0.0.1 "${ports%% *}" >/dev/null
        redis-cli -p "$port" cluster addslotsrange "$first" "$((first + 5461 > 16383 ? 16383 : first + 5461))" >/dev/null
        first=$((first + 5462)) all=${all:+$all,}127.0.0.1:$port
    done
    for port in $ports; do
        until redis-cli -p "$port" cluster info | grep -q 'cluster_slots_ok:16384'; do sleep 0.1; done
    done
    printf 'export REDIS_URL=redis+cluster://%s\n' "$all"
}

stop() {
    local port
    for port in $ports; do redis-cli -p "$port" shutdown nosave >/dev/null 2>&1 || true; done
    rm -rf "$folder"
}

case ${1:-} in
start) start ;;
stop) stop ;;
*) die "scripts/cluster.sh start | stop" ;;
esac
