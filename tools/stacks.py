"""Stacks in the local AWS: deployed, deleted, and watched until the operation ends."""

import contextlib
import json

CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]


class Outcome:
    """How an operation on a stack ended."""

    def __init__(self):
        self.status = None
        self.messages = []  # what the function logged meanwhile
        self.reasons = []  # of the events that say FAILED


class Stacks:
    """Deploys and deletes. `on_event` gets each stack event, `on_record` each parsed line that the
    function logged, in the order of time."""

    def __init__(self, aws, log_group=None, on_event=None, on_record=None):
        self.aws = aws
        self.log_group = log_group
        self.on_event = on_event or (lambda event: None)
        self.on_record = on_record or (lambda record: None)
        self.cloudformation = aws.client("cloudformation")
        self.seen = set()

    def outputs(self, name):
        found = self._describe(StackName=name)[0].get("Outputs", [])
        return {output["OutputKey"]: output["OutputValue"] for output in found}

    def physical_ids(self, name):
        found = self.cloudformation.describe_stack_resources(StackName=name)["StackResources"]
        return {one["LogicalResourceId"]: one["PhysicalResourceId"] for one in found}

    def deploy(self, name, template, parameters):
        """Create the stack, or update it where it exists; returns the Outcome."""
        exists = name in [stack["StackName"] for stack in self._describe()]
        act = self.cloudformation.update_stack if exists else self.cloudformation.create_stack
        self._new_records()  # of the past
        if exists:
            self._new_events(name)
        stack_id = act(
            StackName=name,
            TemplateBody=template,
            Parameters=[
                {"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()
            ],
            Capabilities=CAPABILITIES,
        )["StackId"]
        return self._watch(name, stack_id)

    def delete(self, name):
        """Delete the stack; returns the Outcome."""
        self._new_records()
        stack_id = self._describe(StackName=name)[0]["StackId"]
        self.cloudformation.delete_stack(StackName=name)
        return self._watch(name, stack_id)

    def _describe(self, **which):
        return self.cloudformation.describe_stacks(**which)["Stacks"]

    def _watch(self, name, stack_id):
        outcome = Outcome()

        def ended():
            # What a function logged stands before the event that its response brought about.
            entries = [(one["Timestamp"].timestamp(), 1, one) for one in self._new_events(stack_id)]
            entries += [(when, 0, record) for when, record in self._new_records()]
            for _, is_event, entry in sorted(entries, key=lambda entry: entry[:2]):
                if not is_event:
                    outcome.messages.append(entry["message"])
                    self.on_record(entry)
                    continue
                self.on_event(entry)
                status = entry["ResourceStatus"]
                if status.endswith("_FAILED"):
                    outcome.reasons.append(entry.get("ResourceStatusReason", ""))
                is_final = not status.endswith(("_IN_PROGRESS", "CREATE_FAILED", "UPDATE_FAILED"))
                if entry["LogicalResourceId"] == name and is_final:
                    outcome.status = status
            return outcome.status

        self.aws.wait_for(f"the operation on {stack_id} ends", ended)
        return outcome

    def _new_events(self, stack):
        """The stack's new events, the oldest first."""
        pages = self.cloudformation.get_paginator("describe_stack_events").paginate(StackName=stack)
        events = [event for page in pages for event in page["StackEvents"]]
        new = [event for event in reversed(events) if event["EventId"] not in self.seen]
        self.seen.update(event["EventId"] for event in new)
        return new

    def _new_records(self):
        """The function's new log lines: (seconds, the parsed line)."""
        records, places = [], {}
        for event in self.aws.log_events(self.log_group) if self.log_group else []:
            # ministack's log events have no id: the place in the stream identifies them.
            stream = event["logStreamName"]
            places[stream] = places.get(stream, 0) + 1
            if (stream, places[stream]) in self.seen:
                continue
            self.seen.add((stream, places[stream]))
            # Lambda's own START, END and REPORT are no JSON.
            with contextlib.suppress(ValueError):
                records.append((event["timestamp"] / 1000, json.loads(event["message"])))
        return records


def evaluate(node, template, given):
    """The value of Ref, Fn::If, Fn::Not and Fn::Equals with these parameters; None is AWS::NoValue."""
    if not isinstance(node, dict) or len(node) > 1:
        return node
    (function, argument), = node.items()
    if function == "Ref":
        default = template["Parameters"].get(argument, {}).get("Default")
        return None if argument == "AWS::NoValue" else given.get(argument, default)
    if function == "Fn::If":
        chosen = evaluate(template["Conditions"][argument[0]], template, given)
        return evaluate(argument[1 if chosen else 2], template, given)
    values = [evaluate(one, template, given) for one in argument]
    return {"Fn::Not": lambda: not values[0], "Fn::Equals": lambda: values[0] == values[1]}[function]()
