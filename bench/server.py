"""The superuser's sessions on the throwaway server: databases, and what is installed there."""

import contextlib

import psycopg2

# Extensions that every release from 13 on has and that need no library loaded, in an order in which
# what one requires comes first.
EXTENSIONS = """
    hstore pg_trgm citext pgcrypto uuid-ossp
    btree_gin btree_gist cube earthdistance fuzzystrmatch intarray ltree seg tablefunc unaccent
    dblink postgres_fdw file_fdw isn lo
    amcheck autoinc bloom dict_int dict_xsyn insert_username intagg moddatetime pageinspect
    pg_buffercache pg_freespacemap pg_prewarm pg_stat_statements pg_visibility pgrowlocks pgstattuple
    refint tcn tsm_system_rows tsm_system_time
""".split()


class Admin:
    """The superuser, over the server's Unix socket."""

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
        """The first extensions of the list, with the server's default versions."""
        with self.session() as cursor:
            cursor.execute("SELECT name, default_version FROM pg_available_extensions")
            versions = dict(cursor.fetchall())
        missing = [name for name in EXTENSIONS[:count] if name not in versions]
        if missing:
            raise SystemExit(f"bench: the server lacks {', '.join(missing)}: install its contrib package")
        return {name: versions[name] for name in EXTENSIONS[:count]}

    @contextlib.contextmanager
    def databases(self, names, template="template0"):
        """Databases of these names, for as long as the block runs."""
        with self.session() as cursor:
            for name in names:
                cursor.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        for name in names:
            # The first session of a database is slower than those that follow.
            self.installed(name)
        yield
        with self.session() as cursor:
            for name in names:
                cursor.execute(f'DROP DATABASE "{name}" WITH (FORCE)')

    def install(self, database, extensions):
        """Creates extensions in a database."""
        with self.session(database) as cursor:
            for name in extensions:
                cursor.execute(f'CREATE EXTENSION "{name}"')

    def installed(self, database):
        """The extensions of a database with their versions."""
        with self.session(database) as cursor:
            cursor.execute("SELECT extname, extversion FROM pg_extension WHERE extname <> 'plpgsql'")
            return dict(cursor.fetchall())
