"""cfn-guard with the rules of AWS Control Tower: `guard.py TEMPLATE...`, part of `make lint`.

A template is checked as CloudFormation gets it: with SAM's transform applied. guard.yaml has what is
passed over; an entry that fits nothing in these templates fails too. Paths are relative to the
project's folder.
"""

import argparse
import fnmatch
import json
import logging
import os
import platform
import re
import stat
import subprocess
import sys
import tempfile

import yaml
from samcli.yamlhelper import yaml_parse
from samtranslator.translator.transform import transform

HERE = os.path.dirname(os.path.abspath(__file__))
PACKAGE = os.path.join(HERE, "node_modules", "@cdklabs", "cdk-validator-cfnguard")
RESOURCE = re.compile(r"/?Resources/(\w+)")


class NoManagedPolicies:
    """SAM asks for AWS's managed policies by name; the templates name none."""

    def load(self):
        return {}


def transformed(path):
    """A template as CloudFormation gets it."""
    with open(path) as source:
        # Through JSON: the transform wants plain dictionaries.
        template = json.loads(json.dumps(yaml_parse(source.read()), default=str))
    if "AWS::Serverless-2016-10-31" not in str(template.get("Transform")):
        return template
    for resource in template["Resources"].values():
        # What `sam package` uploads and replaces.
        for name in ("CodeUri", "DefinitionUri", "Location"):
            if isinstance(resource.get("Properties", {}).get(name), str):
                resource["Properties"][name] = f"s3://packaged/{name}"
    # The transform asks for a region, whichever.
    os.environ.setdefault("AWS_DEFAULT_REGION", "eu-central-1")
    return transform(template, {}, NoManagedPolicies())


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
    with tempfile.TemporaryDirectory() as folder:
        names = {}
        for number, template in enumerate(templates):
            names[f"{number}.json"] = template
            with open(os.path.join(folder, f"{number}.json"), "w") as out:
                json.dump(transformed(template), out)
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
        template = names[os.path.basename(result["name"])]
        for check in result["not_compliant"]:
            # A rule without a resource, should there be one, is about the whole template.
            for resource in resources_in(check) or {""}:
                found.add((check["Rule"]["name"], f"{template}#{resource}"))
    return found


def problems(found, suppressions, templates):
    """One line for each finding that is not passed over, and for each entry that fits nothing."""
    unused = {(one["rule"], pattern) for one in suppressions for pattern in one["resources"]}
    # An entry about templates that are not checked now says nothing about these.
    unused = {
        (rule, pattern)
        for rule, pattern in unused
        if fnmatch.filter(templates, pattern.split("#")[0])
    }
    used = set()
    for rule, place in sorted(found):
        fits = {
            (one["rule"], pattern)
            for one in suppressions
            for pattern in one["resources"]
            if one["rule"] == rule and fnmatch.fnmatchcase(place, pattern)
        }
        used |= fits
        if not fits:
            yield f"{place.replace('#', ': ')}: cfn-guard: {rule}"
    for rule, pattern in sorted(unused - used):
        yield f"suppressions: {rule} finds nothing in {pattern}: remove the entry"


def main():
    parser = argparse.ArgumentParser(description="cfn-guard with the rules of AWS Control Tower.")
    parser.add_argument("--suppressions", default=os.path.join(HERE, "guard.yaml"))
    parser.add_argument("templates", nargs="+")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)  # the transform warns of metrics of its own that nobody collects
    with open(arguments.suppressions) as source:
        suppressions = yaml.safe_load(source) or []
    found = findings(arguments.templates)
    lines = list(problems(found, suppressions, arguments.templates))
    for line in lines:
        print(line, file=sys.stderr)
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
