"""Waves and secrets whose names sort oddly: no database is left out."""

import pytest

# `!` sorts before what separates a wave and a name.
NAMES = ["rds", "rds!db-1", "rds!db-2", "rds/db", "rds_db"]
WAVES = ["été", "本番", "2 live", "a!"]


@pytest.fixture(scope="module")
def databases(stack):
    found = [f"odd{number}" for number in range(len(NAMES))]
    stack.psql("postgres", "".join(f"CREATE DATABASE {name};\n" for name in found))
    return found


@pytest.fixture
def wave(request, stack, databases):
    for name, database in zip(NAMES, databases, strict=True):
        stack.add_secret(name, request.param, dbname=database)
    yield request.param
    stack.forget(*NAMES)


@pytest.mark.parametrize("wave", WAVES, indirect=True)
def test_every_database_of_a_wave_is_changed(stack, databases, wave):
    for database in databases:
        stack.psql(database, "SET client_min_messages = error; DROP EXTENSION IF EXISTS hstore")
    given = {"PluginsMap": {"hstore": "any"}, "SslMode": "require"}
    run, execution = stack.run(Mode="Apply", Waves=[wave], Properties=given)
    assert execution["status"] == "SUCCEEDED", execution["cause"]
    status = stack.status(run)
    assert {one["Database"] for one in status["Databases"]} == {f"fleet/{name}" for name in NAMES}
    assert {(one["Wave"], one["Status"]) for one in status["Databases"]} == {(wave, "CHANGED")}


@pytest.mark.parametrize("wave", ["a#b"], indirect=True)
def test_a_wave_that_would_be_taken_for_another_is_refused(stack, wave):
    run, execution = stack.run(Mode="Plan", Waves=[wave], Properties={"PluginsMap": {}})
    assert (execution["status"], execution["error"]) == ("FAILED", "InvalidInput")
    assert execution["cause"] == (
        "the tag PostgresExtensions has the value `a#b`: choose a wave without #"
    )
    assert stack.status(run)["Status"] == "FAILED"


def test_a_name_of_a_run_that_no_tag_can_have_is_refused(stack):
    _, execution = stack.run("it's", Mode="Plan", Properties={"PluginsMap": {}})
    assert (execution["status"], execution["error"]) == ("FAILED", "InvalidInput")
    assert "the name of the execution must be of letters" in execution["cause"]
