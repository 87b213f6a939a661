#!/bin/bash
# Run once, when the server's volume is empty: one database and one user for each service, closed to the others.
set -euo pipefail

for service in order payment inventory shipping; do
  password=${service^^}_PASSWORD
  psql --username "$POSTGRES_USER" --dbname postgres --set ON_ERROR_STOP=1 --quiet \
    --set name="${service}_service" --set password="${!password:?is not set}" <<'SQL'
CREATE ROLE :"name" LOGIN PASSWORD :'password';
CREATE DATABASE :"name" OWNER :"name";
REVOKE ALL ON DATABASE :"name" FROM PUBLIC;
SQL
done
