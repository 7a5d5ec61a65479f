"""The Python original, written anew from what it is known to do: one extension after another.

Secrets Manager through boto3, the database through psycopg2, the response through urllib3. Where a
choice was open, the cheaper one was taken: no transaction (its BEGIN and COMMIT would be two more
round trips), a connection that is encrypted but checks no certificate, clients made once.
"""

import json

import boto3
import psycopg2
import urllib3

http = urllib3.PoolManager()
secrets = boto3.client("secretsmanager")

INSTALLED = "SELECT extname FROM pg_extension ORDER BY extname"


def install(properties):
    """Installs the extensions of the map; returns what is installed then."""
    secret = json.loads(secrets.get_secret_value(SecretId=properties["DBSecret"])["SecretString"])
    connection = psycopg2.connect(
        host=secret["host"],
        port=secret["port"],
        user=secret["username"],
        password=secret["password"],
        dbname=properties.get("Databases", secret["dbname"]),
        sslmode="require",
    )
    connection.autocommit = True
    try:
        cursor = connection.cursor()
        cursor.execute(INSTALLED)
        print(f"BEFORE: {[name for name, in cursor.fetchall()]}")
        for name, version in properties["PluginsMap"].items():
            print(f"Installing plugin {name} version {version} ...")
            cursor.execute(f'CREATE EXTENSION IF NOT EXISTS "{name}" VERSION \'{version}\'')
        cursor.execute(INSTALLED)
        after = [name for name, in cursor.fetchall()]
        print(f"AFTER: {after}")
        return after
    finally:
        connection.close()


def handler(event, context):
    """Responds to CloudFormation's event."""
    status, reason, data = "SUCCESS", "", {}
    try:
        if event["RequestType"] != "Delete":
            data = {"Installed": ",".join(install(event["ResourceProperties"]))}
    except Exception as error:
        status, reason = "FAILED", str(error)
    response = {
        "Status": status,
        "Reason": reason or f"see {context.log_stream_name}",
        "PhysicalResourceId": event.get("PhysicalResourceId") or context.log_stream_name,
        "StackId": event["StackId"],
        "RequestId": event["RequestId"],
        "LogicalResourceId": event["LogicalResourceId"],
        "Data": data,
    }
    body = json.dumps(response).encode()
    http.request("PUT", event["ResponseURL"], body=body, headers={"Content-Type": "", "Content-Length": str(len(body))})
