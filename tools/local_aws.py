"""A local AWS: ministack, in a process of its own, with everything that it writes in one folder."""

import contextlib
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

import boto3
from botocore.config import Config

REGION = "eu-central-1"
ACCOUNT = "000000000000"
LIMIT = 120  # seconds that anything here may take, on a slow machine

# Ends the local AWS and its functions ($1, a process group) and removes its folder ($2) when the
# parent has ended, for whatever reason: that closes the pipe on the standard input.
CLEANUP = """
test "$(cat)" = keep && exit
kill -s TERM -- "-$1"
for _ in $(seq 60); do kill -s 0 -- "-$1" || break; sleep 0.05; done
kill -s KILL -- "-$1"
rm -rf "$2"
"""


class Failure(Exception):
    """What failed, why, and what to do about it."""


class LocalAws:
    """A running local AWS; `client(service)` speaks to it."""

    def __init__(self, endpoint, folder=None, program=("-m", "ministack"), settings=None):
        self.endpoint = endpoint
        self.folder = folder
        self.program = program  # arguments of Python
        self.settings = settings or {}  # more environment variables
        self.process = None
        self._cleanup = None
        # The user's own AWS configuration does not count here.
        for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE"):
            os.environ.pop(name, None)
        os.environ["AWS_CONFIG_FILE"] = os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull

    def environment(self):
        """The variables by which AWS's tools and SDKs find it."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
        }

    def start(self):
        """Start it in its folder; returns when it responds."""
        scratch = os.path.join(self.folder, "tmp")
        os.mkdir(scratch)
        # The functions inherit this environment: it holds nothing of the user's.
        inherited = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH")
        with open(os.path.join(self.folder, "ministack.log"), "w") as log:
            self.process = subprocess.Popen(
                [sys.executable, *self.program],
                cwd=self.folder,
                env={
                    **{name: os.environ[name] for name in inherited if name in os.environ},
                    **self.environment(),
                    "HOME": self.folder,
                    "TMPDIR": scratch,
                    "GATEWAY_PORT": self.endpoint.rsplit(":", 1)[1],
                    "BIND_HOST": "127.0.0.1",
                    "MINISTACK_HOST": "127.0.0.1",  # of the ResponseURL
                    "MINISTACK_REGION": REGION,
                    "MINISTACK_ACCOUNT_ID": ACCOUNT,
                    # Enforce policies: the function can do what its role allows, no more.
                    "AUTH": "true",
                    **self.settings,
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._cleanup = subprocess.Popen(
            ["sh", "-c", CLEANUP, "sh", str(self.process.pid), self.folder],
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
        )
        self.wait_for("the local AWS responds", self._is_up)

    def _is_up(self):
        if self.process.poll() is not None:
            raise Failure(f"the local AWS (ministack) did not start:\n{self.log_tail()}")
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with contextlib.suppress(OSError):
            direct.open(f"{self.endpoint}/_ministack/health", timeout=5).close()
            return True

    def wait_for(self, what, condition):
        """Poll until the condition holds; returns what it returned."""
        deadline = time.monotonic() + LIMIT
        while time.monotonic() < deadline:
            if found := condition():
                return found
            time.sleep(0.1)
        raise Failure(f"not within {LIMIT} s: {what}; the local AWS logged:\n{self.log_tail()}")

    def log_tail(self, lines=30):
        """The end of the emulator's own log."""
        with open(os.path.join(self.folder, "ministack.log"), errors="replace") as log:
            return "".join(log.readlines()[-lines:])

    def client(self, service):
        """A boto3 client."""
        return boto3.session.Session(
            aws_access_key_id="test", aws_secret_access_key="test", region_name=REGION
        ).client(
            service,
            endpoint_url=self.endpoint,
            config=Config(
                s3={"addressing_style": "path"},
                proxies={},
                inject_host_prefix=False,  # of sync-states.<region>.amazonaws.com
                read_timeout=LIMIT,
                retries={"total_max_attempts": 1},  # a second attempt would be a second invocation
            ),
        )

    def log_events(self, group):
        """What is in a log group."""
        logs = self.client("logs")
        with contextlib.suppress(logs.exceptions.ResourceNotFoundException):
            pages = logs.get_paginator("filter_log_events").paginate(logGroupName=group)
            return [event for page in pages for event in page["events"]]
        return []

    def log_text(self, *groups):
        """The messages in some log groups."""
        return "\n".join(one["message"] for group in groups for one in self.log_events(group))

    def simulate(self, role, action, resource):
        """Whether IAM would allow a role an action: `allowed`, `implicitDeny`, ..."""
        # The local AWS looks a role up by what follows `role/`, a path included, and finds none.
        arn = f"{role.split('/', 1)[0]}/{role.rsplit('/', 1)[1]}"
        return self.client("iam").simulate_principal_policy(
            PolicySourceArn=arn, ActionNames=[action], ResourceArns=[resource]
        )["EvaluationResults"][0]["EvalDecision"]

    def function_process(self, name):
        """The process of a function, and the environment that it was started with."""
        found = []
        for entry in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                if os.getpgid(int(entry)) == self.process.pid:
                    with open(f"/proc/{entry}/environ") as source:
                        pairs = [pair for pair in source.read().split("\0") if "=" in pair]
                    environment = dict(pair.split("=", 1) for pair in pairs)
                    if environment.get("AWS_LAMBDA_FUNCTION_NAME") == name:
                        found.append((int(entry), environment))
        if len(found) != 1:
            raise Failure(f"the function `{name}` should be one process, and is {len(found)}")
        return found[0]

    def keep(self):
        """Leave it running; returns the command that ends and removes it."""
        self._cleanup.communicate(b"keep")
        return f"kill -- -{self.process.pid}; sleep 1; rm -rf {self.folder}"

    def stop(self):
        """End it, its functions too, and remove its folder."""
        if self._cleanup is None:
            shutil.rmtree(self.folder)
        elif not self._cleanup.stdin.closed:
            self._cleanup.stdin.close()
            while self._cleanup.poll() is None:
                self.process.poll()  # reaps it, so that the process group is seen to be gone
                time.sleep(0.02)


@contextlib.contextmanager
def started(port=None, **options):
    """A local AWS that is stopped and removed afterwards, unless it was told to `keep()`. `options`
    are those of `LocalAws`."""
    folder = tempfile.mkdtemp(prefix="local-aws-")
    aws = LocalAws(f"http://127.0.0.1:{port or free_port()}", folder, **options)
    try:
        aws.start()
        yield aws
    finally:
        aws.stop()


def free_port():
    """A port that is free, below those that Linux hands out to connections."""
    while True:
        port = random.randrange(20000, 32768)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def remains(*started):
    """What is left of a local AWS or a PostgreSQL server after its end: folders, processes."""
    found = [one.folder for one in started if os.path.exists(one.folder)]
    for one in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(one.process.pid, 0)
            found.append(f"process group {one.process.pid}")
    return found
