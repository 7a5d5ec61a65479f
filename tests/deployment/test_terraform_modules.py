"""The modules in terraform/: their own tests, and from apply to destroy on the local AWS.

Without Terraform and its AWS provider these are skipped, but for the comparison with template.yaml.
"""

import os
import re
import shutil

import pytest
from deployment import ROOT
from terraform import Terraform, succeeded

MODULES = ("modules/provider", "modules/extensions")
EXAMPLES = ("examples/one-database", "examples/many-databases")
CONFIGURATION = """
variable "zip" {}
variable "architecture" {}
variable "secret" {}
variable "ssl_root_cert" {}
variable "extensions" { type = any }
variable "log_retention_in_days" { default = null }

provider "aws" {
  s3_use_path_style = true
}

module "provider" {
  source = "./terraform/modules/provider"

  name                  = "by-terraform"
  bucket                = "code"
  zip                   = var.zip
  secret_arns           = [var.secret]
  architecture          = var.architecture
  log_retention_in_days = var.log_retention_in_days
}

module "extensions" {
  source = "./terraform/modules/extensions"

  name           = "extensions-by-terraform"
  service_token  = module.provider.service_token
  secret         = var.secret
  ssl_root_cert  = var.ssl_root_cert
  removal_policy = "Drop"
  extensions     = var.extensions
}

output "extensions" {
  value = module.extensions
}
"""


def project(folder):
    """A copy, since Terraform writes beside what it reads. The modules find template.yaml in it."""
    ignored = shutil.ignore_patterns(".terraform*", "*.tfstate*")
    shutil.copytree(os.path.join(ROOT, "terraform"), folder / "terraform", ignore=ignored)
    shutil.copy(os.path.join(ROOT, "template.yaml"), folder)
    return folder


@pytest.fixture
def terraform(deployment, tmp_path):
    """Terraform with both modules and the built function's zip."""
    folder = project(tmp_path)
    (folder / "main.tf").write_text(CONFIGURATION)
    archive = folder / "bootstrap.zip"
    deployment.aws.client("s3").download_file("code", "bootstrap.zip", str(archive))
    terraform = Terraform(
        folder,
        deployment.aws.environment(),
        zip=str(archive),
        architecture=deployment.configuration()["Architectures"][0],
        secret=deployment.secret_arn("terraform_module"),
        ssl_root_cert=deployment.root_cert(),
    )
    terraform.init()
    return terraform


def stacks(deployment):
    found = deployment.aws.client("cloudformation").describe_stacks()["Stacks"]
    return {stack["StackName"]: stack["StackStatus"] for stack in found}


def test_the_module_has_every_parameter_of_the_template():
    with open(os.path.join(ROOT, "template.yaml")) as source:
        parameters = re.search(r"(?ms)^Parameters:$(.*?)^\S", source.read())[1]
    with open(os.path.join(ROOT, "terraform/modules/provider/main.tf")) as source:
        block = re.search(r"(?ms)^  parameters = \{$(.*?)^  \}", source.read())[1]
    passed = re.findall(r"(?m)^    (\w+) +=", block)
    assert sorted(passed) == sorted(re.findall(r"(?m)^  (\w+):$", parameters))


def test_the_files_are_formatted():
    terraform = Terraform(os.path.join(ROOT, "terraform"))
    succeeded(terraform.run("fmt", "-check", "-recursive", "-diff"))


@pytest.mark.parametrize("name", EXAMPLES + MODULES)
def test_a_module_is_valid_and_its_own_tests_pass(tmp_path, name):
    terraform = Terraform(project(tmp_path) / "terraform" / name)
    terraform.init()
    succeeded(terraform.run("validate"))
    if name in MODULES:
        done = terraform.run("test")
        succeeded(done)
        assert re.search(r"Success! [1-9]\d* passed, 0 failed\.", done.stdout), done.stdout


def test_from_apply_to_destroy(deployment, terraform):
    deployment.psql("terraform_module", "-qc", "CREATE EXTENSION citext")

    def installed():
        return deployment.extensions("terraform_module")["terraform_module"]

    was_there = installed()
    created = {"hstore": "1.4", "uuid-ossp": "any", "CIText": None}
    succeeded(terraform.apply(extensions=created))
    versions = terraform.output("extensions")["versions"]
    assert versions == installed()
    assert versions["hstore"] == "1.4"
    assert terraform.proposes()[0] is False

    # The whole reason is in Terraform's error, and nothing was changed.
    failed = terraform.apply(extensions={**created, "hstore": "1.7", "hstor": "any"})
    assert failed.returncode == 1, failed.stdout
    reason = "no such extension; did you mean `hstore`?"
    assert reason in " ".join(failed.stdout.split()), failed.stdout
    assert installed() == versions
    assert stacks(deployment)["extensions-by-terraform"] == "UPDATE_ROLLBACK_COMPLETE"
    proposed, text = terraform.proposes()
    assert proposed and "hstor " in text, text

    # Another parameter of the function, and the corrected map: one request changes both.
    succeeded(
        terraform.apply(extensions={"hstore": "1.7", "citext": "any"}, log_retention_in_days=7)
    )
    outputs = terraform.output("extensions")
    assert outputs["versions"] == installed() == {**was_there, "hstore": "1.7"}
    assert outputs["changed"] is True
    dropped = f"dropped uuid-ossp {versions['uuid-ossp']}"
    assert sorted(outputs["changes"].split("; ")) == [dropped, "updated hstore 1.4 to 1.7"]
    assert "hstore 1.4" in outputs["before"] and "hstore 1.7" in outputs["after"]
    assert terraform.proposes()[0] is False

    # What was there before the stack is not dropped with it.
    succeeded(terraform.destroy())
    assert installed() == was_there
    assert not {"by-terraform", "extensions-by-terraform"} & stacks(deployment).keys()


def test_a_create_that_fails_is_made_again(deployment, tmp_path):
    """The example with for_each, by the function that is there already."""
    folder = project(tmp_path) / "terraform/examples/many-databases"
    databases = {
        "one": {"secret": deployment.secret_arn("terraform_one")},
        "two": {"secret": deployment.secret_arn("terraform_two"), "extensions": {"citex": "any"}},
    }
    terraform = Terraform(
        folder,
        deployment.aws.environment(),
        service_token=deployment.function,
        ssl_root_cert=deployment.root_cert(),
        databases=databases,
    )
    terraform.init()
    failed = terraform.apply()
    assert failed.returncode == 1, failed.stdout
    assert "did you mean `citext`?" in " ".join(failed.stdout.split()), failed.stdout
    assert deployment.extensions("terraform_one", "terraform_two")["terraform_two"] == {}

    databases["two"]["extensions"] = {"citext": "any"}
    succeeded(terraform.apply(databases=databases))
    found = deployment.extensions("terraform_one", "terraform_two")
    assert terraform.output("versions") == {
        "one": found["terraform_one"],
        "two": found["terraform_two"],
    }
    assert found["terraform_two"].keys() == {"citext", "hstore", "pgcrypto"}

    # A removed key deletes its stack. Under Retain the extensions stay.
    del databases["two"]
    succeeded(terraform.apply(databases=databases))
    assert "extensions-two" not in stacks(deployment)
    assert deployment.extensions("terraform_two")["terraform_two"] == found["terraform_two"]
    succeeded(terraform.destroy())
