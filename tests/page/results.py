"""Results of Inspect and of the status workflow, as the function and the fleet give them."""


def extension(name, installed, default=None, **more):
    default = default or installed
    update = installed is not None and installed != default
    return {
        "Name": name,
        "Installed": installed,
        "Default": default,
        "UpdateAvailable": update,
        "Reachable": [default] if update else [],
        "Schema": "public",
        "Owner": "rds_superuser",
        "CreatedBy": None,
        **more,
    }


def statement(sql, action, name, before=None, after=None):
    return {"Statement": sql, "Action": action, "Extension": name, "From": before, "To": after}


def database(name, extensions, plan=(), problems=()):
    drift = any(e.get("State") not in (None, "as wanted", "not listed") for e in extensions)
    return {
        "Database": name,
        "Drift": drift,
        "Extensions": extensions,
        "Plan": list(plan),
        "Problems": list(problems),
    }


def inspect(server, *databases, **more):
    host = f"{server}.c1x2y3z4.eu-central-1.rds.amazonaws.com"
    return {
        "Server": {"Host": host, "Port": 5432, "DBInstanceIdentifier": server},
        "Databases": list(databases),
        **more,
    }


def sample():
    """Five servers of a shop: what a first look at a fleet shows."""

    def listed(name, installed, default=None, wanted=None, state="as wanted", **more):
        return extension(name, installed, default, Wanted=wanted, State=state, **more)

    def unlisted(name, installed, default=None, **more):
        return extension(name, installed, default, Wanted=None, State="not listed", **more)

    claim = {
        "StackId": "arn:aws:cloudformation:eu-central-1:123456789012:stack/orders/5f1c",
        "LogicalResourceId": "Extensions",
    }
    base = [
        unlisted("plpgsql", "1.0", Schema="pg_catalog", Owner="rdsadmin"),
        listed("pgcrypto", "1.3", wanted="1.3", CreatedBy=claim),
        listed("pg_stat_statements", "1.10", wanted="latest"),
    ]
    statements_behind = listed(
        "pg_stat_statements", "1.9", "1.10", "latest", "other version", Reachable=["1.10"]
    )
    update_statements = statement(
        """ALTER EXTENSION "pg_stat_statements" UPDATE TO '1.10'""",
        "update", "pg_stat_statements", "1.9", "1.10",
    )  # fmt: skip
    hstore = listed("hstore", "1.8", wanted="1.*")
    trgm_missing = listed("pg_trgm", None, "1.6", "1.6", "missing", Schema=None, Owner=None)
    create_trgm = statement(
        """CREATE EXTENSION "pg_trgm" SCHEMA "public" VERSION '1.6'""",
        "create", "pg_trgm", None, "1.6",
    )  # fmt: skip
    trgm = listed("pg_trgm", "1.6", wanted="1.6")
    postgis = [unlisted(name, "3.3.2", "3.4.3") for name in ("postgis", "postgis_raster")]
    postgis_current = [unlisted(name, "3.4.3") for name in ("postgis", "postgis_topology")]
    citext_elsewhere = listed("citext", "1.6", wanted="1.6", state="other schema", Schema="app")
    move_citext = statement(
        'ALTER EXTENSION "citext" SET SCHEMA "public"', "move", "citext", "1.6", "1.6"
    )
    dblink = listed("dblink", "1.2", wanted="absent", state="unwanted")
    drop_dblink = statement('DROP EXTENSION "dblink" RESTRICT', "drop", "dblink", "1.2")
    vector = unlisted("vector", "0.7.0", "0.8.0")
    cron = unlisted("pg_cron", "1.6", Schema="pg_catalog", Owner="rdsadmin")
    depends = (
        "`dblink` is wanted absent, but view `report.remote_stock` depends on it: "
        "drop what depends on it first"
    )
    return [
        inspect(
            "orders-prod",
            database("orders", [*base, hstore, trgm, citext_elsewhere], [move_citext]),
            database("orders_archive", [*base, hstore, trgm_missing], [create_trgm]),
            database("postgres", [*base, hstore, trgm, cron]),
        ),
        inspect(
            "catalog-prod",
            database("catalog", [*base, hstore, trgm, vector]),
            database("search", [*base, hstore, trgm, unlisted("unaccent", "1.1"), vector]),
            database(
                "suppliers",
                [base[0], base[1], statements_behind, hstore, trgm, dblink],
                [update_statements, drop_dblink],
            ),
        ),
        inspect(
            "geo-prod",
            database("delivery", [*base, hstore, trgm, *postgis]),
            database("stores", [*base, hstore, trgm, *postgis_current]),
            database(
                "routing",
                [*base[:2], statements_behind, trgm_missing, *postgis],
                [update_statements, create_trgm],
            ),
        ),
        inspect(
            "reports-prod",
            database("warehouse", [*base, hstore, trgm, dblink], problems=[depends]),
            {
                "Database": "finance",
                "Error": 'permission denied for database "finance" (SQLSTATE 42501): '
                "grant CONNECT on it to the role `inspector`",
            },
        ),
        {
            "Server": {"Host": "10.20.0.14", "Port": 5433},
            "Databases": [
                database("legacy", [*base[:2], statements_behind, hstore], [update_statements])
            ],
        },
    ]


def large(databases=300, extensions=60):
    """Every extension in every database, of ten databases a server, in every state in turn."""
    variants = (
        dict(State="as wanted"),
        dict(State="not listed", default="1.2.4"),
        dict(State="other version"),
        dict(State="missing", installed=None),
    )

    def one(row, column):
        values = {"installed": "1.2.3", "Wanted": "1.2.3", **variants[(row + column) % 4]}
        return extension(f"extension_number_{column}", **values)

    return [
        inspect(
            f"server-{server}",
            *(
                database(f"database_{row}", [one(row, column) for column in range(extensions)])
                for row in range(server * 10, server * 10 + 10)
            ),
        )
        for server in range(databases // 10)
    ]


def status():
    """What the status workflow gives."""
    staging = {"Wave": "1-staging", "ServerVersion": "15.8", "UpdatedAt": "2026-11-20T02:14:09Z"}
    return {
        "Run": "upgrade-2026-11-20",
        "Mode": "Apply",
        "Status": "FAILED",
        "Step": "Wave 1-staging",
        "Counts": {
            "PENDING": 0,
            "IN_SYNC": 1,
            "DRIFTED": 1,
            "CHANGED": 1,
            "BACKED_UP": 0,
            "FAILED": 1,
            "SKIPPED": 0,
        },
        "StartedAt": "2026-11-20T02:12:51Z",
        "UpdatedAt": "2026-11-20T02:14:10Z",
        "Databases": [
            {
                **staging,
                "Database": "orders",
                "Status": "CHANGED",
                "Action": "update",
                "Changes": "updated hstore 1.4 to 1.8",
                "Before": "hstore 1.4, plpgsql 1.0",
                "After": "hstore 1.8, plpgsql 1.0",
                "Snapshot": "extensions-upgrade-2026-11-20-orders",
            },
            {**staging, "Database": "search", "Status": "IN_SYNC", "Changes": "none"},
            {
                **staging,
                "Database": "stores",
                "Status": "FAILED",
                "Action": "update",
                "Reason": "nothing was changed: no update path",
                "RestoreTo": "2026-11-20T02:13:40Z",
            },
            {
                "Database": "routing",
                "Wave": "2-production",
                "Status": "DRIFTED",
                "Action": "create",
                "UpdatedAt": "2026-11-20T02:13:02Z",
            },
        ],
    }


def long_run(databases, page):
    """The results of a run with this many databases, so many in each."""
    common = {"Run": "long", "Mode": "Audit", "Status": "SUCCEEDED", "Step": "Done"}
    return [
        {
            **common,
            "Counts": {"IN_SYNC": databases},
            "UpdatedAt": "2026-11-20T03:00:00Z",
            "Databases": [
                {"Database": f"database-{number}", "Wave": "1", "Status": "IN_SYNC"}
                for number in range(start, min(start + page, databases))
            ],
            **({"Next": f"database/1/{start}"} if start + page < databases else {}),
        }
        for start in range(0, databases, page)
    ]
