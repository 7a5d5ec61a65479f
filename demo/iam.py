"""What the function's role may do, and `Authentication: IAM` (`demo.py --check`).

The local AWS enforces the role's policies. It has no PostgreSQL that takes tokens, so a door of our
own takes one off the function, and the verifier of the local AWS judges it: a second opinion, by
people who have not seen our code. What it cannot show is said in docs/databases.md.
"""

import json
import os
import shutil
import socket
import ssl
import struct
import subprocess
import tempfile
import threading
from unittest import mock

from local_aws import ACCOUNT, REGION
from machine import Trouble

ROLE = "deployer+1@example.com"  # with all that a query encodes
RESOURCE = "db-DEMODEMODEMO"
DB_USER_ARN = f"arn:aws:rds-db:{REGION}:{ACCOUNT}:dbuser:{RESOURCE}/{ROLE}"
TLS_PLEASE = 80877103


class Door:
    """TLS, a password in the clear, and `28000` for everybody: it keeps what was shown."""

    def __init__(self, folder):
        key, self.certificate = os.path.join(folder, "key"), os.path.join(folder, "certificate")
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
             "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
             "subjectAltName=DNS:localhost", "-keyout", key, "-out", self.certificate],
            check=True, capture_output=True,
        )  # fmt: skip
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(self.certificate, key)
        self.tokens = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                stream, _ = self.listener.accept()
            except OSError:
                return  # closed
            try:
                with stream:
                    self._admit(stream)
            except (OSError, EOFError):
                pass  # whoever hangs up early is no concern of the door's

    def _admit(self, stream):
        stream.settimeout(5)
        if struct.unpack("!I", packet(stream)[:4]) != (TLS_PLEASE,):
            return
        stream.sendall(b"S")
        with self.tls.wrap_socket(stream, server_side=True) as stream:
            packet(stream)
            stream.sendall(b"R" + struct.pack("!II", 8, 3))
            if exactly(stream, 1) == b"p":
                self.tokens.append(packet(stream).rstrip(b"\0").decode())
            said = b"SFATAL\0VFATAL\0C28000\0MPAM authentication failed\0\0"
            stream.sendall(b"E" + struct.pack("!I", len(said) + 4) + said)

    def close(self):
        self.listener.close()


def exactly(stream, count):
    data = b""
    while len(data) < count:
        more = stream.recv(count - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def packet(stream):
    """A length, which counts itself, and as many bytes."""
    return exactly(stream, struct.unpack("!I", exactly(stream, 4))[0] - 4)


def rights(demo, function):
    """The whole of what the role's policies say, and what the local AWS makes of it."""
    role = demo.aws.client("lambda").get_function_configuration(FunctionName=function)["Role"]
    iam = demo.aws.client("iam")
    name = role.rsplit("/", 1)[1]
    expect = demo.expect
    # Without subnets AWS leaves `network` out. The local AWS reads no Fn::Join in a condition, and
    # takes every such condition for true.
    found = set(iam.list_role_policies(RoleName=name)["PolicyNames"]) - {"network"}
    wanted = ["iam-authentication", "log", "responder", "secrets"]
    expect("the role's policies, no more", sorted(found), wanted)
    expect("none is attached", iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"], [])
    own = demo.aws.client("secretsmanager").describe_secret(SecretId="demo/demo1")["ARN"]
    connect, read = "rds-db:connect", "secretsmanager:GetSecretValue"
    for what, action, resource, wanted in (
        ("it may log in as the role of the database", connect, DB_USER_ARN, "allowed"),
        ("not as another one", connect, DB_USER_ARN + "x", "implicitDeny"),
        ("not elsewhere", connect, DB_USER_ARN.replace(RESOURCE, "db-OTHER"), "implicitDeny"),
        ("it may read a secret in SecretArns", read, own, "allowed"),
        ("no other one", read, own.replace("demo1", "demo9"), "implicitDeny"),
        ("it may not change it", "secretsmanager:PutSecretValue", own, "implicitDeny"),
        ("it may assume no role", "sts:AssumeRole", role, "implicitDeny"),
    ):
        decision = iam.simulate_principal_policy(
            PolicySourceArn=role, ActionNames=[action], ResourceArns=[resource]
        )["EvaluationResults"][0]["EvalDecision"]
        expect(what, decision, wanted)


def unlisted_secret(demo, function):
    """Enforced, and not only simulated: a secret that is there and not in SecretArns."""
    secrets = demo.aws.client("secretsmanager")
    secrets.create_secret(Name="other/database", SecretString="{}")
    answer = invoke(demo, function, {"DBSecret": "other/database", "ServiceTimeout": "3"})
    demo.expect_in("another secret is refused", answer["Reason"], "AccessDenied", "SecretArns")


def invoke(demo, function, properties):
    """The document of a direct invocation that fails."""
    event = {
        "RequestType": "Create",
        "ResourceProperties": {"PluginsMap": {"hstore": "any"}, **properties},
    }
    answer = demo.aws.client("lambda").invoke(FunctionName=function, Payload=json.dumps(event))
    result = json.load(answer["Payload"])
    if "FunctionError" not in answer:
        raise Trouble(f"a request that cannot work did: {result}")
    return json.loads(result["errorMessage"])


def token(demo, function):
    from ministack.core import rds_iam
    from ministack.core.iam_evaluator import ResolvedCredential

    folder = tempfile.mkdtemp(prefix="cfn-demo-")
    door = Door(folder)
    try:
        with open(door.certificate) as source:
            certificate = source.read()
        answer = invoke(demo, function, {
            "Authentication": "IAM", "Host": "localhost", "Port": door.port, "Username": ROLE,
            "SslRootCert": certificate, "ServiceTimeout": "3",
        })  # fmt: skip
    finally:
        door.close()
        shutil.rmtree(folder)
    demo.expect_in("the door turns it away", answer["Reason"], "28000", "rds-db:connect", "rds_iam")
    shown = door.tokens[0]
    environment = demo.aws.function_environment(function.rsplit(":", 1)[1])
    credential = ResolvedCredential(
        access_key_id=environment["AWS_ACCESS_KEY_ID"],
        secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        session_token=environment.get("AWS_SESSION_TOKEN"),
        account_id=ACCOUNT,
        principal_arn="the function's role",
        principal_id="the function",
        principal_type="AssumedRole",
    )
    right = {"hostname": "localhost", "port": door.port, "db_user": ROLE, "region": REGION}
    for what, wrong, wanted in (
        ("the token is good for that endpoint and role", {}, "VerifiedRdsToken"),
        ("for no other endpoint", {"port": door.port + 1}, "RdsIamTokenError"),
        ("for no other role", {"db_user": "deployer"}, "RdsIamTokenError"),
        ("in no other region", {"region": "eu-west-1"}, "RdsIamTokenError"),
    ):
        with mock.patch.object(rds_iam, "resolve_credential", lambda *_: credential):
            verdict = rds_iam.verify_rds_iam_token(shown, account_id=ACCOUNT, **{**right, **wrong})
        demo.expect(what, type(verdict).__name__, wanted)
    forged = shown[:-1] + ("0" if shown[-1] != "0" else "1")
    with mock.patch.object(rds_iam, "resolve_credential", lambda *_: credential):
        verdict = rds_iam.verify_rds_iam_token(forged, account_id=ACCOUNT, **right)
    demo.expect("with another signature", getattr(verdict, "code", ""), "SignatureDoesNotMatch")
    logged = "\n".join(
        event["message"]
        for page in demo.aws.client("logs").get_paginator("filter_log_events").paginate(
            logGroupName=demo.stacks.function_log
        )
        for event in page["events"]
    )
    signature = shown.split("X-Amz-Signature=")[1][:64]
    demo.expect("no token in the function's log", signature in logged, False)


def check(demo, function):
    """All of it; `function` is the ARN of the function that demo.py deployed."""
    demo.screen.title("What the function may do, and a token in place of a password")
    rights(demo, function)
    unlisted_secret(demo, function)
    token(demo, function)
