"""A local AWS, a PostgreSQL server, the built function, and the stack of the fleet beside it."""

import faults
import postgres
import prerequisites
import pytest
from deployment import Deployment
from fleet import SECRETS, SETTINGS, Fleet


@pytest.fixture(scope="session")
def local():
    """A local AWS, and the services that the state machines call, which can be made to fail."""
    with faults.local_aws_between(**SETTINGS) as (aws, services):
        yield aws, services


@pytest.fixture(scope="session")
def aws(local):
    return local[0]


@pytest.fixture(scope="session")
def services(local):
    return local[1]


@pytest.fixture(scope="session")
def server():
    with postgres.cluster(bin=prerequisites.server()) as server:
        yield server


@pytest.fixture(scope="session")
def deployment(aws, server):
    deployment = Deployment(aws, server)
    outcome = deployment.deploy([], SecretArns=SECRETS)
    assert outcome.status == "CREATE_COMPLETE", outcome.reasons
    return deployment


@pytest.fixture(scope="session")
def stack(deployment):
    """The stack of the fleet: no database is in it yet."""
    fleet = Fleet(deployment)
    outcome = fleet.deploy(Api="true")
    assert outcome.status == "CREATE_COMPLETE", outcome.reasons
    return fleet
