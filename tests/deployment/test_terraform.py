"""Terraform's aws_lambda_invocation with lifecycle_scope = "CRUD": apply, apply, destroy.

Without Terraform and its AWS provider these are skipped. The provider is taken from the folder that
TF_PLUGIN_DIR names, from one that a package put below /opt or /usr, or from Terraform's registry.
"""

import glob
import json
import os
import shutil
import subprocess

import pytest

CONFIGURATION = """
variable "function" {}
variable "endpoint" {}
variable "properties" {}

terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

provider "aws" {
  skip_credentials_validation = true
  skip_requesting_account_id  = true
  skip_metadata_api_check     = true
  endpoints {
    lambda = var.endpoint
  }
}

resource "aws_lambda_invocation" "extensions" {
  function_name   = var.function
  lifecycle_scope = "CRUD"
  input           = jsonencode({ RequestType = "Create", ResourceProperties = jsondecode(var.properties) })
}

output "data" {
  value = jsondecode(aws_lambda_invocation.extensions.result).Data
}
"""


def plugins():
    """`-plugin-dir=...`, where a folder of providers is on the machine."""
    folders = [f"{root}/*/registry.terraform.io" for root in ("/opt", "/usr/share", "/usr/local/share")]
    found = [os.path.dirname(path) for pattern in folders for path in sorted(glob.glob(pattern))]
    folder = os.environ.get("TF_PLUGIN_DIR") or next(iter(found), None)
    return [f"-plugin-dir={folder}"] if folder else []


@pytest.fixture(scope="module")
def terraform(deployment, tmp_path_factory):
    """Runs Terraform for these properties; returns what it prints."""
    if not shutil.which("terraform"):
        pytest.skip("Terraform is not on this machine")
    folder = tmp_path_factory.mktemp("terraform")
    (folder / "main.tf").write_text(CONFIGURATION)
    secret = {"DBSecret": deployment.secret_arn("terraform"), "SslRootCert": deployment.root_cert()}
    variables = {
        **os.environ,
        **deployment.aws.environment(),
        "TF_CLI_CONFIG_FILE": os.devnull,
        "TF_IN_AUTOMATION": "1",
        "TF_VAR_function": deployment.function,
        "TF_VAR_endpoint": deployment.aws.endpoint,
        "TF_VAR_properties": "{}",
    }

    def run(*arguments, **properties):
        if properties:
            variables["TF_VAR_properties"] = json.dumps({**secret, **properties})
        return subprocess.run(
            ["terraform", *arguments, "-no-color"],
            cwd=folder,
            env=variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    done = run("init", *plugins())
    if done.returncode:
        pytest.skip(f"Terraform's AWS provider cannot be had: {done.stdout}")
    return run


def succeeded(done):
    assert done.returncode == 0, done.stdout


def test_a_resource_from_apply_to_destroy(deployment, terraform):
    drop = {"RemovalPolicy": "Drop"}
    first = {"PluginsMap": {"hstore": "1.4", "pgcrypto": "1.3"}, **drop}
    succeeded(terraform("apply", "-auto-approve", **first))
    assert deployment.extensions("terraform") == {"terraform": {"hstore": "1.4", "pgcrypto": "1.3"}}
    second = {"PluginsMap": {"hstore": "1.7"}, **drop}
    succeeded(terraform("apply", "-auto-approve", **second))
    assert deployment.extensions("terraform") == {"terraform": {"hstore": "1.7"}}
    succeeded(terraform("destroy", "-auto-approve"))
    assert deployment.extensions("terraform") == {"terraform": {}}
