"""The real thing, on this machine: `make demo`.

Deploys template.yaml with the binary built from this checkout to a local AWS (ministack), then a
user's stack with three databases on a throwaway PostgreSQL: Create, Update, a mistake, Delete.

    demo/demo.py                watch it
    demo/demo.py --check        the same way, plain, naming each thing that is verified
    demo/demo.py --keep         leave it running before the Delete (`make demo KEEP=1`)
    demo/demo.py --binary FILE  with this function, instead of building one
    demo/demo.py apply FILE     beside a demo that was kept: create or update the user's stack

Everything lives in temporary folders and on free ports, and nothing is left behind, not after
Ctrl-C or a failure either. A result that is not the expected one ends it with exit code 1.
"""

import argparse
import contextlib
import difflib
import io
import json
import os
import platform
import re
import shlex
import signal
import subprocess
import sys
import time
import zipfile

from machine import ROOT, Trouble, build, find_server, in_order, install_server, postgres
from screen import Screen

if not in_order(os.path.join(ROOT, "demo", "requirements.txt")):
    sys.exit("demo: this Python lacks what demo/requirements.txt lists; `make demo` sees to it")

import iam  # noqa: E402
import pipeline  # noqa: E402
import responder  # noqa: E402
from local_aws import LocalAws  # noqa: E402
from stacks import Stacks  # noqa: E402

PRODUCT = "postgres-extensions"  # the stack of template.yaml; its export is <stack>-ServiceToken
USER = "demo"  # the user's stack
DATABASES = ("demo1", "demo2", "demo3")
BUCKET = "demo-artifacts"

# What the user changes in user-stack.yaml, and when: (old text, new text).
UPDATE = [
    ("        pgcrypto: '1.3'\n", "        pgcrypto: '1.3'\n        pg_trgm: latest\n"),
    ("        hstore: '1.4'\n", "        hstore: '1.7'\n"),
]
MISTAKE = [
    (
        "        earthdistance: latest\n",
        "        earthdistance: latest\n        pgvector: any\n        postgis: '9.9'\n",
    ),
]


class Demo:
    """One run: what is there, and what is expected of it."""

    def __init__(self, screen, check, server, aws):
        self.screen = screen
        self.check = check
        self.server = server
        self.aws = aws
        self.stacks = None
        self.postgis = None

    def psql(self, database, *arguments):
        """What psql prints."""
        done = subprocess.run(
            [os.path.join(self.server.bin, "psql"), "-X", "-d", database, *arguments],
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", **self.server.libpq()},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if done.returncode:
            raise Trouble(f"psql {' '.join(arguments)} failed: {done.stdout.strip()}")
        return done.stdout

    def extensions(self):
        """Of each database: name to version, as the database itself says."""
        query = "SELECT extname, extversion FROM pg_extension ORDER BY 1"
        return {
            name: dict(row.split("|") for row in self.psql(name, "-Atc", query).split())
            for name in DATABASES
        }

    def show_extensions(self):
        for name in DATABASES:
            self.screen.line(f"  {name}=# \\dx", "bold")
            self.screen.block(self.psql(name, "-P", "footer=off", "-c", "\\dx"))

    def show_extensions_in_short(self):
        for name, found in self.extensions().items():
            listed = ", ".join(f"{key} {version}" for key, version in found.items())
            self.screen.line(f"  {self.screen.paint(name, 'bold')}: {listed}")

    def show_outputs(self):
        self.screen.line("  Outputs of the stack", "bold")
        for name, value in self.stacks.outputs(USER).items():
            self.screen.line(f"    {name:<8}  {value}")

    def expect(self, what, found, wanted):
        """End the demo unless what was found is what was wanted."""
        if found != wanted:
            raise Trouble(f"{what}: expected {wanted!r}, found {found!r}")
        if self.check:
            self.screen.line(f"  ok  {what}")

    def expect_in(self, what, found, *parts):
        """End the demo unless all parts are in what was found."""
        for part in parts:
            if part not in found:
                raise Trouble(f"{what}: expected {part!r} in {found!r}")
        if self.check:
            self.screen.line(f"  ok  {what}")

    def expect_end(self, outcome, wanted):
        if outcome.status != wanted:
            raise Trouble(f"expected {wanted}, found {outcome.status}: {' '.join(outcome.reasons)}")
        if self.check:
            self.screen.line(f"  ok  {wanted}")

    def expect_extensions(self, **wanted):
        """The extensions of each database beside plpgsql: versions, or `...` for any."""
        for name, found in self.extensions().items():
            del found["plpgsql"]
            for key, version in wanted[name].items():
                if version is ... and key in found:
                    found[key] = ...
            self.expect(f"the extensions of {name}", found, wanted[name])


# --- preparing ------------------------------------------------------------------------------------


def create_databases(demo):
    version = demo.psql("postgres", "-Atc", "SHOW server_version").split()[0]
    query = "SELECT default_version FROM pg_available_extensions WHERE name = 'postgis'"
    demo.postgis = demo.psql("postgres", "-Atc", query).strip()
    for name in DATABASES:
        demo.psql("postgres", "-qc", f"CREATE DATABASE {name}")
    demo.screen.note(
        f"PostgreSQL {version} with PostGIS {demo.postgis} on port {demo.server.port}, TLS and "
        f"SCRAM: {', '.join(DATABASES)}"
    )


def create_secrets(demo):
    """What the owner of a database keeps in Secrets Manager; returns the ARNs."""
    secrets = demo.aws.client("secretsmanager")
    arns = []
    for name in DATABASES:
        text = {
            "engine": "postgres",
            "host": demo.server.host,
            "port": demo.server.port,
            "username": demo.server.user,
            "password": demo.server.password,
            "dbname": name,
        }
        created = secrets.create_secret(Name=f"demo/{name}", SecretString=json.dumps(text))
        arns.append(created["ARN"])
    demo.screen.note("secrets: " + ", ".join(f"demo/{name}" for name in DATABASES))
    return arns


def package(demo, binary):
    """What `sam package` does: the zipped bootstrap goes to S3, its place into the template."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as out:
        entry = zipfile.ZipInfo("bootstrap")
        entry.external_attr = 0o100755 << 16
        entry.compress_type = zipfile.ZIP_DEFLATED
        with open(binary, "rb") as source:
            out.writestr(entry, source.read())
    size = archive.tell() / 1e6
    s3 = demo.aws.client("s3")
    here = {"LocationConstraint": s3.meta.region_name}
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration=here)
    s3.put_object(Bucket=BUCKET, Key="bootstrap.zip", Body=archive.getvalue())
    place = f"s3://{BUCKET}/bootstrap.zip"
    demo.screen.note(f"code: {place}, {size:.1f} MB (a debug build; the released one has under 4)")
    with open(os.path.join(ROOT, "template.yaml")) as source:
        template, count = re.subn(r"(?m)^( +CodeUri:).*$", rf"\1 {place}", source.read())
    if not count:
        raise Trouble("template.yaml has no line `CodeUri: ...` to replace")
    return template


# --- what there is to watch -----------------------------------------------------------------------


def deploy_product(demo, template, secrets):
    """Returns the function's ARN."""
    demo.screen.title(f"Deploying the function: template.yaml, as stack `{PRODUCT}`")
    parameters = {
        "SecretArns": ",".join(secrets),
        "IamDbUserArns": iam.DB_USER_ARN,
        "Architecture": {"aarch64": "arm64"}.get(platform.machine(), "x86_64"),
    }
    outcome = demo.stacks.deploy(PRODUCT, template, parameters)
    demo.expect_end(outcome, "CREATE_COMPLETE")
    arn = demo.stacks.exports()[f"{PRODUCT}-ServiceToken"]
    demo.screen.note(f"export {PRODUCT}-ServiceToken: {arn}")
    function = demo.aws.client("lambda").get_function_configuration(FunctionName=arn)
    demo.stacks.function_log = (
        function.get("LoggingConfig", {}).get("LogGroup")
        or f"/aws/lambda/{function['FunctionName']}"
    )
    return arn


def edited(text, edits):
    for old, new in edits:
        if text.count(old) != 1:
            raise Trouble(f"user-stack.yaml does not hold {old!r} exactly once")
        text = text.replace(old, new)
    return text


def show_difference(demo, before, after):
    rows = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=1)
    for row in list(rows)[2:]:
        if not row.startswith("@@"):
            style = {"+": "green", "-": "red"}.get(row[0], "dim")
            demo.screen.line("    " + row, style)


def create(demo, template, parameters):
    demo.screen.title("Create: a user's stack with three databases, demo/user-stack.yaml")
    demo.screen.block(re.search(r"(?m)^  Demo1:\n(?: {4}.*\n)+", template).group(), "dim")
    outcome = demo.stacks.deploy(USER, template, parameters)
    demo.expect_end(outcome, "CREATE_COMPLETE")
    demo.show_extensions()
    demo.show_outputs()
    for line in (
        'BEFORE: ["plpgsql"]',
        f"Installing plugin postgis version {demo.postgis} ...",
        "Installing plugin pgcrypto version 1.3 ...",
        'AFTER: ["pgcrypto", "plpgsql", "postgis"]',
        "Installing plugin hstore version 1.4 ...",
    ):
        demo.expect_in(f"the log says: {line}", outcome.messages(), line)
    demo.expect_extensions(
        demo1={"postgis": demo.postgis, "pgcrypto": "1.3"},
        demo2={"hstore": "1.4"},
        demo3={"cube": ..., "earthdistance": ...},
    )
    outputs = demo.stacks.outputs(USER)
    demo.expect("!GetAtt Demo1.postgis", outputs["PostGIS"], demo.postgis)
    demo.expect("!GetAtt Demo2.Changes", outputs["Demo2"], "created hstore 1.4")
    demo.expect_in("cube came as a requirement", outputs["Demo3"], "(required by earthdistance)")


def update(demo, before, after, parameters):
    demo.screen.title("Update: demo1 gets another extension, demo2 a newer hstore")
    show_difference(demo, before, after)
    row = "CREATE TABLE shop (item hstore); INSERT INTO shop VALUES ('colour => red')"
    demo.psql("demo2", "-qc", row)
    ids = demo.stacks.physical_ids(USER)
    outcome = demo.stacks.deploy(USER, after, parameters)
    demo.expect_end(outcome, "UPDATE_COMPLETE")
    demo.show_extensions()
    demo.show_outputs()
    demo.expect("the physical ids", demo.stacks.physical_ids(USER), ids)
    demo.expect_extensions(
        demo1={"postgis": demo.postgis, "pgcrypto": "1.3", "pg_trgm": ...},
        demo2={"hstore": "1.7"},
        demo3={"cube": ..., "earthdistance": ...},
    )
    outputs = demo.stacks.outputs(USER)
    demo.expect_in("!GetAtt Demo1.Changes", outputs["Demo1"], "created pg_trgm ")
    demo.expect("!GetAtt Demo2.Changes", outputs["Demo2"], "updated hstore 1.4 to 1.7")
    row = demo.psql("demo2", "-Atc", "SELECT item -> 'colour' FROM shop").strip()
    demo.expect("the data in demo2", row, "red")


def mistake(demo, before, after, parameters):
    demo.screen.title("A mistake: demo3 wants what the server does not have")
    show_difference(demo, before, after)
    untouched = demo.extensions()
    outcome = demo.stacks.deploy(USER, after, parameters)
    demo.show_extensions_in_short()
    demo.expect_end(outcome, "UPDATE_ROLLBACK_COMPLETE")
    reason = " ".join(outcome.reasons)
    demo.expect_in("the reason names both mistakes", reason, "pgvector", "9.9")
    demo.expect_in("the reason says what the server has", reason, demo.postgis)
    demo.expect("the extensions of all databases", demo.extensions(), untouched)


def secrecy(demo):
    """Nothing that is secret is in the function's log."""
    client = demo.aws.client("logs")
    events = client.filter_log_events(logGroupName=demo.stacks.function_log)["events"]
    text = "\n".join(event["message"] for event in events)
    for what, secret in (("password", demo.server.password), ("ResponseURL", "/cfn-response/")):
        demo.expect(f"no {what} in the function's log", secret not in text, True)


def delete(demo):
    demo.screen.title("Delete: the stack goes; the extensions stay (RemovalPolicy: Retain)")
    before = demo.extensions()
    outcome = demo.stacks.delete(USER)
    demo.show_extensions_in_short()
    demo.expect_end(outcome, "DELETE_COMPLETE")
    demo.expect("the extensions of all databases", demo.extensions(), before)
    demo.screen.title(f"Delete: stack `{PRODUCT}`")
    demo.expect_end(demo.stacks.delete(PRODUCT), "DELETE_COMPLETE")


def expect_nothing_left(demo):
    for folder in (demo.aws.folder, demo.server.folder):
        demo.expect(f"{os.path.basename(folder)} is gone", os.path.exists(folder), False)
    for what, process in (("AWS", demo.aws.process), ("PostgreSQL", demo.server.process)):
        alive = True
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            alive = False
        demo.expect(f"the processes of {what} are gone", alive, False)


# --- the whole of it ------------------------------------------------------------------------------


def run(screen, arguments):
    """The whole demo, from nothing to nothing."""
    started = time.monotonic()
    screen.line("The real template and binary, a local AWS, a real PostgreSQL", "bold")
    screen.title("Preparing")
    binaries = find_server() or install_server(screen)
    binary = arguments.binary or build(screen)
    with contextlib.ExitStack() as cleanup:
        # While it cleans up, another Ctrl-C does not disturb it.
        cleanup.callback(signal.signal, signal.SIGINT, signal.getsignal(signal.SIGINT))
        aws = LocalAws()
        cleanup.callback(aws.stop)
        with screen.slow("starting PostgreSQL"):
            server = cleanup.enter_context(postgres.cluster(bin=binaries))
        cleanup.callback(signal.signal, signal.SIGINT, signal.SIG_IGN)
        with screen.slow("starting the local AWS (ministack)"):
            aws.start()
        demo = Demo(screen, arguments.check, server, aws)
        demo.stacks = Stacks(screen, aws)
        create_databases(demo)
        secrets = create_secrets(demo)
        function = deploy_product(demo, package(demo, binary), secrets)

        with open(os.path.join(ROOT, "demo", "user-stack.yaml")) as source:
            created = source.read()
        with open(server.ca) as source:
            parameters = {"PostGISVersion": demo.postgis, "RootCert": source.read()}
        updated = edited(created, UPDATE)
        create(demo, created, parameters)
        update(demo, created, updated, parameters)
        mistake(demo, updated, edited(updated, MISTAKE), parameters)
        secrecy(demo)
        if arguments.check:
            iam.check(demo, function)
            pipeline.check(demo, function, parameters["RootCert"])
            responder.check(demo, function, parameters["RootCert"])
            demo.stacks.skip_the_past(USER)
        if arguments.keep:
            leave_running(demo, function, updated, parameters)
            return
        delete(demo)
        screen.line()
    expect_nothing_left(demo)
    seconds = time.monotonic() - started
    screen.line(f"It works, and nothing of it is left here ({seconds:.0f} s).", "bold", "green")


def leave_running(demo, function, template, parameters):
    """Say how to play with it, and how to stop it."""
    folder = demo.aws.folder
    variables = {
        **demo.aws.environment(),
        **demo.server.libpq(),
        "DEMO_FOLDER": folder,
        "DEMO_BIN": demo.server.bin,
        "DEMO_FUNCTION": function,
        "DEMO_LOG": demo.stacks.function_log,
        "DEMO_PARAMETERS": json.dumps(parameters),
    }
    with open(os.path.join(folder, "env"), "w") as out:
        out.write("unset AWS_PROFILE AWS_DEFAULT_PROFILE\n")
        out.writelines(f"export {key}={shlex.quote(value)}\n" for key, value in variables.items())
    with open(os.path.join(folder, "stack.yaml"), "w") as out:
        out.write(template)
    with open(os.path.join(folder, "stop"), "w") as out:
        out.write(f"cd /\n{demo.server.keep()}\n{demo.aws.keep()}\n")
    script = os.path.relpath(os.path.abspath(__file__), os.getcwd())
    python = sys.executable
    if python.startswith(os.getcwd() + os.sep):
        python = os.path.relpath(python, os.getcwd())
    demo.screen.title("It is left running")
    for what, command in (
        ("tell this shell where", f". {folder}/env"),
        ("look into a database", "psql demo1 -c '\\dx'"),
        ("edit the user's stack", f"${{EDITOR:-vi}} {folder}/stack.yaml"),
        ("deploy it", f"{python} {script} apply {folder}/stack.yaml"),
        ("stop it and remove it all", f"sh {folder}/stop"),
    ):
        demo.screen.line(f"  {what:<26}  {demo.screen.paint(command, 'bold')}")
    demo.screen.note("With those variables aws, sam and every SDK speak to the local AWS.")


class KeptServer:
    """The server of a demo that was left running, as its `env` tells."""

    bin = os.environ.get("DEMO_BIN")

    def libpq(self):
        return {key: value for key, value in os.environ.items() if key.startswith("PG")}


def apply(screen, path):
    """Create or update the user's stack of a demo that was left running."""
    if "DEMO_FOLDER" not in os.environ:
        raise Trouble("this shell does not know where the demo is: `. FOLDER/env`, as it said")
    aws = LocalAws(os.environ["DEMO_FOLDER"], os.environ["AWS_ENDPOINT_URL"])
    demo = Demo(screen, False, KeptServer(), aws)
    demo.stacks = Stacks(screen, aws, os.environ["DEMO_LOG"])
    demo.stacks.skip_the_past(PRODUCT)
    with open(path) as source:
        template = source.read()
    known = json.loads(os.environ["DEMO_PARAMETERS"])
    wanted = {key: known[key] for key in known if re.search(rf"(?m)^  {key}:", template)}
    outcome = demo.stacks.deploy(USER, template, wanted)
    demo.show_extensions_in_short()
    if "ROLLBACK" in outcome.status:
        raise Trouble(f"the stack is in {outcome.status}")


def main():
    parser = argparse.ArgumentParser(description="The real thing, on this machine.")
    parser.add_argument("--check", action="store_true", help="plain, naming what is verified")
    parser.add_argument("--keep", action="store_true", help="leave it running before the Delete")
    parser.add_argument("--binary", metavar="FILE", help="take this function, build none")
    parser.add_argument("action", nargs="?", choices=["apply"])
    parser.add_argument("file", nargs="?", help="the template to apply")
    arguments = parser.parse_args()
    if bool(arguments.action) != bool(arguments.file):
        parser.error("`apply` wants a template's file")
    screen = Screen(colour=not arguments.check)
    for sign in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(sign, lambda number, _: sys.exit(128 + number))
    try:
        if arguments.action:
            apply(screen, arguments.file)
        else:
            run(screen, arguments)
    except (Trouble, postgres.Failure) as trouble:
        screen.line()
        screen.line(f"demo: {trouble}", "red")
        sys.exit(1)
    except KeyboardInterrupt:
        screen.line()
        screen.line("demo: stopped, and nothing of it is left here", "yellow")
        sys.exit(130)


if __name__ == "__main__":
    main()
