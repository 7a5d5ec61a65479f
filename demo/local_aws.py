"""A local AWS: ministack, in a process of its own, with everything it writes in one folder."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

import boto3
from botocore.config import Config
from machine import Trouble

REGION = "eu-central-1"
ACCOUNT = "000000000000"

# Ends the local AWS, its functions too, and removes the folder, when its parent is gone, however
# that ended: the pipe on its input then closes.
JANITOR = """\
import os, shutil, signal, sys, time
folder, group = sys.argv[1], int(sys.argv[2])
if sys.stdin.buffer.read() == b"keep":
    sys.exit()
for sign in (signal.SIGTERM, signal.SIGKILL):
    try:
        os.killpg(group, sign)
        for _ in range(60):
            time.sleep(0.05)
            os.killpg(group, 0)
    except OSError:
        break
shutil.rmtree(folder, ignore_errors=True)
"""


class LocalAws:
    """A running emulator; `client(service)` speaks to it."""

    def __init__(self, folder=None, endpoint=None):
        self.folder = folder
        self.endpoint = endpoint
        self.process = None
        self._janitor = None
        # The user's own AWS configuration has no say here.
        for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE"):
            os.environ.pop(name, None)
        os.environ["AWS_CONFIG_FILE"] = os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull

    def environment(self):
        """What the AWS tools and SDKs need to know to get here."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
        }

    def start(self):
        """Start it on a free port; returns when it answers."""
        self.folder = tempfile.mkdtemp(prefix="cfn-demo-")
        scratch = os.path.join(self.folder, "tmp")
        os.mkdir(scratch)
        for _ in range(5):
            port = free_port()
            self.endpoint = f"http://127.0.0.1:{port}"
            # The functions inherit this environment, so it holds nothing of the user's own.
            passed_on = {
                name: os.environ[name]
                for name in ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH")
                if name in os.environ
            }
            with open(self._log(), "w") as log:
                self.process = subprocess.Popen(
                    [sys.executable, "-m", "ministack"],
                    cwd=self.folder,
                    env={
                        **passed_on,
                        **self.environment(),
                        "HOME": self.folder,
                        "TMPDIR": scratch,
                        "GATEWAY_PORT": str(port),
                        "BIND_HOST": "127.0.0.1",
                        # The host of the ResponseURL.
                        "MINISTACK_HOST": "127.0.0.1",
                        "MINISTACK_REGION": REGION,
                        "MINISTACK_ACCOUNT_ID": ACCOUNT,
                        # Policies are enforced: the function can do what its role says, no more.
                        "AUTH": "true",
                    },
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            self._janitor = subprocess.Popen(
                [sys.executable, "-c", JANITOR, self.folder, str(self.process.pid)],
                stdin=subprocess.PIPE,
                cwd="/",
                start_new_session=True,
            )
            if self._answers():
                return
            text = self.tail()
            if self.process.poll() is None or "in use" not in text:
                raise Trouble(f"the local AWS (ministack) did not start:\n{text}")
            self._janitor.communicate(b"keep")
        raise Trouble("no free port was found for the local AWS (ministack)")

    def _log(self):
        return os.path.join(self.folder, "ministack.log")

    def _answers(self):
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        for _ in range(300):
            if self.process.poll() is not None:
                return False
            try:
                direct.open(f"{self.endpoint}/_ministack/health", timeout=2).close()
                return True
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        return False

    def tail(self, lines=30):
        """The end of what the emulator logged."""
        with open(self._log(), errors="replace") as log:
            return "".join(log.readlines()[-lines:])

    def client(self, service):
        """A boto3 client for the emulator."""
        return boto3.session.Session(
            aws_access_key_id="test", aws_secret_access_key="test", region_name=REGION
        ).client(
            service,
            endpoint_url=self.endpoint,
            config=Config(s3={"addressing_style": "path"}, proxies={}, retries={"max_attempts": 2}),
        )

    def function_process(self, name):
        """The process that a function runs in."""
        mark = f"AWS_LAMBDA_FUNCTION_NAME={name}".encode()
        found = []
        for entry in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                if os.getpgid(int(entry)) == self.process.pid:
                    with open(f"/proc/{entry}/environ", "rb") as source:
                        if mark in source.read().split(b"\0"):
                            found.append(int(entry))
        if len(found) != 1:
            raise Trouble(f"the function {name} should be one process, and is {len(found)}")
        return found[0]

    def function_environment(self, name):
        """The environment variables that a running function was started with."""
        with open(f"/proc/{self.function_process(name)}/environ", "rb") as source:
            pairs = source.read().decode().split("\0")
        return dict(pair.split("=", 1) for pair in pairs if "=" in pair)

    def keep(self):
        """Leave it running; returns the command that ends and removes it."""
        self._janitor.communicate(b"keep")
        return f"kill -- -{self.process.pid}; sleep 1; rm -rf {self.folder}"

    def stop(self):
        """End it, its functions too, and remove its folder."""
        if self._janitor is None:
            if self.folder:
                shutil.rmtree(self.folder, ignore_errors=True)
        elif not self._janitor.stdin.closed:
            self._janitor.stdin.close()
            while self._janitor.poll() is None:
                self.process.poll()  # reaps it, so that the janitor sees the group gone
                time.sleep(0.02)


def free_port():
    """A port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
