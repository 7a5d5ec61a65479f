"""What the demo and the tests share: template.yaml in a local AWS, beside a PostgreSQL server."""

import functools
import io
import json
import os
import platform
import re
import subprocess
import zipfile

from local_aws import ACCOUNT, REGION, Failure
from stacks import Stacks

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BINARY = os.path.join(
    ROOT, os.environ.get("CARGO_TARGET_DIR", "target"), "debug", "cfn-postgres-extensions"
)
STACK = "postgres-extensions"  # of template.yaml; the user's stack imports <stack>-ServiceToken
USER_DATABASES = ("demo1", "demo2", "demo3")  # of the user's stack
IAM_ROLE = "deployer+1@example.com"  # a database role with characters that a query encodes
IAM_USER_ARN = f"arn:aws:rds-db:{REGION}:{ACCOUNT}:dbuser:db-EXAMPLE/{IAM_ROLE}"


class Deployment:
    """A local AWS and a PostgreSQL server; `deploy()` brings the function there."""

    def __init__(self, aws, server, function=None, **observers):
        self.aws = aws
        self.server = server
        self.function = function  # its ARN
        self.stacks = Stacks(aws, **observers)

    def psql(self, database, *arguments):
        """What psql prints."""
        done = subprocess.run(
            [os.path.join(self.server.bin, "psql"), "-XAt", "-d", database, *arguments],
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", **self.server.libpq()},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if done.returncode:
            raise Failure(f"psql {' '.join(arguments)} failed: {done.stdout.strip()}")
        return done.stdout.strip()

    def extensions(self, *databases):
        """Of each database: name to version, plpgsql aside."""
        query = "SELECT extname, extversion FROM pg_extension WHERE extname <> 'plpgsql' ORDER BY 1"
        return {
            name: dict(row.split("|") for row in self.psql(name, "-c", query).split())
            for name in databases or USER_DATABASES
        }

    def create_databases(self, *names):
        """Databases, and for each the secret that its owner keeps: `demo/<name>`."""
        secrets = self.aws.client("secretsmanager")
        for name in names:
            self.psql("postgres", "-qc", f"CREATE DATABASE {name}")
            text = {
                "engine": "postgres",
                "host": self.server.host,
                "port": self.server.port,
                "username": self.server.user,
                "password": self.server.password,
                "dbname": name,
            }
            secrets.create_secret(Name=f"demo/{name}", SecretString=json.dumps(text))

    def secret_arn(self, database):
        return self.aws.client("secretsmanager").describe_secret(SecretId=f"demo/{database}")["ARN"]

    def root_cert(self):
        with open(self.server.ca) as source:
            return source.read()

    def deploy(self, databases, name=STACK, **parameters):
        """Deploy template.yaml with the built function, which may read the databases' secrets, and
        with more parameters of the template."""
        parameters = {
            "SecretArns": ",".join(self.secret_arn(database) for database in databases),
            "IamDbUserArns": IAM_USER_ARN,
            "Architecture": {"aarch64": "arm64"}.get(platform.machine(), "x86_64"),
            **parameters,
        }
        outcome = self.stacks.deploy(name, self.packaged_template, parameters)
        if outcome.status == "CREATE_COMPLETE" and name == STACK:
            self.function = self.stacks.outputs(name)["ServiceToken"]
            self.stacks.log_group = self.configuration()["LoggingConfig"]["LogGroup"]
        return outcome

    def configuration(self, function=None):
        aws_lambda = self.aws.client("lambda")
        return aws_lambda.get_function_configuration(FunctionName=function or self.function)

    @functools.cached_property
    def packaged_template(self):
        """What `sam package` does: the zipped bootstrap goes to S3, its URI into the template."""
        if not os.path.exists(BINARY):
            raise Failure(f"{BINARY} is missing: `make demo` and `make test-deployment` build it")
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as out, open(BINARY, "rb") as source:
            entry = zipfile.ZipInfo("bootstrap")
            entry.external_attr = 0o100755 << 16
            out.writestr(entry, source.read(), zipfile.ZIP_DEFLATED, compresslevel=1)
        s3 = self.aws.client("s3")
        s3.create_bucket(Bucket="code", CreateBucketConfiguration={"LocationConstraint": REGION})
        s3.put_object(Bucket="code", Key="bootstrap.zip", Body=archive.getvalue())
        with open(os.path.join(ROOT, "template.yaml")) as source:
            template = source.read()
        packaged, count = re.subn(r"(?m)^( +CodeUri:).*$", r"\1 s3://code/bootstrap.zip", template)
        if not count:
            raise Failure("template.yaml has no line `CodeUri: ...` to replace")
        return packaged


class UserStack:
    """The user's stack, demo/user-stack.yaml, in each of its states."""

    NAME = "demo"

    def __init__(self, deployment):
        self.deployment = deployment
        query = "SELECT default_version FROM pg_available_extensions WHERE name = 'postgis'"
        self.postgis = deployment.psql("postgres", "-c", query)
        self.parameters = {"PostGISVersion": self.postgis, "RootCert": deployment.root_cert()}
        with open(os.path.join(ROOT, "demo", "user-stack.yaml")) as source:
            self.created = source.read()
        pgcrypto, hstore = "        pgcrypto: '1.3'\n", "        hstore: '1.4'\n"
        self.updated = self.created.replace(pgcrypto, pgcrypto + "        pg_trgm: latest\n")
        self.updated = self.updated.replace(hstore, "        hstore: '1.7'\n")
        latest = "        earthdistance: latest\n"
        unknown = "        pgvector: any\n        postgis: '9.9'\n"
        self.mistaken = self.updated.replace(latest, latest + unknown)

    def deploy(self, template):
        return self.deployment.stacks.deploy(self.NAME, template, self.parameters)

    def delete(self):
        return self.deployment.stacks.delete(self.NAME)
