"""cfn-guard with the rules of AWS Control Tower: `guard.py TEMPLATE...`, part of `make lint`. guard.yaml has what is
passed over."""

import json
import os
import platform
import re
import stat
import subprocess
import sys

from suppressions import HERE, check, transformed_files

PACKAGE = os.path.join(HERE, "node_modules", "@cdklabs", "cdk-validator-cfnguard")
RESOURCE = re.compile(r"/?Resources/(\w+)")


def resources_in(check):
    """The logical ids that the result of a rule is about."""
    if isinstance(check, list):
        return {found for one in check for found in resources_in(one)}
    if not isinstance(check, dict):
        return set()
    found = {name for value in check.values() for name in resources_in(value)}
    if match := RESOURCE.match(str(check.get("path", ""))):
        found.add(match[1])
    return found


def findings(templates):
    """What cfn-guard finds: a set of (rule, `TEMPLATE#LOGICAL_ID`)."""
    machine = {"arm64": "aarch64"}.get(platform.machine(), platform.machine())
    system = {"Darwin": "macos"}.get(platform.system(), "ubuntu")
    program = os.path.join(PACKAGE, "bin", system, machine, "cfn-guard")
    os.chmod(program, os.stat(program).st_mode | stat.S_IXUSR)
    with transformed_files(templates) as (folder, names):
        done = subprocess.run(
            [program, "validate", "--rules", os.path.join(PACKAGE, "rules"), "--data", folder,
             "--structured", "--output-format", "json", "--show-summary", "none"],
            capture_output=True, text=True,
        )  # fmt: skip
    try:
        results = json.loads(done.stdout)
    except ValueError:
        sys.exit(f"cfn-guard did not work:\n{done.stderr}{done.stdout}")
    found = set()
    for result in results:
        template = names[os.path.join(folder, os.path.basename(result["name"]))]
        for check in result["not_compliant"]:
            # A rule without a resource, should there be one, is about the whole template.
            for resource in resources_in(check) or {""}:
                found.add((check["Rule"]["name"], f"{template}#{resource}"))
    return found


if __name__ == "__main__":
    check("cfn-guard", findings, "guard.yaml")
