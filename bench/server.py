"""The benchmark's own way into the throwaway server: databases, and what its own work takes."""

import contextlib
import time

import psycopg2

# Stock extensions that every release from 13 on has and that need no library loaded, in an order
# in which what one requires comes first.
EXTENSIONS = """
    hstore pg_trgm citext pgcrypto uuid-ossp
    btree_gin btree_gist cube earthdistance fuzzystrmatch intarray ltree seg tablefunc unaccent
    dblink postgres_fdw file_fdw isn lo
    amcheck autoinc bloom dict_int dict_xsyn insert_username intagg moddatetime pageinspect
    pg_buffercache pg_freespacemap pg_prewarm pg_stat_statements pg_visibility pgrowlocks pgstattuple
    refint tcn tsm_system_rows tsm_system_time
""".split()


class Admin:
    """The server's superuser, over its Unix socket: no TLS, no password, no distance."""

    def __init__(self, server):
        self.server = server

    @contextlib.contextmanager
    def session(self, database="postgres"):
        """A cursor in a session of its own, in autocommit."""
        connection = psycopg2.connect(
            host=self.server.folder, port=self.server.port, user=self.server.user, dbname=database
        )
        connection.autocommit = True
        try:
            yield connection.cursor()
        finally:
            connection.close()

    def first(self, count):
        """The first extensions of the list, with the versions that the server takes by itself."""
        with self.session() as cursor:
            cursor.execute("SELECT name, default_version FROM pg_available_extensions")
            versions = dict(cursor.fetchall())
        missing = [name for name in EXTENSIONS[:count] if name not in versions]
        if missing:
            raise SystemExit(f"bench: the server lacks {', '.join(missing)}: install its contrib package")
        return {name: versions[name] for name in EXTENSIONS[:count]}

    def create(self, databases):
        """Makes empty databases that somebody has been in: the first session of all is slower."""
        with self.session() as cursor:
            for name in databases:
                cursor.execute(f'CREATE DATABASE "{name}"')
        for name in databases:
            with self.session(name) as cursor:
                cursor.execute("SELECT extname FROM pg_extension")

    def drop(self, databases):
        """Removes them, sessions and all."""
        with self.session() as cursor:
            for name in databases:
                cursor.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def installed(self, database):
        """The extensions of a database with their versions."""
        with self.session(database) as cursor:
            cursor.execute("SELECT extname, extversion FROM pg_extension WHERE extname <> 'plpgsql'")
            return dict(cursor.fetchall())

    def empty(self, databases, extensions):
        """Takes extensions out of databases."""
        names = ", ".join(f'"{name}"' for name in extensions)
        for database in databases:
            with self.session(database) as cursor:
                cursor.execute(f"DROP EXTENSION IF EXISTS {names} CASCADE")

    def creating(self, database, extensions):
        """The milliseconds that the server takes to create extensions: one message, one
        transaction, a session that has done nothing before."""
        statements = "; ".join(
            f"CREATE EXTENSION \"{name}\" VERSION '{version}'" for name, version in extensions.items()
        )
        return self._timed(database, statements)

    def looking(self, database):
        """The milliseconds of one look at `pg_available_extension_versions`."""
        return self._timed(database, "SELECT count(*) FROM pg_available_extension_versions")

    def _timed(self, database, sql):
        with self.session(database) as cursor:
            begun = time.perf_counter()
            cursor.execute(sql)
            return (time.perf_counter() - begun) * 1000
