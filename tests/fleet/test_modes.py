"""60 databases of one server in three waves, in each mode: what a run says beside the catalogs."""

import json

import pytest

DATABASES = {wave: [f"{wave}{number}" for number in range(20)] for wave in ("a", "b", "c")}
NAMES = [name for names in DATABASES.values() for name in names]


@pytest.fixture(scope="module")
def fleet(stack):
    for wave, names in DATABASES.items():
        stack.add(names, wave)
    yield stack
    stack.forget(*NAMES)


def properties(**plugins_map):
    """Of a run. RDS needs no SslMode: the test server's certificate has an authority of its own."""
    return {"SslMode": "require", "PluginsMap": plugins_map}


def counts(run):
    """The counts that are not 0, of a status or an item."""
    return {status: int(count) for status, count in run["Counts"].items() if count}


def test_an_audit_compares_and_changes_nothing(fleet):
    run, execution = fleet.run(Properties=properties(hstore="1.4"))
    assert execution["status"] == "SUCCEEDED", execution
    status = fleet.status(run)
    assert (status["Mode"], status["Status"]) == ("Audit", "SUCCEEDED")
    assert counts(status) == counts(json.loads(execution["output"])) == {"DRIFTED": 60}
    assert [one["Database"] for one in status["Databases"]] == sorted(f"fleet/{n}" for n in NAMES)
    assert {one["Action"] for one in status["Databases"]} == {"create"}
    assert {one["Before"].split(": ")[1] for one in status["Databases"]} == {"plpgsql 1.0"}
    assert set(map(str, fleet.deployment.extensions(*NAMES).values())) == {"{}"}
