"""The library in a user's app: bootstrap, deploy, diff, a mistake, an update and destroy, by the
CDK's own CLI, on a local AWS and a real PostgreSQL."""

import json
import os
import platform
import re
import shutil

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
DATABASES = ("kept", "dropped")


class App:
    """The app of project/, and what is in its two databases."""

    def __init__(self, deployment, project):
        self.deployment = deployment
        self.project = project
        self.settings = {
            "arm64": platform.machine() == "aarch64",
            "host": deployment.server.host,
            "port": deployment.server.port,
            "secretArn": deployment.secret_arn("kept"),
            "sslRootCert": deployment.root_cert(),
            "hstore": "1.4",
        }

    def write(self, **settings):
        """The app's settings, and those that this changes."""
        text = json.dumps({**self.settings, **settings})
        (self.project.folder / "settings.json").write_text(text)

    def cdk(self, *arguments, **settings):
        self.write(**settings)
        return Step(self, self.project.cdk(*arguments))

    def deploy(self, **settings):
        return self.cdk("deploy", "--require-approval", "never", **settings)


class Step:
    """What holds after a command."""

    def __init__(self, app, done):
        self.code = done.returncode
        self.text = done.stdout
        self.words = " ".join(done.stdout.split())  # the CLI breaks long lines
        self.extensions = app.deployment.extensions(*DATABASES)
        cloudformation = app.deployment.aws.client("cloudformation")
        stacks = cloudformation.describe_stacks()["Stacks"]
        self.statuses = {stack["StackName"]: stack["StackStatus"] for stack in stacks}


@pytest.fixture(scope="module")
def app(deployment, project):
    deployment.create_databases(*DATABASES)
    app = App(deployment, project)
    app.write()
    return app


@pytest.fixture(scope="module")
def postgis(deployment):
    query = "SELECT default_version FROM pg_available_extensions WHERE name = 'postgis'"
    return deployment.psql("postgres", "-c", query)


@pytest.fixture(scope="module")
def deployed(app):
    bootstrapped = app.cdk("bootstrap")
    assert bootstrapped.code == 0, bootstrapped.text
    return app.deploy()


@pytest.fixture(scope="module")
def compared(app, deployed):
    return app.cdk("diff", more={"pg_trgm": "1.6"})


@pytest.fixture(scope="module")
def mistaken(app, compared):
    return app.deploy(more={"pg_trgm": "1.6", "pgcrypt": "any"}, hstore="1.7")


@pytest.fixture(scope="module")
def updated(app, mistaken):
    return app.deploy(more={"pg_trgm": "1.6"}, hstore="1.8")


@pytest.fixture(scope="module")
def destroyed(app, updated):
    return app.cdk("destroy", "--force")


def test_the_app_connects_to_nobody(app, tmp_path):
    """The function is in the package: an app can be synthesized where there is no network."""
    connections = tmp_path / "connections"
    options = {
        "CONNECTIONS": str(connections),
        "NODE_OPTIONS": f"--require {os.path.join(HERE, 'connections.cjs')}",
    }
    app.project.synthesize(tmp_path / "out", **options)
    assert not connections.exists(), connections.read_text()
    # One that connects is recorded.
    app.project.succeeds("node", "-e", "fetch(process.env.AWS_ENDPOINT_URL)", **options)
    assert '"127.0.0.1"' in connections.read_text()


def test_the_functions_code_is_the_packages(app, tmp_path):
    app.project.synthesize(tmp_path)
    processor = "arm64" if app.settings["arm64"] else "x86_64"
    package = app.project.folder / "node_modules" / "cfn-postgres-extensions"
    code = (package / "functions" / f"cfn-postgres-extensions-{processor}.zip").read_bytes()
    assert [asset.read_bytes() == code for asset in tmp_path.glob("asset.*.zip")] == [True]


def test_the_oldest_cdk_makes_the_same_resources_of_the_app(app, oldest, tmp_path):
    for file in ("app.js", "settings.json"):
        shutil.copy(app.project.folder / file, oldest.folder)
    assert oldest.synthesize(tmp_path / "oldest") == app.project.synthesize(tmp_path / "newest")


def test_the_oldest_cdk_is_the_one_that_the_package_names(oldest):
    def manifest(package):
        return json.loads((oldest.folder / "node_modules" / package / "package.json").read_text())

    peers = manifest("cfn-postgres-extensions")["peerDependencies"]
    assert peers == {name: f"^{manifest(name)['version']}" for name in peers}


def test_the_app_prints_no_warning(deployed):
    assert "warning" not in deployed.text.lower(), deployed.text


def test_deploy_creates_the_extensions(deployed, postgis):
    assert deployed.code == 0, deployed.text
    assert deployed.extensions == {
        "kept": {"pgcrypto": "1.3", "postgis": postgis},
        "dropped": {"hstore": "1.4"},
    }


def test_attributes_are_outputs(deployed, postgis):
    outputs = dict(re.findall(r"^App\.(\w+) = (.*)$", deployed.text, re.M))
    assert outputs == {
        "PostGIS": postgis,
        "KeptChanges": f"created pgcrypto 1.3; created postgis {postgis}",
        "DroppedChanges": "created hstore 1.4",
    }


def test_diff_shows_the_entry_that_is_new_and_nothing_else(compared):
    assert compared.code == 0, compared.text
    changes = re.findall(r"\[[-+~]\] .*", compared.text)
    assert [change.split()[:3] for change in changes] == [
        ["[~]", "Custom::PostgresExtensions", "Kept/Resource"],
        ["[~]", "PluginsMap", "(may"],  # cause replacement: of a custom resource nothing is known
        ["[+]", "Added:", ".pg_trgm"],
    ]


def test_diff_changes_nothing(compared, deployed):
    assert compared.extensions == deployed.extensions


def test_a_mistake_fails_with_the_functions_message(mistaken):
    assert mistaken.code == 1, mistaken.text
    assert "nothing was changed in database `kept`: `pgcrypt`: this server" in mistaken.words
    assert "offers no such extension; did you mean `pgcrypto`?" in mistaken.words


def test_a_mistake_is_rolled_back(mistaken, deployed):
    assert mistaken.statuses["App"] == "UPDATE_ROLLBACK_COMPLETE", mistaken.text
    assert mistaken.extensions["kept"] == deployed.extensions["kept"]


def test_a_rollback_keeps_a_version_that_no_path_leads_back_from(mistaken):
    """Under DowngradePolicy.KEEP; else the stack is left as UPDATE_ROLLBACK_FAILED."""
    assert mistaken.extensions["dropped"] == {"hstore": "1.7"}


def test_an_update_changes_what_differs(updated, deployed):
    assert updated.code == 0, updated.text
    assert updated.extensions == {
        "kept": {**deployed.extensions["kept"], "pg_trgm": "1.6"},
        "dropped": {"hstore": "1.8"},
    }


def test_destroy_keeps_extensions_but_for_those_under_drop(destroyed, updated):
    assert destroyed.code == 0, destroyed.text
    assert destroyed.extensions == {"kept": updated.extensions["kept"], "dropped": {}}
    assert "App" not in destroyed.statuses
