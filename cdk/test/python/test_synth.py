"""The wheel, as a program in Python uses it, with the oldest release of the CDK that it allows."""

import importlib.metadata
import json
import os
import re
import subprocess
import sys

import aws_cdk as cdk
import pytest
from aws_cdk import assertions, aws_ec2 as ec2, aws_kms as kms, aws_rds as rds, aws_secretsmanager

from cfn_postgres_extensions import (
    DatabaseAuthentication,
    ExtensionOptions,
    ExtensionsRemovalPolicy,
    ExtensionVersion,
    PostgresExtensions,
    PostgresExtensionsProvider,
)

TYPE = "Custom::PostgresExtensions"


@pytest.fixture
def stack():
    return cdk.Stack(cdk.App(), "Stack")


def cluster(stack, **properties):
    version = rds.AuroraPostgresEngineVersion.VER_16_6
    return rds.DatabaseCluster(
        stack,
        "Cluster",
        engine=rds.DatabaseClusterEngine.aurora_postgres(version=version),
        writer=rds.ClusterInstance.serverless_v2("Writer"),
        vpc=ec2.Vpc(stack, "Vpc"),
        **properties,
    )


def template(stack):
    return assertions.Template.from_stack(stack)


def test_the_cdk_is_the_oldest_that_the_wheel_allows():
    (required,) = (
        re.search(r">=([0-9.]+)", line)[1]
        for line in importlib.metadata.requires("cfn-postgres-extensions")
        if line.startswith("aws-cdk-lib")
    )
    assert importlib.metadata.version("aws-cdk-lib") == required


def test_a_cluster_with_every_form_of_a_version(stack):
    key = kms.Key(stack, "Key")
    credentials = rds.Credentials.from_generated_secret("master", encryption_key=key)
    database = cluster(stack, credentials=credentials)
    extensions = PostgresExtensions(
        stack,
        "Extensions",
        cluster=database,
        removal_policy=ExtensionsRemovalPolicy.DROP,
        service_timeout=cdk.Duration.minutes(15),
        extensions={
            "postgis": "3.4.3",
            "hstore": ExtensionVersion.LATEST,
            "pg_trgm": ExtensionVersion.matching("1.*"),
            "vector": ExtensionOptions(version=ExtensionVersion.ANY, schema="extensions"),
            "citext": ExtensionOptions(schema="extensions"),
            "cube": {"version": "1.5", "schema": "extensions"},
            "*": "any",
        },
    )
    cdk.CfnOutput(stack, "PostGIS", value=extensions.version("postgis"))
    cdk.CfnOutput(stack, "Changes", value=extensions.changes)
    synthesized = template(stack)
    (resource,) = synthesized.find_resources(TYPE).values()
    assert resource["Properties"]["PluginsMap"] == {
        "postgis": "3.4.3",
        "hstore": "latest",
        "pg_trgm": "1.*",
        "vector": {"Version": "any", "Schema": "extensions"},
        "citext": {"Version": "any", "Schema": "extensions"},
        "cube": {"Version": "1.5", "Schema": "extensions"},
        "*": "any",
    }
    assert resource["Properties"]["RemovalPolicy"] == "Drop"
    assert resource["Properties"]["ServiceTimeout"] == "900"
    (policy,) = (
        policy["Properties"]["PolicyDocument"]["Statement"]
        for name, policy in synthesized.find_resources("AWS::IAM::Policy").items()
        if name.startswith("ExtensionsPolicy")
    )
    assert [statement["Action"] for statement in policy] == ["secretsmanager:GetSecretValue", "kms:Decrypt"]


def test_the_example(tmp_path):
    example = os.path.join(os.path.dirname(__file__), "..", "..", "examples", "aurora.py")
    environment = {**os.environ, "CDK_OUTDIR": str(tmp_path)}
    subprocess.run([sys.executable, example], env=environment, check=True)
    resources = json.loads((tmp_path / "Database.template.json").read_text())["Resources"]
    (resource,) = (one for one in resources.values() if one["Type"] == TYPE)
    assert resource["Properties"]["PluginsMap"]["vector"] == {"Version": "latest", "Schema": "tools"}


def test_iam(stack):
    PostgresExtensions(
        stack,
        "Extensions",
        cluster=cluster(stack, iam_authentication=True),
        authentication=DatabaseAuthentication.IAM,
        username="deployer",
        extensions={"postgis": ExtensionVersion.ANY},
    )
    template(stack).has_resource_properties(TYPE, {"Authentication": "IAM", "Username": "deployer"})


def test_a_provider_that_is_there_already(stack):
    token = cdk.Fn.import_value("postgres-extensions-ServiceToken")
    provider = PostgresExtensionsProvider.from_service_token(stack, "Provider", token)
    secret = aws_secretsmanager.Secret.from_secret_name_v2(stack, "Secret", "app")
    PostgresExtensions(stack, "Extensions", provider=provider, secret=secret, extensions={})
    expected = {"ServiceToken": {"Fn::ImportValue": "postgres-extensions-ServiceToken"}}
    template(stack).has_resource_properties(TYPE, expected)


def test_two_constructs_share_a_provider_in_the_same_subnets(stack):
    vpc = ec2.Vpc(stack, "Vpc")
    for name in ("One", "Other"):
        PostgresExtensions(
            stack,
            name,
            secret=aws_secretsmanager.Secret.from_secret_name_v2(stack, f"{name}Secret", name),
            vpc=vpc,
            vpc_subnets=ec2.SubnetSelection(subnets=vpc.private_subnets),
            extensions={},
        )
    functions = template(stack).find_resources("AWS::Lambda::Function", {"Properties": {"Handler": "bootstrap"}})
    assert len(functions) == 1


@pytest.mark.parametrize("entry", [1.1, {"version": 1.1}])
def test_a_number_as_a_version_is_refused(stack, entry):
    provider = PostgresExtensionsProvider(stack, "Provider")
    secret = aws_secretsmanager.Secret(stack, "Secret")
    with pytest.raises((TypeError, RuntimeError), match="hstore"):
        PostgresExtensions(stack, "Extensions", provider=provider, secret=secret, extensions={"hstore": entry})
        template(stack)


def test_a_key_of_the_custom_resource_is_refused(stack):
    provider = PostgresExtensionsProvider(stack, "Provider")
    secret = aws_secretsmanager.Secret(stack, "Secret")
    entries = {"hstore": {"Version": "1.8"}}
    PostgresExtensions(stack, "Extensions", provider=provider, secret=secret, extensions=entries)
    with pytest.raises(RuntimeError, match="`hstore` has neither `version` nor `schema`"):
        template(stack)


def test_problems_come_at_once(stack):
    provider = PostgresExtensionsProvider(stack, "Provider")
    PostgresExtensions(stack, "Extensions", provider=provider, extensions={"hstore": "*"}, databases=[])
    with pytest.raises(RuntimeError) as raised:
        template(stack)
    for message in ("no server is given", "the version of `hstore` is `*`", "`databases` is an empty list"):
        assert message in str(raised.value)
