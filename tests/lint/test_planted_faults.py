"""Each tool that `make lint` runs over the templates finds the faults in faulty.yaml."""

import json
import os

import pytest
from conftest import ROOT

FAULTY = "tests/lint/faulty.yaml"
CHECKOV = (".venv-checkov/bin/checkov", "--config-file", "lint/checkov.yaml", "--output", "json", "--file")


def test_checkov_finds_an_open_and_unencrypted_database(run):
    code, output, both = run(*CHECKOV, FAULTY)
    assert code == 1, both
    failed = json.loads(output)["results"]["failed_checks"]
    found = {(check["check_id"], check["resource"]) for check in failed}
    database = "AWS::RDS::DBInstance.Database"
    assert found >= {("CKV_AWS_16", database), ("CKV_AWS_17", database)}


def test_cfn_guard_finds_them_and_what_the_transform_makes(run):
    code, _, both = run(".venv-tools/bin/python", "lint/guard.py", FAULTY)
    assert code == 1, both
    assert f"{FAULTY}: Database: cfn-guard: rds_instance_storage_encrypted_check\n" in both
    assert f"{FAULTY}: Database: cfn-guard: rds_instance_public_access_check\n" in both
    assert f"{FAULTY}: Function: cfn-guard: lambda_inside_vpc_check\n" in both


@pytest.fixture
def fleet(tmp_path):
    """The path of a copy of the fleet's template in which one text is replaced."""

    def fleet(old, new):
        with open(os.path.join(ROOT, "fleet", "template.yaml")) as source:
            text = source.read()
        assert text.count(old) == 1
        (tmp_path / "template.yaml").write_text(text.replace(old, new))
        return str(tmp_path / "template.yaml")

    return fleet


RECOVERY = ("PointInTimeRecoveryEnabled: true", "PointInTimeRecoveryEnabled: false")


def test_checkov_finds_that_the_fleets_table_cannot_be_restored(run, fleet):
    code, output, both = run(*CHECKOV, fleet(*RECOVERY))
    assert code == 1, both
    [check] = json.loads(output)["results"]["failed_checks"]
    assert (check["check_id"], check["resource"]) == ("CKV_AWS_28", "AWS::DynamoDB::Table.Table")


def test_cfn_guard_finds_that_the_fleets_table_cannot_be_restored(run, fleet):
    code, _, both = run(".venv-tools/bin/python", "lint/guard.py", fleet(*RECOVERY))
    assert code == 1, both
    assert "template.yaml: Table: cfn-guard: dynamodb_table_pitr_enabled_check\n" in both


def test_cdk_nag_finds_them_too(run, fleet):
    code, _, both = run(".venv-tools/bin/python", "lint/nag.py", FAULTY, fleet(*RECOVERY))
    assert code == 1, both
    assert f"{FAULTY}: Database: cdk-nag: AwsSolutions-RDS2\n" in both
    assert "template.yaml: Table: cdk-nag: AwsSolutions-DDB3\n" in both


def test_cfn_lint_finds_that_the_fleets_state_machines_have_no_log_group(run, fleet):
    path = fleet("\n  LogGroup:\n", "\n  OtherGroup:\n")
    code, output, both = run(".venv-tools/bin/cfn-lint", "--", path)
    assert code == 2, both
    assert "'LogGroup' is not one of" in output


def test_a_suppression_that_fits_nothing_fails(run, tmp_path):
    fits = {"rule": "lambda_inside_vpc_check", "resources": [f"{FAULTY}#Function"], "reason": "a test"}
    fits_nothing = {**fits, "resources": [f"{FAULTY}#Database"]}
    suppressions = tmp_path / "guard.yaml"
    suppressions.write_text(json.dumps([fits, fits_nothing]))
    command = (".venv-tools/bin/python", "lint/guard.py", "--suppressions", str(suppressions), FAULTY)
    code, _, both = run(*command)
    assert code == 1, both
    assert "Function: cfn-guard: lambda_inside_vpc_check" not in both
    assert f"lambda_inside_vpc_check finds nothing in {FAULTY}#Database" in both


def test_cfn_lint_finds_a_version_without_quotes(run):
    command = (".venv-tools/bin/cfn-lint", "--append-rules", "lint/rules", "--", FAULTY)
    code, output, both = run(*command)
    assert code == 2, both
    assert "E9703 the version of `postgis_raster` is not in quotes" in output
