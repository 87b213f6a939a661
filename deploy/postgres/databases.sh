#!/bin/bash
# Run once, when the server's volume is empty: for each service one database, closed to the others, and its roles.
# ‹service›_owner makes the tables (migrate), ‹service›_service works with them (worker, Order API), ‹service›_web reads
# them and writes what operators set (participants' APIs), auditor reads all. `migrate` grants each what it needs.
set -euo pipefail

password() { local name=$1; printf '%s' "${!name:?is not set}"; }
sql() { psql --username "$POSTGRES_USER" --dbname "$1" --set ON_ERROR_STOP=1 --quiet "${@:2}"; }

sql postgres --set password="$(password AUDITOR_PASSWORD)" <<'SQL'
CREATE ROLE auditor LOGIN CONNECTION LIMIT 10 PASSWORD :'password';
ALTER ROLE auditor SET default_transaction_read_only = on;
SQL
for name in $(compgen -e | grep -x '[A-Z]*_OWNER_PASSWORD'); do
  service=${name%_OWNER_PASSWORD}
  service=${service,,}
  sql postgres --set database="${service}_service" --set owner="${service}_owner" --set web="${service}_web" \
    --set owner_password="$(password "${service^^}_OWNER_PASSWORD")" \
    --set password="$(password "${service^^}_PASSWORD")" \
    --set web_password="$(password "${service^^}_WEB_PASSWORD")" <<'SQL'
CREATE ROLE :"owner" LOGIN CONNECTION LIMIT 5 PASSWORD :'owner_password';
CREATE ROLE :"database" LOGIN CONNECTION LIMIT 60 PASSWORD :'password';
CREATE ROLE :"web" LOGIN CONNECTION LIMIT 60 PASSWORD :'web_password';
CREATE DATABASE :"database" OWNER :"owner";
REVOKE ALL ON DATABASE :"database" FROM PUBLIC;
GRANT CONNECT ON DATABASE :"database" TO :"database", :"web", auditor;
SQL
  sql "${service}_service" --command "REVOKE ALL ON SCHEMA public FROM PUBLIC; GRANT ALL ON SCHEMA public TO ${service}_owner"
done
