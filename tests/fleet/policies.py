"""ministack's policies for RDS as AWS's service authorization reference has them; emulator.py imports
it. ministack knows instances and clusters alone: a policy that is bound to the names and tags of
snapshots would let nothing through.

- To delete a snapshot is an action on the snapshot, to create one an action on both the snapshot and its
  instance or cluster.
- To create one with tags is `rds:AddTagsToResource` on the snapshot too.
- `aws:ResourceTag` holds the tags of the resource.
"""

from ministack.core import iam_actions, iam_evaluator
from ministack.services import rds, tagging

SNAPSHOTS = {"DBSnapshotIdentifier": "snapshot", "DBClusterSnapshotIdentifier": "cluster-snapshot"}


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


original_extract = iam_actions.extract_resource_arn
original_enforce = iam_evaluator.enforce
iam_actions.extract_resource_arn = extract_resource_arn
iam_evaluator.enforce = enforce
tagging._RESOURCE_TAG_COLLECTORS["rds"] = lambda: list(rds._tags.items())
