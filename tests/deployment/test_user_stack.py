"""A user's stack with three databases: created, updated, updated by mistake, deleted."""

import pytest
from deployment import UserStack


class Step:
    """What holds after an operation on the stack."""

    def __init__(self, stack, outcome):
        self.outcome = outcome
        self.reason = " ".join(outcome.reasons)
        self.extensions = stack.deployment.extensions()
        exists = outcome.status != "DELETE_COMPLETE"
        self.outputs = stack.deployment.stacks.outputs(stack.NAME) if exists else {}
        self.physical_ids = stack.deployment.stacks.physical_ids(stack.NAME) if exists else {}


@pytest.fixture(scope="module")
def stack(deployment):
    return UserStack(deployment)


@pytest.fixture(scope="module")
def created(stack):
    return Step(stack, stack.deploy(stack.created))


@pytest.fixture(scope="module")
def updated(stack, created):
    row = "CREATE TABLE shop (item hstore); INSERT INTO shop VALUES ('colour => red')"
    stack.deployment.psql("demo2", "-qc", row)
    return Step(stack, stack.deploy(stack.updated))


@pytest.fixture(scope="module")
def mistaken(stack, updated):
    return Step(stack, stack.deploy(stack.mistaken))


@pytest.fixture(scope="module")
def deleted(stack, mistaken):
    return Step(stack, stack.delete())


def test_create_completes(created):
    assert created.outcome.status == "CREATE_COMPLETE", created.reason


def test_create_installs_what_the_template_lists_and_what_that_requires(stack, created):
    latest = created.extensions["demo3"]
    assert created.extensions == {
        "demo1": {"postgis": stack.postgis, "pgcrypto": "1.3"},
        "demo2": {"hstore": "1.4"},
        "demo3": {"cube": latest.get("cube"), "earthdistance": latest.get("earthdistance")},
    }


@pytest.mark.parametrize(
    "line",
    [
        'BEFORE: ["plpgsql"]',
        "Installing plugin postgis version {postgis} ...",
        "Installing plugin pgcrypto version 1.3 ...",
        'AFTER: ["pgcrypto", "plpgsql", "postgis"]',
        "Installing plugin hstore version 1.4 ...",
    ],
)
def test_the_log_says(stack, created, line):
    assert line.format(postgis=stack.postgis) in created.outcome.messages


def test_get_att_gives_the_installed_version(stack, created):
    assert created.outputs["PostGIS"] == stack.postgis


def test_get_att_gives_the_changes_of_a_create(created):
    assert created.outputs["Demo2"] == "created hstore 1.4"


def test_get_att_says_which_extension_required_another(created):
    assert "(required by earthdistance)" in created.outputs["Demo3"]


def test_update_completes(updated):
    assert updated.outcome.status == "UPDATE_COMPLETE", updated.reason


def test_update_changes_what_the_template_changed_and_nothing_else(created, updated):
    new = updated.extensions["demo1"].get("pg_trgm")
    assert updated.extensions == {
        "demo1": {**created.extensions["demo1"], "pg_trgm": new},
        "demo2": {"hstore": "1.7"},
        "demo3": created.extensions["demo3"],
    }
    assert new


def test_update_keeps_the_physical_resource_ids(created, updated):
    assert updated.physical_ids == created.physical_ids


def test_update_keeps_the_data(stack, updated):
    query = "SELECT item -> 'colour' FROM shop"
    assert stack.deployment.psql("demo2", "-c", query) == "red"


def test_get_att_gives_the_changes_of_an_update(updated):
    assert updated.outputs["Demo1"].startswith("created pg_trgm ")
    assert updated.outputs["Demo2"] == "updated hstore 1.4 to 1.7"


def test_a_mistake_is_rolled_back(mistaken):
    assert mistaken.outcome.status == "UPDATE_ROLLBACK_COMPLETE"


def test_the_reason_names_every_mistake(mistaken):
    assert "pgvector" in mistaken.reason
    assert "9.9" in mistaken.reason


def test_the_reason_says_what_the_server_offers(stack, mistaken):
    assert stack.postgis in mistaken.reason


def test_a_mistake_changes_no_database(updated, mistaken):
    assert mistaken.extensions == updated.extensions


def test_delete_completes(deleted):
    assert deleted.outcome.status == "DELETE_COMPLETE", deleted.reason


def test_delete_keeps_the_extensions_under_retain(mistaken, deleted):
    for name in ("demo1", "demo2"):
        assert deleted.extensions[name] == mistaken.extensions[name]


def test_delete_drops_what_the_resource_created_under_drop(deleted):
    assert deleted.extensions["demo3"] == {}


def test_the_log_holds_no_secret(stack, deleted):
    log = stack.deployment.aws.log_text(stack.deployment.stacks.log_group)
    assert "AFTER: " in log
    assert stack.deployment.server.password not in log
    assert "/cfn-response/" not in log  # in ministack's ResponseURLs
