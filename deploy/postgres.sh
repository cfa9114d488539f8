# shellcheck shell=bash
# Sourced by the scripts, after common.sh: a PostgreSQL from Debian's packages in a temporary folder. The distribution's
# own cluster is neither started nor touched.

# start_postgres FOLDER LOG: makes a server with its data in the empty FOLDER, on loopback, with fsync, and waits until it
# answers. Sets `postgres` to its process, `database_url` to where it is, and `database_password`.
# As root it runs as the package's user, since it refuses to be root. Returns 1 when it is not installed.
start_postgres() {
  local folder=$1 log=$2 programs port as_server=()
  programs=$(find /usr/lib/postgresql -mindepth 2 -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -n 1)
  [ -n "$programs" ] || { echo "PostgreSQL is missing: run deploy/install.sh --postgres"; return 1; }
  mkdir -p "$folder"
  database_password=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
  (umask 077 && echo "$database_password" >"$folder/password")
  if [ "$(id -u)" = 0 ]; then
    chown postgres "$folder" "$folder/password"
    as_server=(setpriv --reuid=postgres --regid=postgres --clear-groups)
  fi
  (cd "$folder" && "${as_server[@]}" "$programs/initdb" --pgdata="$folder/data" --username=lease_gateway \
    --auth=scram-sha-256 --encoding=UTF8 --locale=C --pwfile="$folder/password" >"$log" 2>&1) || return 1
  port=$(free_port 24051)
  (cd "$folder" && exec "${as_server[@]}" "$programs/postgres" -D "$folder/data" -k "$folder" -h 127.0.0.1 -p "$port" >>"$log" 2>&1) &
  postgres=$!
  wait_for 30 "$postgres" "$programs/pg_isready" --quiet --host=127.0.0.1 --port="$port" || return 1
  # shellcheck disable=SC2034  # for the script
  database_url=postgresql://lease_gateway@127.0.0.1:$port/postgres
}

# stop_postgres: also under clients that are still connected.
stop_postgres() {
  [ -n "${postgres:-}" ] || return 0
  kill -INT "$postgres" 2>/dev/null || true
  stop_process "$postgres" 30 || true
  postgres=
}
