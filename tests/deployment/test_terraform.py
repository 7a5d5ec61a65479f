"""Terraform's aws_lambda_invocation with lifecycle_scope = "CRUD": apply, apply, destroy.

Without Terraform and its AWS provider these are skipped.
"""

import json

import pytest
from terraform import Terraform, succeeded

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


@pytest.fixture(scope="module")
def terraform(deployment, tmp_path_factory):
    """Runs Terraform for these properties; returns how it ended."""
    folder = tmp_path_factory.mktemp("terraform")
    (folder / "main.tf").write_text(CONFIGURATION)
    secret = {"DBSecret": deployment.secret_arn("terraform"), "SslRootCert": deployment.root_cert()}
    terraform = Terraform(
        folder,
        deployment.aws.environment(),
        function=deployment.function,
        endpoint=deployment.aws.endpoint,
        properties={},
    )
    terraform.init()

    def run(*arguments, **properties):
        if properties:
            terraform.set(properties={**secret, **properties})
        return terraform.run(*arguments)

    return run


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


def test_an_update_that_fails_is_kept_as_done(deployment, terraform):
    """docs/terraform.md says so: this is why there is a module."""
    succeeded(terraform("apply", "-auto-approve", PluginsMap={"citext": "any"}))
    failed = terraform("apply", "-auto-approve", PluginsMap={"citext": "any", "hstor": "any"})
    assert failed.returncode == 1 and "did you mean" in failed.stdout, failed.stdout
    # Exit code 0: nothing to do. 2 would propose the change again.
    again = terraform("plan", "-detailed-exitcode")
    assert again.returncode == 0, again.stdout
    succeeded(terraform("destroy", "-auto-approve"))
