"""`Authentication: IAM`. No PostgreSQL here takes tokens: a server of our own receives one, and the
verifier of the local AWS, which is independent of our code, judges it."""

import socketserver
import ssl
import struct
import subprocess
import threading

import pytest
from deployment import IAM_ROLE
from local_aws import ACCOUNT, REGION
from ministack.core import rds_iam
from ministack.core.iam_evaluator import ResolvedCredential


class PasswordRecorder(socketserver.ThreadingTCPServer):
    """Speaks TLS, asks for a password in clear text, keeps it, and rejects it with 28000."""

    daemon_threads = True

    def __init__(self, certificate, key):
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(certificate, key)
        self.passwords = []
        super().__init__(("127.0.0.1", 0), self.Connection)
        self.port = self.server_address[1]

    class Connection(socketserver.BaseRequestHandler):
        def handle(self):
            self.request.settimeout(30)
            self.request.recv(8)  # SSLRequest
            self.request.sendall(b"S")
            with self.server.tls.wrap_socket(self.request, server_side=True) as stream:
                file = stream.makefile("rb")
                message(file)  # StartupMessage
                stream.sendall(b"R" + struct.pack("!II", 8, 3))  # AuthenticationCleartextPassword
                if file.read(1) == b"p":
                    self.server.passwords.append(message(file).rstrip(b"\0").decode())
                error = b"SFATAL\0VFATAL\0C28000\0MPAM authentication failed\0\0"
                stream.sendall(b"E" + struct.pack("!I", len(error) + 4) + error)


def message(file):
    """A length, which counts itself, and as many bytes."""
    return file.read(struct.unpack("!I", file.read(4))[0] - 4)


@pytest.fixture(scope="module")
def recorder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recorder")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
         "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    with PasswordRecorder(certificate, key) as recorder:
        recorder.certificate = certificate.read_text()
        threading.Thread(target=recorder.serve_forever, daemon=True).start()
        yield recorder
        recorder.shutdown()


@pytest.fixture(scope="module")
def reason(recorder, failure):
    return failure({
        "Authentication": "IAM", "Host": "localhost", "Port": recorder.port, "Username": IAM_ROLE,
        "SslRootCert": recorder.certificate,
    })["Reason"]  # fmt: skip


@pytest.fixture(scope="module")
def token(recorder, reason):
    return recorder.passwords[0]


@pytest.fixture
def verify(aws, deployment, recorder, monkeypatch):
    """The verifier, which knows the credentials that the function was started with."""
    _, environment = aws.function_process(deployment.configuration()["FunctionName"])
    credential = ResolvedCredential(
        access_key_id=environment["AWS_ACCESS_KEY_ID"],
        secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        session_token=environment.get("AWS_SESSION_TOKEN"),
        account_id=ACCOUNT,
        principal_arn="the function's role",
        principal_id="the function",
        principal_type="AssumedRole",
    )
    monkeypatch.setattr(rds_iam, "resolve_credential", lambda *_: credential)
    right = {"hostname": "localhost", "port": recorder.port, "db_user": IAM_ROLE, "region": REGION}

    def verify(token, **wrong):
        return rds_iam.verify_rds_iam_token(token, account_id=ACCOUNT, **{**right, **wrong})

    return verify


def test_the_reason_of_a_rejected_token_says_what_to_check(reason):
    assert all(part in reason for part in ("28000", "rds-db:connect", "rds_iam")), reason


def test_the_token_is_valid_for_its_endpoint_role_and_region(verify, token):
    assert type(verify(token)).__name__ == "VerifiedRdsToken"


@pytest.mark.parametrize("wrong", [{"port": 1}, {"db_user": "deployer"}, {"region": "eu-west-1"}])
def test_the_token_is_valid_nowhere_else(verify, token, wrong):
    assert type(verify(token, **wrong)).__name__ == "RdsIamTokenError"


def test_a_token_with_another_signature_is_rejected(verify, token):
    forged = token[:-1] + ("0" if token[-1] != "0" else "1")
    assert verify(forged).code == "SignatureDoesNotMatch"


def test_the_log_holds_no_token(aws, deployment, token):
    log = aws.log_text(deployment.stacks.log_group)
    assert "28000" in log
    assert token.split("X-Amz-Signature=")[1][:64] not in log
