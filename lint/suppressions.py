"""What the checks of templates share that know no suppressions in a template: the template as CloudFormation gets
it, and a list of what is passed over, and why.

An entry of the list names a rule and resources, as TEMPLATE#LOGICAL_ID; * stands for anything. An entry that fits
nothing in these templates fails too.
"""

import argparse
import contextlib
import fnmatch
import json
import logging
import os
import sys
import tempfile

import yaml
from samcli.yamlhelper import yaml_parse
from samtranslator.translator.transform import transform

HERE = os.path.dirname(os.path.abspath(__file__))


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


@contextlib.contextmanager
def transformed_files(templates):
    """A folder of the templates as CloudFormation gets them, and which of its files is which template."""
    with tempfile.TemporaryDirectory() as folder:
        names = {}
        for number, template in enumerate(templates):
            names[os.path.join(folder, f"{number}.json")] = template
            with open(os.path.join(folder, f"{number}.json"), "w") as out:
                json.dump(transformed(template), out)
        yield folder, names


def problems(tool, found, suppressions, templates):
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
            yield f"{place.replace('#', ': ')}: {tool}: {rule}"
    for rule, pattern in sorted(unused - used):
        yield f"suppressions: {rule} finds nothing in {pattern}: remove the entry"


def check(tool, findings, suppressions):
    """Run a tool over the templates of the command line: `findings` gives a set of (rule, `TEMPLATE#LOGICAL_ID`)."""
    parser = argparse.ArgumentParser(description=f"{tool}, but for what a list passes over.")
    parser.add_argument("--suppressions", default=os.path.join(HERE, suppressions))
    parser.add_argument("templates", nargs="+")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)  # the transform warns of metrics of its own that nobody collects
    with open(arguments.suppressions) as source:
        suppressions = yaml.safe_load(source) or []
    found = findings(arguments.templates)
    lines = list(problems(tool, found, suppressions, arguments.templates))
    for line in lines:
        print(line, file=sys.stderr)
    sys.exit(1 if lines else 0)
