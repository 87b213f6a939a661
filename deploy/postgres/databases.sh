#!/bin/bash
# Run once, when the server's volume is empty: for each service one database, closed to the others, and its roles.
# ‹service›_owner makes the tables (migrate), ‹service›_service works with them (worker, Order API), ‹service›_web reads
# them and writes what operators set (participants' APIs), auditor reads all. `migrate` grants each what it needs.
# The password of a role is in the file $SECRETS/‹role›_password. Those of the repository's examples need DEMO=on.
set -euo pipefail

secrets=${SECRETS:-/run/secrets}
die() { echo "$1" >&2; exit 1; }
password() {
  local word
  word=$(cat "$secrets/$1_password")
  [ -n "$word" ] || die "$secrets/$1_password is empty"
  [[ $word != *-demo || ${DEMO:-off} = on ]] || die "$secrets/$1_password is one of the examples: use your own, or set DEMO=on"
  printf '%s' "$word"
}
sql() { psql --username "$POSTGRES_USER" --dbname "$1" --set ON_ERROR_STOP=1 --quiet "${@:2}"; }

word=$(password auditor)
sql postgres --set password="$word" <<'SQL'
CREATE ROLE auditor LOGIN CONNECTION LIMIT 10 PASSWORD :'password';
ALTER ROLE auditor SET default_transaction_read_only = on;
SQL
for file in "$secrets"/*_owner_password; do
  service=$(basename "$file" _owner_password)
  owner_password=$(password "${service}_owner")
  service_password=$(password "${service}_service")
  web_password=$(password "${service}_web")
  sql postgres --set database="${service}_service" --set owner="${service}_owner" --set web="${service}_web" \
    --set owner_password="$owner_password" --set password="$service_password" --set web_password="$web_password" <<'SQL'
CREATE ROLE :"owner" LOGIN CONNECTION LIMIT 5 PASSWORD :'owner_password';
CREATE ROLE :"database" LOGIN CONNECTION LIMIT 60 PASSWORD :'password';
CREATE ROLE :"web" LOGIN CONNECTION LIMIT 60 PASSWORD :'web_password';
CREATE DATABASE :"database" OWNER :"owner";
REVOKE ALL ON DATABASE :"database" FROM PUBLIC;
GRANT CONNECT ON DATABASE :"database" TO :"database", :"web", auditor;
SQL
  sql "${service}_service" --command "REVOKE ALL ON SCHEMA public FROM PUBLIC; GRANT ALL ON SCHEMA public TO ${service}_owner"
done
