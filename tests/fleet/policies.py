"""What policies are asked for, as AWS's service authorization reference has it, where ministack
knows less; emulator.py imports it.

- To delete a snapshot of RDS is an action on the snapshot, to create one an action on both the
  snapshot and its instance or cluster. ministack knows instances and clusters alone.
- To create one with tags is `rds:AddTagsToResource` on the snapshot too.
- `aws:ResourceTag` holds the tags of a resource of RDS.
- `dynamodb:Attributes` holds the attributes of an item's key and of the expressions that change it.
"""

import json
import re

from ministack.core import iam_actions, iam_evaluator
from ministack.services import rds, tagging

SNAPSHOTS = {"DBSnapshotIdentifier": "snapshot", "DBClusterSnapshotIdentifier": "cluster-snapshot"}


# A path of an expression, of which its top level counts; no value (:x).
ATTRIBUTE = re.compile(r"(?<![\w.:#])(#?[A-Za-z]\w*)(?!\w*\s*\()")
WORDS = {"SET", "REMOVE", "ADD", "DELETE", "AND", "OR", "NOT", "BETWEEN", "IN"}


class Checks(str):
    """The resource of a request; `more`: the further (action, resource) that it needs, None for the
    request's own action."""

    more = ()


def extract_resource_arn(service, method, path, headers, body, query, region, account):
    found = original_extract(service, method, path, headers, body, query, region, account)
    if service != "rds":
        return found
    for parameter, kind in SNAPSHOTS.items():
        name = iam_actions._query_param(query, parameter)
        if not name:
            continue
        snapshot = f"arn:aws:rds:{region}:{account}:{kind}:{name}"
        if found == "*":
            return snapshot
        found = Checks(found)
        found.more = [(None, snapshot)]
        if any(key.startswith("Tags.") for key in query):
            found.more.append(("rds:AddTagsToResource", snapshot))
    return found


def enforce(key, action, service, region, resource_arn="*", service_context=None):
    checks = [(None, resource_arn), *getattr(resource_arn, "more", ())]
    for other, resource in checks:
        denied = original_enforce(
            key, other or action, service, region, str(resource), service_context
        )
        if denied:
            return denied
    return None


def dynamodb_service_context(body):
    context = original_context(body)
    request = json.loads(body or b"{}")
    names = request.get("ExpressionAttributeNames", {})
    found = {*request.get("Key", ()), *context.get("dynamodb:Attributes", ())}
    for expression in ("UpdateExpression", "ConditionExpression"):
        for name in ATTRIBUTE.findall(request.get(expression, "")):
            if name.upper() not in WORDS:
                found.add(names.get(name, name))
    return {**context, "dynamodb:Attributes": sorted(found)} if found else context


original_context = iam_actions.dynamodb_service_context
original_extract = iam_actions.extract_resource_arn
original_enforce = iam_evaluator.enforce
iam_actions.dynamodb_service_context = dynamodb_service_context
iam_actions.extract_resource_arn = extract_resource_arn
iam_evaluator.enforce = enforce
tagging._RESOURCE_TAG_COLLECTORS["rds"] = lambda: list(rds._tags.items())
