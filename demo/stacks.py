"""Stacks in the local AWS: deployed, and watched as they go."""

import contextlib
import json
import time

from machine import Trouble

CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]
PATIENCE = 180  # seconds


class Outcome:
    """How an operation on a stack ended."""

    def __init__(self):
        self.status = None
        self.logged = []  # the function's log lines, parsed
        self.reasons = []  # of the events that say FAILED

    def messages(self):
        return [record["message"] for record in self.logged]


class Stacks:
    """Deploys and deletes; prints stack events, and between them what the function logged."""

    def __init__(self, screen, aws, function_log=None):
        self.screen = screen
        self.cloudformation = aws.client("cloudformation")
        self.logs = aws.client("logs")
        self.emulator_log = aws.tail
        self.function_log = function_log
        self.seen = set()

    def exists(self, name):
        return name in [stack["StackName"] for stack in self._describe()]

    def outputs(self, name):
        found = self._describe(StackName=name)[0].get("Outputs", [])
        return {output["OutputKey"]: output["OutputValue"] for output in found}

    def physical_ids(self, name):
        found = self.cloudformation.describe_stack_resources(StackName=name)["StackResources"]
        return {one["LogicalResourceId"]: one["PhysicalResourceId"] for one in found}

    def exports(self):
        found = self.cloudformation.list_exports()["Exports"]
        return {export["Name"]: export["Value"] for export in found}

    def deploy(self, name, template, parameters):
        """Create the stack, or update it where it exists; returns the Outcome."""
        act = self.cloudformation.create_stack
        if self.exists(name):
            act = self.cloudformation.update_stack
            self.skip_the_past(name)
        stack_id = act(
            StackName=name,
            TemplateBody=template,
            Parameters=[
                {"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()
            ],
            Capabilities=CAPABILITIES,
        )["StackId"]
        return self._watch(stack_id)

    def delete(self, name):
        stack_id = self._describe(StackName=name)[0]["StackId"]
        self.cloudformation.delete_stack(StackName=name)
        return self._watch(stack_id)

    def skip_the_past(self, name):
        """Take what the stack and the function did so far as seen."""
        self.seen.update(event["EventId"] for event in self._events(name))
        self._records()

    def _describe(self, **which):
        return self.cloudformation.describe_stacks(**which)["Stacks"]

    def _events(self, stack):
        pages = self.cloudformation.get_paginator("describe_stack_events").paginate(StackName=stack)
        return [event for page in pages for event in page["StackEvents"]]

    def _watch(self, stack_id):
        outcome = Outcome()
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            events = [one for one in self._events(stack_id) if one["EventId"] not in self.seen]
            self.seen.update(event["EventId"] for event in events)
            # What a function logged comes before the event that its answer brought about.
            entries = [(event["Timestamp"].timestamp(), 1, event) for event in reversed(events)]
            entries += [(when, 0, record) for when, record in self._records()]
            for _, is_event, entry in sorted(entries, key=lambda entry: entry[:2]):
                if not is_event:
                    outcome.logged.append(entry)
                    self._show_record(entry)
                    continue
                self._show_event(entry)
                status = entry["ResourceStatus"]
                if status.endswith("_FAILED"):
                    outcome.reasons.append(entry.get("ResourceStatusReason", ""))
                if entry["LogicalResourceId"] == entry["StackName"] and is_final(status):
                    outcome.status = status
            if outcome.status:
                return outcome
            time.sleep(0.2)
        raise Trouble(
            f"the stack came to no end within {PATIENCE} s; the local AWS says:\n"
            + self.emulator_log()
        )

    def _records(self):
        """The function's new log lines: (seconds, the parsed line)."""
        if self.function_log is None:
            return []
        records, places = [], {}
        with contextlib.suppress(self.logs.exceptions.ResourceNotFoundException):
            pages = self.logs.get_paginator("filter_log_events").paginate(
                logGroupName=self.function_log
            )
            for event in (event for page in pages for event in page["events"]):
                # ministack's log events have no id: the place in the stream will do.
                stream = event["logStreamName"]
                places[stream] = places.get(stream, 0) + 1
                if (stream, places[stream]) in self.seen:
                    continue
                self.seen.add((stream, places[stream]))
                # Lambda's own START, END and REPORT are no JSON.
                with contextlib.suppress(ValueError):
                    records.append((event["timestamp"] / 1000, json.loads(event["message"])))
        return records

    def _show_event(self, event):
        status = event["ResourceStatus"]
        style = "yellow"
        if "FAILED" in status or "ROLLBACK" in status:
            style = "red"
        elif status.endswith("_COMPLETE"):
            style = "green"
        self.screen.line(
            f"  {event['Timestamp']:%H:%M:%S}  {self.screen.paint(f'{status:<28}', style)}  "
            f"{event['LogicalResourceId']:<25}  {self.screen.paint(event['ResourceType'], 'dim')}"
        )
        reason = event.get("ResourceStatusReason")
        if reason and status.endswith("_FAILED"):
            self.screen.wrapped(reason, "red")

    def _show_record(self, record):
        # Not the request's frame, nor a failure: that is the reason of the event that follows.
        if "database" in record or record["level"] == "WARN":
            place = f"{record['database']}: " if "database" in record else ""
            style = "yellow" if record["level"] == "WARN" else "cyan"
            self.screen.line(f"{'':12}{place}{record['message']}", style)


def is_final(status):
    """Whether a stack's own status is the last of its operation."""
    return not status.endswith(("_IN_PROGRESS", "CREATE_FAILED", "UPDATE_FAILED"))
