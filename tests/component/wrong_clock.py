"""A PostgreSQL database whose clock can be set: it tells another time than the machine does."""

import psycopg

SHADOW = """
CREATE TABLE clock_ahead (by interval NOT NULL);
INSERT INTO clock_ahead VALUES ('0');
CREATE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS
    'SELECT pg_catalog.clock_timestamp() + by FROM public.clock_ahead';
"""


class ServersClock:
    """Right at first. Connections made from now on see what it tells."""

    def __init__(self, url: str) -> None:
        self._url = url.replace("+psycopg", "")
        with psycopg.connect(self._url) as connection:
            connection.execute(SHADOW)
            connection.execute(f'ALTER DATABASE "{connection.info.dbname}" SET search_path = public, pg_catalog')

    def set_ahead(self, interval: str) -> None:
        """By so much, from now on."""
        with psycopg.connect(self._url) as connection:
            connection.execute("UPDATE clock_ahead SET by = %s::interval", [interval])
