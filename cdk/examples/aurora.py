import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2, aws_rds as rds
from cfn_postgres_extensions import ExtensionOptions, ExtensionVersion, PostgresExtensions

app = cdk.App()
stack = cdk.Stack(app, "Database")
cluster = rds.DatabaseCluster(
    stack,
    "Cluster",
    engine=rds.DatabaseClusterEngine.aurora_postgres(version=rds.AuroraPostgresEngineVersion.VER_16_6),
    writer=rds.ClusterInstance.serverless_v2("Writer"),
    vpc=ec2.Vpc(stack, "Vpc"),
    default_database_name="app",
)
extensions = PostgresExtensions(
    stack,
    "Extensions",
    cluster=cluster,
    extensions={
        "postgis": "3.4.3",
        "pgcrypto": ExtensionVersion.ANY,
        "vector": ExtensionOptions(version=ExtensionVersion.LATEST, schema="tools"),
    },
)
cdk.CfnOutput(stack, "PostGIS", value=extensions.version("postgis"))
app.synth()
