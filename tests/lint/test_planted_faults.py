"""Each tool that `make lint` runs over the templates finds the faults in faulty.yaml."""

import json

FAULTY = "tests/lint/faulty.yaml"


def test_checkov_finds_an_open_and_unencrypted_database(run):
    code, output, both = run(".venv-checkov/bin/checkov", "--config-file", "lint/checkov.yaml",
                             "--output", "json", "--file", FAULTY)  # fmt: skip
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
