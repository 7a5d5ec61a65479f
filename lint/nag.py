"""cdk-nag's pack AwsSolutions: `nag.py TEMPLATE...`, part of `make lint`. nag.yaml has what is passed over."""

import json
import os
import subprocess
import sys

from suppressions import HERE, check, transformed_files


def findings(templates):
    """What cdk-nag finds: a set of (rule, `TEMPLATE#LOGICAL_ID`)."""
    with transformed_files(templates) as (_, names):
        done = subprocess.run(
            ["node", os.path.join(HERE, "nag.cjs"), *names], capture_output=True, text=True
        )
    if done.returncode:
        sys.exit(f"cdk-nag did not work:\n{done.stderr}{done.stdout}")
    return {(rule, f"{names[file]}#{resource}") for rule, file, resource in json.loads(done.stdout)}


if __name__ == "__main__":
    check("cdk-nag", findings, "nag.yaml")
