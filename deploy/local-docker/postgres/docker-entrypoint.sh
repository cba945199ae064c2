#!/bin/bash
# Make the cluster at the first start, from POSTGRES_*; then run the command.
set -euo pipefail

[ "${1:0:1}" != - ] || set -- postgres "$@"
[ "$1" = postgres ] || exec "$@"

if [ "$(id -u)" = 0 ]; then
  mkdir -p "$PGDATA"
  chown -R postgres "$PGDATA" /var/run/postgresql
  exec setpriv --reuid=postgres --regid=postgres --init-groups "$0" "$@"
fi
mkdir -p "$PGDATA"
chmod 700 "$PGDATA"

if [ ! -s "$PGDATA/PG_VERSION" ]; then
  user=${POSTGRES_USER:-postgres}
  [ -z "${POSTGRES_PASSWORD_FILE:-}" ] || POSTGRES_PASSWORD=$(cat "$POSTGRES_PASSWORD_FILE")
  [ -n "${POSTGRES_PASSWORD:-}" ] || { echo "set POSTGRES_PASSWORD or POSTGRES_PASSWORD_FILE" >&2; exit 1; }
  eval "set -- ${POSTGRES_INITDB_ARGS:-} -- $(printf '%q ' "$@")"
  options=()
  while [ "$1" != -- ]; do options+=("$1"); shift; done
  shift
  initdb --username="$user" --pwfile=<(echo "$POSTGRES_PASSWORD") --set listen_addresses='*' \
    --set unix_socket_directories=/var/run/postgresql,/tmp "${options[@]}"
  echo "host all all all ${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}" >> "$PGDATA/pg_hba.conf"
  if [ "${POSTGRES_DB:-$user}" != postgres ]; then
    pg_ctl -D "$PGDATA" -w start -o '-c listen_addresses='
    PGPASSWORD=$POSTGRES_PASSWORD createdb -h /tmp -U "$user" -O "$user" "${POSTGRES_DB:-$user}"
    pg_ctl -D "$PGDATA" -w stop
  fi
  echo "PostgreSQL init process complete; ready for start up."
fi
exec "$@"
