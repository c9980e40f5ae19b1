# The half of ./dev that knows about the machine: programs that are missing, and a private Postgres and Redis under .dev/.
# Sourced by ./dev in the checkout's folder; bash 3.2, see there.
# shellcheck shell=bash
# shellcheck disable=SC2154 # $checkout is set by ./dev

# $1: what is missing, in words; $2: the apt packages that have it; $3: the Homebrew formulae.
install_packages() {
    local sudo='' log=$checkout/.dev/install.log
    [ "$(id -u)" = 0 ] || sudo=sudo
    mkdir -p .dev/apt
    # shellcheck disable=SC2086 # $2 and $3 are lists
    if has apt-get && { [ -z "$sudo" ] || { has sudo && { [ -t 0 ] || sudo -n true 2>/dev/null; }; }; }; then
        say "Installing $1: apt-get install $2"
        # Debian makes a database cluster of its own with the package: that one shall not run, neither now nor at boot.
        echo "start_conf = 'manual'" >.dev/apt/createcluster.conf
        $sudo apt-get update >"$log" 2>&1 </dev/null || true # a broken source of something else need not stop us
        $sudo env DEBIAN_FRONTEND=noninteractive PGSYSCONFDIR="$checkout/.dev/apt" apt-get install -y \
            --no-install-recommends -o DPkg::Lock::Timeout=120 $2 >>"$log" 2>&1 </dev/null ||
            die "apt-get could not install $1 (see $log): install it by hand, then run this again."
    elif has brew && [ -n "$3" ]; then
        say "Installing $1: brew install $3"
        brew install $3 >&2 </dev/null || die "Homebrew could not install $1: install it by hand, then run this again."
    else
        die "$1 is missing: install it (on Debian, as root: apt-get install $2), then run this again."
    fi
}

# Sets $pg to the programs of Postgres $1, or without it to the newest there are from 15 on.
find_postgres() {
    local dir version newest=14
    pg=''
    for dir in "$(dirname "$(command -v pg_ctl || echo /none/pg_ctl)")" /usr/lib/postgresql/*/bin /usr/pgsql-*/bin \
        /opt/homebrew/opt/postgresql*/bin /usr/local/opt/postgresql*/bin; do
        if ! [ -x "$dir/initdb" ] || ! [ -x "$dir/postgres" ]; then continue; fi
        version=$("$dir/postgres" --version | sed 's/[^0-9]*\([0-9]*\).*/\1/')
        if [ "$version" = "${1:-}" ]; then pg=$dir && return; fi
        if [ -z "${1:-}" ] && [ "$version" -gt "$newest" ]; then pg=$dir newest=$version; fi
    done
    [ -n "$pg" ]
}

# On Debian redis-tools is enough, and unlike redis-server it brings no system service that would start: the server and
# redis-check-rdb are one program, which looks at the name that it is called by.
find_redis() { redis=$(command -v redis-server || command -v redis-check-rdb); }

need_services() {
    find_postgres || install_packages 'PostgreSQL (15 or newer, the server)' postgresql postgresql@17
    find_postgres || die "This system's PostgreSQL is older than 15: install one of https://www.postgresql.org/download/."
    find_redis || install_packages 'Redis (7 or newer, the server)' redis-tools redis
    find_redis || die "There is no redis-server in the PATH: install Redis 7 or newer, then run this again."
}

# Postgres refuses to run as root, so root runs the services as somebody without rights.
choose_owner() {
    user=''
    [ "$(id -u)" = 0 ] || return 0
    if id postgres >/dev/null 2>&1; then user=postgres; else user=nobody; fi
}

# That user may not be able to enter the checkout (it may lie in /root): then the data lie in /var/lib, in a folder of this
# checkout's own.
choose_place() {
    home=$checkout/.dev
    choose_owner
    [ -n "$user" ] || return 0
    has runuser || die "Postgres refuses to run as root: run this as an ordinary user."
    as_owner test -x "$home" || home=/var/lib/frontrow-dev-$(printf %s "$checkout" | cksum | cut -d ' ' -f 1)
    mkdir -p "$home"
}

as_owner() { if [ -n "$user" ]; then (cd / && exec runuser -u "$user" -- "$@"); else "$@"; fi; }
owned_folder() { mkdir -p "$1" && chmod 700 "$1" && { [ -z "$user" ] || chown "$user" "$1"; }; }

# One ./dev at a time starts or stops services. The link names the process that holds it, so a dead one's is void.
lock() {
    [ -O .dev ] || die "$checkout/.dev is another user's: run this as that user, or remove that folder."
    until ln -s $$ .dev/lock 2>/dev/null; do
        kill -0 "$(readlink .dev/lock)" 2>/dev/null || rm -f .dev/lock
        sleep 0.2
    done
    trap 'rm -f .dev/lock' EXIT
    load_ports
}
unlock() { rm -f .dev/lock && trap - EXIT; }

load_ports() {
    postgres_port='' redis_port=''
    # shellcheck disable=SC1091
    if [ -f .dev/ports ]; then . .dev/ports; fi
    our_database=postgres://frontrow@127.0.0.1:$postgres_port/frontrow our_redis=redis://127.0.0.1:$redis_port
}
save_ports() { printf 'postgres_port=%s\nredis_port=%s\n' "$postgres_port" "$redis_port" >.dev/ports && load_ports; }
port_free() { [ -z "$1" ] || ! (exec 3<>"/dev/tcp/${2:-127.0.0.1}/$1") 2>/dev/null; }

# The port of service $1: the remembered one, $2, while nobody else has it; else the next free one from a start that
# differs from checkout to checkout and lies below the ports that systems hand out themselves.
choose_port() {
    local port=$2
    if [ -n "$port" ] && port_free "$port"; then echo "$port" && return; fi
    [ -z "$port" ] || say "Another program has taken port $port meanwhile: $1 moves to another one."
    port=$((20000 + $(printf '%s' "$1 $checkout" | cksum | cut -d ' ' -f 1) % 10000))
    until port_free "$port"; do port=$((port + 1)); done
    echo "$port"
}

postgres_runs() { ! port_free "$postgres_port" && as_owner "$pg/pg_ctl" status -D "$home/postgres" >/dev/null; }

# Built beside its place and moved there when it is whole. Only the role frontrow may come in, and it is no superuser.
create_database() {
    local data=$home/postgres.new
    rm -rf "$data"
    owned_folder "$data"
    as_owner "$pg/initdb" -D "$data" -U postgres -A trust -E UTF8 --locale=C </dev/null >/dev/null
    as_owner "$pg/postgres" --single -D "$data" -c exit_on_error=on -c log_checkpoints=off postgres >/dev/null <<'END'
CREATE ROLE frontrow LOGIN CREATEDB
CREATE DATABASE frontrow OWNER frontrow
END
    add_app_role "$data"
    echo 'host all frontrow 127.0.0.1/32 trust' >"$data/pg_hba.conf"
    mv "$data" "$home/postgres"
}

# The role that servers run under in tests: it may do less than frontrow, which may become it.
add_app_role() {
    as_owner "$pg/postgres" --single -D "$1" -c exit_on_error=on -c log_checkpoints=off postgres >/dev/null <<'END'
DO $$BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'frontrow_app') THEN CREATE ROLE frontrow_app; END IF; END$$
GRANT frontrow_app TO frontrow
END
    as_owner touch "$1/frontrow_app"
}

start_postgres() {
    local data=$home/postgres
    [ -d "$data" ] || create_database
    find_postgres "$(cat "$data/PG_VERSION")" ||
        die "The data in $data are of Postgres $(cat "$data/PG_VERSION"): install that version, or remove the folder."
    if postgres_runs; then return; fi
    # Data of an earlier version.
    [ -e "$data/frontrow_app" ] || add_app_role "$data"
    postgres_port=$(choose_port Postgres "$postgres_port")
    save_ports
    as_owner "$pg/pg_ctl" start -w -t 60 -D "$data" -l "$data/server.log" -o "-p $postgres_port \
        -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c max_connections=400 -c shared_buffers=256MB \
        -c max_wal_size=2GB -c random_page_cost=1.1 -c jit=off -c timezone=UTC" </dev/null >/dev/null ||
        die "Postgres did not start: the reason is at the end of $data/server.log."
    say "Postgres is up on port $postgres_port, its data are in $data."
}

# Asks for the process id, because the pid file may be older than the machine's last start. In a subshell, because a
# Redis that is just going may hang up in the middle.
redis_runs() (
    pid=$(cat "$home/redis/redis.pid") && [ -n "$redis_port" ] && exec 3<>"/dev/tcp/127.0.0.1/$redis_port" || exit 1
    printf 'INFO server\r\nQUIT\r\n' >&3
    while IFS= read -r -t 2 line <&3; do
        if [ "$line" = "process_id:$pid"$'\r' ]; then exit 0; fi
    done
    exit 1
) 2>/dev/null

start_redis() {
    local data=$home/redis tries=0
    if redis_runs; then return; fi
    redis_port=$(choose_port Redis "$redis_port")
    save_ports
    owned_folder "$data"
    rm -f "$data/redis.pid"
    # Without a log on disk: nothing outlives its run, and writing it would keep everybody waiting (docs/operating.md).
    # shellcheck disable=SC2016
    as_owner bash -c 'exec -a redis-server "$0" "$@"' "$redis" --bind 127.0.0.1 --port "$redis_port" --daemonize yes \
        --dir "$data" --pidfile "$data/redis.pid" --logfile "$data/redis.log" --save '' --appendonly no \
        </dev/null >&2
    until redis_runs; do
        tries=$((tries + 1))
        [ $tries -lt 100 ] || die "Redis did not start: the reason is at the end of $data/redis.log."
        sleep 0.1
    done
    say "Redis is up on port $redis_port, its data are in $data."
}

# Leaves DATABASE_URL and REDIS_URL exported: as they were given, or those of services of our own.
services() {
    mkdir -p .dev
    load_ports
    if [ -n "${DATABASE_URL:-}" ] && [ -n "${REDIS_URL:-}" ] && [ "$DATABASE_URL" != "$our_database" ]; then
        say "Using the Postgres and the Redis that DATABASE_URL and REDIS_URL name." && return
    fi
    lock
    need_services
    choose_place # not earlier: installing Postgres makes its user
    start_postgres
    start_redis
    unlock
    export DATABASE_URL=$our_database REDIS_URL=$our_redis
}

stop() {
    mkdir -p .dev
    lock
    choose_place
    if redis_runs; then
        kill "$(cat "$home/redis/redis.pid")"
        while redis_runs; do sleep 0.1; done
        say "Redis is stopped."
    fi
    if [ -d "$home/postgres" ] && find_postgres "$(cat "$home/postgres/PG_VERSION")" && postgres_runs; then
        as_owner "$pg/pg_ctl" stop -w -m fast -D "$home/postgres" >/dev/null
        say "Postgres is stopped."
    fi
}
