"""cfn-lint rules for Custom::PostgresExtensions: what the function would refuse, before a deployment.

    cfn-lint --append-rules lint/rules -- template.yaml

The rules know what stands in the template. What an intrinsic function gives, the function checks.
"""

import difflib
import re

from cfnlint.rules import CloudFormationLintRule, RuleMatch

TYPE = "Custom::PostgresExtensions"
CUSTOM = ("AWS::CloudFormation::CustomResource", "Custom::")
SOURCE = "https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/template-custom-resources.html"
PROPERTIES = (
    "ServiceToken",
    "ServiceTimeout",
    "DBSecret",
    "PluginsMap",
    "PluginsFrom",
    "Databases",
    "Host",
    "Port",
    "Username",
    "Authentication",
    "SslMode",
    "SslRootCert",
    "RemovalPolicy",
    "DowngradePolicy",
    "DryRun",
    "Trigger",
)
CHOICES = {
    "Authentication": ("Password", "IAM"),
    "SslMode": ("verify-full", "verify-ca", "require", "disable"),
    "RemovalPolicy": ("Retain", "Drop", "DropCascade"),
    "DowngradePolicy": ("Fail", "Keep"),
}
NUMBERS = {
    "ServiceTimeout": (3600, "a number of seconds from 1 to 3600"),
    "Port": (65535, "a port number from 1 to 65535"),
}
SECRETS = ("DBSecret", "PluginsFrom")
SECRET = re.compile(r"[A-Za-z0-9/_+=.@!:-]{1,2048}")
HOST = re.compile(r"[A-Za-z0-9._:-]{1,253}")
ENTRY = ("Version", "Schema")
MAX_NAME = 63  # bytes of a name in PostgreSQL


class OurResources:
    """What the rules share; `problems` gives (path, message) for the properties of one resource."""

    source_url = SOURCE
    tags = ["resources", "custom", "postgresql"]

    def match(self, cfn):
        matches = []
        for name, resource in cfn.get_resources().items():
            properties = resource.get("Properties")
            if isinstance(properties, dict) and _is_ours(resource.get("Type"), properties):
                path = ["Resources", name, "Properties"]
                for place, message in self.problems(properties, path):
                    matches.append(RuleMatch(place, message))
        return matches

    def problems(self, properties, path):
        raise NotImplementedError


class Properties(OurResources, CloudFormationLintRule):
    """Names of properties, and those that must be there."""

    id = "E9701"
    shortdesc = "Properties of Custom::PostgresExtensions"
    description = "A property that the function does not know, or one that is missing, fails the stack"

    def problems(self, properties, path):
        for name in _keys(properties):
            if name not in PROPERTIES:
                yield [*path, name], f"unknown property `{name}`{_meant(name, PROPERTIES)}"
        if _is_macro(properties):
            return
        # It may be what a function gives: then it is not known here.
        authentication = properties.get("Authentication", "Password")
        if authentication in ("", "Password") and not _is_there(properties, "DBSecret"):
            yield path, (
                "`DBSecret` is missing: give the ARN or the name of the secret with the credentials, "
                "or use `Authentication: IAM`"
            )
        if properties.get("PluginsMap") is None and not _is_there(properties, "PluginsFrom"):
            yield path, (
                "`PluginsMap` is missing: give a map of extension names to versions; it may be empty"
            )
        if properties.get("SslMode") != "disable":
            return
        if authentication == "IAM":
            yield [*path, "SslMode"], "`Authentication: IAM` needs TLS: leave `SslMode: disable` out"
        elif _is_there(properties, "Host") or _is_there(properties, "Port"):
            yield [*path, "SslMode"], (
                "`SslMode: disable` does not go with `Host` or `Port`: leave `SslMode` out, or put host "
                "and port into the secret"
            )


class Values(OurResources, CloudFormationLintRule):
    """Values of properties, but for the versions."""

    id = "E9702"
    shortdesc = "Values of the properties of Custom::PostgresExtensions"
    description = "A value that the function does not accept fails the stack"

    def problems(self, properties, path):
        for name, value in properties.items():
            for leaf, place in _leaves(value, [*path, name]):
                if leaf == "" and name != "PluginsMap":
                    continue  # counts as absent
                message = self._problem(name, leaf)
                if message:
                    yield place, message

    def _problem(self, name, value):
        if name in CHOICES and value not in CHOICES[name]:
            words = ", ".join(f"`{word}`" for word in CHOICES[name])
            return f"`{name}` must be one of {words}{_meant(value, CHOICES[name])}"
        if name in NUMBERS and not _is_number(value, NUMBERS[name][0]):
            return f"`{name}` must be {NUMBERS[name][1]}"
        if name == "DryRun" and str(value).lower() not in ("true", "false"):
            return "`DryRun` must be `true` or `false`"
        if name in SECRETS and not (isinstance(value, str) and SECRET.fullmatch(value)):
            return (
                f"`{name}` must be the ARN or the name of a secret, as `!Ref` gives it; a dynamic "
                "reference (`{{resolve:secretsmanager:...}}`) puts the secret's text there"
            )
        if name == "Host" and not (isinstance(value, str) and HOST.fullmatch(value)):
            return "`Host` must be the DNS name or the address of a server"
        if name == "Databases":
            return self._databases(value)
        if name == "SslRootCert" and "-----BEGIN CERTIFICATE-----" not in str(value):
            return "`SslRootCert` must be one or more certificates as PEM text, with their line breaks"
        if name == "PluginsMap" and not isinstance(value, dict):
            return "`PluginsMap` must be a map of extension names to versions"
        return None

    def _databases(self, value):
        names = value
        if not isinstance(value, list):
            names = [name.strip() for name in str(value).split(",") if name.strip()]
        if not names:
            return "`Databases` must be `*`, or one or more names: this list is empty"
        if any(isinstance(name, (dict, list)) and not _is_function(name) for name in names):
            return "`Databases` must be a list of names"
        if "*" in names and len(names) > 1:
            return "`Databases` must be either `*`, which is every database, or names"
        return None


class Versions(OurResources, CloudFormationLintRule):
    """Versions and schemas in PluginsMap."""

    id = "E9703"
    shortdesc = "Versions in the PluginsMap of Custom::PostgresExtensions"
    description = "YAML turns an unquoted 1.10 into 1.1, and a bare * is no version"

    def problems(self, properties, path):
        for plugins, place in _leaves(properties.get("PluginsMap"), [*path, "PluginsMap"]):
            if not isinstance(plugins, dict):
                continue
            for name in _keys(plugins):
                for value, where in _leaves(plugins[name], [*place, name]):
                    yield from self._entry(name, value, where)

    def _entry(self, name, value, path):
        if not isinstance(value, dict):
            if message := _version(name, value):
                yield path, message
            return
        for key in _keys(value):
            if key not in ENTRY:
                yield [*path, key], f"unknown key `{key}` in `PluginsMap.{name}`{_meant(key, ENTRY)}"
        versions = list(_leaves(value.get("Version"), [*path, "Version"]))
        for version, place in versions:
            if message := _version(name, version):
                yield place, message
        for schema, place in _leaves(value.get("Schema"), [*path, "Schema"]):
            if schema in (None, ""):
                continue
            if name == "*":
                yield place, "`*` has a `Schema`: leave it out, extensions stay where they are"
            elif "absent" in [version for version, _ in versions]:
                yield place, f"`{name}` is wanted `absent` and has a `Schema`: leave that out"
            elif isinstance(schema, (dict, list)):
                yield place, f"the schema of `{name}` must be the name of a schema"
            elif len(str(schema).encode()) > MAX_NAME:
                yield place, f"the schema of `{name}` has a name of over {MAX_NAME} bytes"
            elif str(schema).startswith("pg_") and schema != "pg_catalog":
                yield place, f"the schema of `{name}` begins with `pg_`, which PostgreSQL keeps"


def _version(name, value):
    """What is wrong with a version, or None."""
    if value is None:
        return None
    if isinstance(value, (bool, int, float)):
        return (
            f"the version of `{name}` is not in quotes, and some versions change as numbers (`1.10` "
            "becomes `1.1`): put it in quotes"
        )
    if not isinstance(value, str):
        return f"the version of `{name}` must be text in quotes, or a map of `Version` and `Schema`"
    if name == "*":
        if value not in ("", "any", "latest"):
            return "the version of `*` must be `latest` or `any`"
        return None
    if value == "*":
        return (
            f"the version of `{name}` is `*`, which is ambiguous: use `any` (what is there, else the "
            "default) or `latest`"
        )
    if "*" in value[:-1]:
        return f"the version of `{name}` has a `*` that is not at its end, as in `3.4.*`"
    return None


def _is_ours(kind, properties):
    """Custom::PostgresExtensions, or another custom resource with the map or the token of ours."""
    if kind == TYPE:
        return True
    if not isinstance(kind, str) or not kind.startswith(CUSTOM):
        return False
    token = properties.get("ServiceToken")
    imported = token.get("Fn::ImportValue") if isinstance(token, dict) else None
    is_our_token = re.fullmatch(r".*postgres-extensions.*-ServiceToken", str(imported))
    return "PluginsMap" in properties or "PluginsFrom" in properties or bool(is_our_token)


def _is_function(value):
    if not isinstance(value, dict) or len(value) != 1:
        return False
    name = next(iter(value))
    return name in ("Ref", "Condition") or str(name).startswith("Fn::")


def _is_macro(properties):
    """Whether a macro adds properties that are not seen here."""
    return any(str(name).startswith("Fn::") for name in properties)


def _keys(mapping):
    """The keys of a map, without Fn::Transform and Fn::ForEach."""
    return [key for key in mapping if not str(key).startswith("Fn::")]


def _leaves(value, path):
    """(value, path) of what stands in the template: both branches of Fn::If, no other function."""
    if isinstance(value, dict) and list(value) == ["Fn::If"] and isinstance(value["Fn::If"], list):
        for number, branch in enumerate(value["Fn::If"][1:], 1):
            yield from _leaves(branch, [*path, "Fn::If", number])
    elif value is not None and not _is_function(value):
        yield value, path


def _is_there(properties, name):
    return properties.get(name) not in (None, "")


def _is_number(value, maximum):
    if isinstance(value, bool):
        return False
    return re.fullmatch(r" *[0-9]+ *", str(value)) is not None and 1 <= int(value) <= maximum


def _meant(word, known):
    """``; did you mean `Version`?``, or nothing."""
    plain = {one.lower(): one for one in known}
    near = difflib.get_close_matches(str(word).lower(), plain, 1, 0.7)
    return f"; did you mean `{plain[near[0]]}`?" if near else ""
