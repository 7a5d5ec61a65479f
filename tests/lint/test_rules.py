"""lint/rules: cfn-lint with our rules over templates that are right, and over each mistake."""

import json
import os
import re
import textwrap

import pytest
from conftest import ROOT

RULES = "lint/rules"
HEAD = """\
AWSTemplateFormatVersion: '2010-09-09'
Parameters:
  Version:
    Type: String
Conditions:
  IsNew: !Equals [!Ref Version, '2']
Resources:
  Extensions:
    Type: {type}
    Properties:
      ServiceToken: {token}
"""
TOKEN = "!ImportValue postgres-extensions-ServiceToken"
OTHER_TOKEN = "!ImportValue something-else"

RIGHT = {
    "every property": """
        ServiceTimeout: '1200'
        DBSecret: arn:aws:secretsmanager:eu-central-1:123456789012:secret:app-AbCdEf
        PluginsMap: {postgis: '3.4.3', hstore: any, citext: latest, cube: '1.*', pg_trgm: ''}
        PluginsFrom: staging/database
        Databases: [app, audit]
        Host: db.example.com
        Port: 5432
        Username: deployer
        Authentication: Password
        SslMode: verify-ca
        RemovalPolicy: DropCascade
        DowngradePolicy: Keep
        DryRun: 'FALSE'
        Trigger: 1.10
        """,
    "what functions give": """
        DBSecret: !Sub '${AWS::StackName}-database'
        SslMode: !If [IsNew, verify-full, !Ref AWS::NoValue]
        Port: !ImportValue port
        PluginsMap:
          postgis: !Ref Version
          hstore: !If [IsNew, {Version: '1.8', Schema: extensions}, '1.4']
        """,
    "IAM without a secret": """
        Authentication: IAM
        Username: deployer
        PluginsMap: {}
        """,
    "authentication by a parameter": """
        Authentication: !Ref Version
        PluginsMap: {'*': latest, pg_cron: absent}
        """,
    "the map of another database": """
        DBSecret: app
        PluginsFrom: staging
        Databases: '*'
        """,
}
MAP = "DBSecret: app\nPluginsMap: "
WRONG = {
    # properties: the rule, and words of its message
    "DbSecret: app\nDBSecret: app\nPluginsMap: {}": ("E9701", "unknown property `DbSecret`; did you mean `DBSecret`?"),
    "DBSecret: app\nPluginsMap: {}\nExtensions: {}": ("E9701", "unknown property `Extensions`"),
    "PluginsMap: {}": ("E9701", "`DBSecret` is missing"),
    "DBSecret: ''\nPluginsMap: {}": ("E9701", "`DBSecret` is missing"),
    "DBSecret: app": ("E9701", "`PluginsMap` is missing"),
    "Authentication: IAM\nSslMode: disable\nPluginsMap: {}": ("E9701", "needs TLS"),
    MAP + "{}\nSslMode: disable\nHost: db": ("E9701", "`SslMode: disable` does not go with"),
    MAP + "{}\nSslMode: verify_full": ("E9702", "`SslMode` must be one of `verify-full`, `verify-ca`, `require`, `disable`; did you mean `verify-full`?"),
    MAP + "{}\nRemovalPolicy: !If [IsNew, Drop, Delete]": ("E9702", "`RemovalPolicy` must be one of"),
    MAP + "{}\nDowngradePolicy: keep": ("E9702", "did you mean `Keep`?"),
    MAP + "{}\nAuthentication: iam": ("E9702", "did you mean `IAM`?"),
    MAP + "{}\nServiceTimeout: 7200": ("E9702", "from 1 to 3600"),
    MAP + "{}\nPort: 0": ("E9702", "`Port` must be"),
    MAP + "{}\nDryRun: 'maybe'": ("E9702", "`DryRun` must be"),
    MAP + "{}\nHost: 'https://db'": ("E9702", "`Host` must be"),
    MAP + "{}\nSslRootCert: /opt/root.pem": ("E9702", "PEM text"),
    MAP + "{}\nDatabases: ['*', app]": ("E9702", "`Databases` must be either"),
    MAP + "{}\nDatabases: []": ("E9702", "this list is empty"),
    MAP + "hstore": ("E9702", "`PluginsMap` must be a map"),
    "DBSecret: '{{resolve:secretsmanager:app}}'\nPluginsMap: {}": ("E9702", "as `!Ref` gives it"),
    MAP + "{postgis_raster: 1.10}": ("E9703", "`postgis_raster` is not in quotes"),
    MAP + "{hstore: 2}": ("E9703", "`hstore` is not in quotes"),
    MAP + "{hstore: {Version: 1.10}}": ("E9703", "`hstore` is not in quotes"),
    MAP + "{hstore: !If [IsNew, 1.8, any]}": ("E9703", "`hstore` is not in quotes"),
    MAP + "{hstore: '*'}": ("E9703", "use `any`"),
    MAP + "{hstore: '1.*.2'}": ("E9703", "not at its end"),
    MAP + "{'*': '1.8'}": ("E9703", "the version of `*` must be `latest` or `any`"),
    MAP + "{'*': {Version: any, Schema: x}}": ("E9703", "`*` has a `Schema`"),
    MAP + "{hstore: [any]}": ("E9703", "must be text in quotes"),
    MAP + "{hstore: {Versoin: any}}": ("E9703", "unknown key `Versoin` in `PluginsMap.hstore`; did you mean `Version`?"),
    MAP + "{hstore: {Version: absent, Schema: x}}": ("E9703", "leave that out"),
    MAP + "{hstore: {Version: any, Schema: pg_mine}}": ("E9703", "which PostgreSQL keeps"),
    MAP + "{hstore: {Version: any, Schema: " + 64 * "x" + "}}": ("E9703", "over 63 bytes"),
}  # fmt: skip
# Other types of custom resources, and whether the rules check them.
OTHERS = {
    ("Custom::ExecuteSQL", OTHER_TOKEN, "DBSecret: app\nPluginsMap: {hstore: '*'}"): True,
    ("Custom::ExecuteSQL", TOKEN, "PluginsMapp: {}"): True,
    ("AWS::CloudFormation::CustomResource", TOKEN, "PluginsMapp: {}"): True,
    ("Custom::ExecuteSQL", OTHER_TOKEN, "Statement: SELECT 1"): False,
    ("AWS::CloudFormation::CustomResource", OTHER_TOKEN, "Statement: SELECT 1"): False,
}


@pytest.fixture(scope="module")
def found(run, tmp_path_factory):
    """Of each template: (rule, message) of what our rules find. cfn-lint runs once: it starts slowly."""
    folder = tmp_path_factory.mktemp("templates")
    names = {}
    kinds = {name: (("Custom::PostgresExtensions", TOKEN, text)) for name, text in RIGHT.items()}
    kinds |= {text: ("Custom::PostgresExtensions", TOKEN, text) for text in WRONG}
    kinds |= {key: key for key in OTHERS}
    for number, (key, (kind, token, text)) in enumerate(kinds.items()):
        properties = textwrap.indent(textwrap.dedent(text).strip(), 6 * " ")
        path = folder / f"{number}.yaml"
        path.write_text(HEAD.format(type=kind, token=token) + properties + "\n")
        names[str(path)] = key
    code, output, both = run(".venv-tools/bin/cfn-lint", "--format", "json",
                             "--append-rules", RULES, "--", *names)  # fmt: skip
    assert code in (0, 2, 4, 6, 8, 10, 12, 14), both
    results = {key: [] for key in kinds}
    for match in json.loads(output):
        if match["Rule"]["Id"] in ("E9701", "E9702", "E9703", "E0002"):
            results[names[match["Filename"]]].append((match["Rule"]["Id"], match["Message"]))
    return results


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_template_is_clean(found, name):
    assert found[name] == []


@pytest.mark.parametrize("properties", WRONG)
def test_a_mistake_is_found_once(found, properties):
    rule, words = WRONG[properties]
    (found_rule, message), = found[properties]
    assert found_rule == rule
    assert words in message


@pytest.mark.parametrize("resource", OTHERS)
def test_the_rules_know_which_resources_are_ours(found, resource):
    assert bool(found[resource]) == OTHERS[resource]


def test_the_rules_know_the_properties_that_the_function_knows():
    with open(os.path.join(ROOT, "src", "cloudformation", "properties.rs")) as source:
        listed = re.search(r"const PROPERTIES: [^=]*= \[(.*?)\];", source.read(), re.DOTALL)[1]
    with open(os.path.join(ROOT, RULES, "postgres_extensions.py")) as source:
        known = re.search(r"\nPROPERTIES = \((.*?)\n\)", source.read(), re.DOTALL)[1]
    names = re.compile(r'"(\w+)"')
    assert names.findall(known) == names.findall(listed)
