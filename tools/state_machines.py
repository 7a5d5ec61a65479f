"""Checks the state machines of templates: `state_machines.py TEMPLATE...`, part of `make lint`.

A definition is checked as it is deployed: its substitutions filled in. npm's asl-validator knows
the language; what it does not know is checked here, by botocore's models of the services."""

import functools
import json
import os
import re
import subprocess
import sys
import tempfile

import botocore.session
import yaml

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VALIDATOR = os.path.join(ROOT, "tests", "fleet", "node_modules", ".bin", "asl-validator")
TYPES = ("AWS::Serverless::StateMachine", "AWS::StepFunctions::StateMachine")
PLACEHOLDER = re.compile(r"\$\{(\w+)\}")
# Services of aws-sdk tasks: their name in botocore, and before the names of their errors.
SERVICES = {
    "dynamodb": ("dynamodb", "DynamoDb"),
    "rds": ("rds", "Rds"),
    "secretsmanager": ("secretsmanager", "SecretsManager"),
    "sfn": ("stepfunctions", "Sfn"),
}
# The functions of JSONata 2.0.6, and those that Step Functions adds.
FUNCTIONS = set(
    "abs append assert average base64decode base64encode boolean ceil clone contains count "
    "decodeUrl decodeUrlComponent distinct each encodeUrl encodeUrlComponent error eval exists "
    "filter floor formatBase formatInteger formatNumber fromMillis join keys length lookup "
    "lowercase map match max merge millis min not now number pad parseInteger power random "
    "reduce replace reverse round shuffle sift single sort split spread sqrt string substring "
    "substringAfter substringBefore sum toMillis trim type uppercase zip "
    "hash parse partition range uuid".split()
)


class Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short forms: `!Ref X` is `{"!Ref": "X"}`."""


def _short_form(loader, suffix, node):
    kinds = {
        yaml.ScalarNode: loader.construct_scalar,
        yaml.SequenceNode: lambda one: loader.construct_sequence(one, deep=True),
        yaml.MappingNode: lambda one: loader.construct_mapping(one, deep=True),
    }
    return {f"!{suffix}": kinds[type(node)](node)}


Loader.add_multi_constructor("!", _short_form)


def read(path):
    with open(path) as source:
        return yaml.load(source, Loader)


def state_machines(template):
    """Of a template: (logical id, definition with its substitutions, problems) of each."""
    for name, resource in read(template)["Resources"].items():
        if resource["Type"] not in TYPES:
            continue
        properties = resource["Properties"]
        definition = properties.get("Definition")
        if definition is None:
            path = os.path.join(os.path.dirname(template), properties["DefinitionUri"])
            definition = read(path)
        given = properties.get("DefinitionSubstitutions", {})
        used = set(PLACEHOLDER.findall(json.dumps(definition)))
        problems = [f"`${{{one}}}` is not in DefinitionSubstitutions" for one in used - set(given)]
        problems += [f"the substitution `{one}` is not used" for one in set(given) - used]
        yield name, _substituted(definition, given), problems


def _substituted(value, given):
    """As deployed: each substitution has a value, an ARN where its name says so."""
    if isinstance(value, dict):
        return {key: _substituted(one, given) for key, one in value.items()}
    if isinstance(value, list):
        return [_substituted(one, given) for one in value]
    if not isinstance(value, str):
        return value
    return PLACEHOLDER.sub(lambda found: _sample(found[1], given.get(found[1])), value)


def _sample(name, value):
    if isinstance(value, str):
        return value
    if name == "Partition":
        return "aws"
    return f"arn:aws:service:region:000000000000:{name}" if name.endswith("Arn") else name


def folded(value):
    """The same for asl-validator, which takes an expression on one line and no empty string."""
    if isinstance(value, dict):
        return {key: folded(one) for key, one in value.items()}
    if isinstance(value, list):
        return [folded(one) for one in value]
    if isinstance(value, str) and value.lstrip().startswith("{%"):
        return re.sub(r"\s+", " ", value).strip()
    return "-" if value == "" else value


def unseen_variables(definition):
    """Variables that are used and that nothing assigns: no state, or none of a child of a
    Distributed Map, an execution of its own that sees none of the variables outside."""
    for name in _unassigned(definition):
        yield f"no state assigns the variable `${name}`"
    for state in _states(definition):
        processor = state.get("ItemProcessor", {})
        if processor.get("ProcessorConfig", {}).get("Mode") == "DISTRIBUTED":
            for name in _unassigned(processor):
                yield f"a child of a Distributed Map does not see the variable `${name}`"


def _unassigned(part):
    assigned = {key.removesuffix(".$") for _, assign in _assignments(part) for key in assign}
    used = {name for one in _expressions(part) for name in _variables(one)}
    return sorted(used - assigned - FUNCTIONS - {"states"})


def _variables(expression):
    """The names behind a $ in an expression, but for those that it defines itself."""
    local = set(re.findall(r"\$(\w+)\s*:=", expression))
    for parameters in re.findall(r"(?:function|λ)\s*\(([^)]*)\)", expression):
        local.update(re.findall(r"\$(\w+)", parameters))
    text = re.sub(r'"[^"]*"|\'[^\']*\'|/\*.*?\*/', "", expression, flags=re.S)
    return set(re.findall(r"\$([A-Za-z_]\w*)", text)) - local


def ordered_assignments(definition):
    """Variables that an `Assign` sets and that another key of it reads. On AWS all of an `Assign`
    sees the old values; the local AWS sets one after the other, in an order that tools change."""
    for state, assign in _assignments(definition):
        for key, value in assign.items():
            used = {name for one in _expressions(value) for name in _variables(one)}
            for name in sorted(used & set(assign) - {key}):
                yield f"{state}: `{key}` reads `${name}`, which the same Assign sets"


def unknown_names(definition):
    """Names in aws-sdk tasks that the service does not have: of its action, arguments, results and
    errors. The local AWS takes others too, Step Functions those of the AWS SDK for Java 2 alone."""
    for name, state in _named_states(definition):
        task = re.fullmatch(r"arn:[\w-]+:states:::aws-sdk:(\w+):(\w+)", state.get("Resource", ""))
        if not task:
            continue
        service, prefix = SERVICES[task[1]]
        model = service_model(service)
        action = task[2][0].upper() + task[2][1:]
        if action not in model.operation_names:
            yield f"{name}: {task[1]} has no action `{task[2]}`"
            continue
        operation = model.operation_model(action)
        for path in unknown_arguments(state.get("Arguments"), operation.input_shape):
            yield f"{name}: {action} has no argument `{path}`"
        results = {java(member) for member in operation.output_shape.members}
        text = json.dumps([state.get("Assign"), state.get("Output")])
        for result in sorted({*re.findall(r"\$states\.result\.(\w+)", text)} - results):
            yield f"{name}: the result of {action} has no `{result}`"
        errors = {re.sub("(Fault|Exception)$", "", java(one.name)) for one in model.error_shapes}
        errors = {f"{prefix}.{one}Exception" for one in (*errors, prefix)}
        for rule in (*state.get("Retry", ()), *state.get("Catch", ())):
            for error in rule["ErrorEquals"]:
                if not error.startswith("States.") and error not in errors:
                    yield f"{name}: {task[1]} has no error `{error}`"


@functools.cache
def service_model(service):
    return botocore.session.get_session().get_service_model(service)


def java(name):
    """A name of a service's model as the AWS SDK for Java 2 and Step Functions write it."""
    name = "Nul" if name == "NULL" else name[0].upper() + name[1:]
    return re.sub("[A-Z]{2,}(?=[A-Z][a-z]|$)", lambda word: word[0].capitalize(), name)


def unknown_arguments(value, shape, path=""):
    """The paths of keys that a shape does not have; expressions are not followed."""
    if shape.type_name == "structure" and isinstance(value, dict):
        members = {java(name): member for name, member in shape.members.items()}
        for key, one in value.items():
            if key in members:
                yield from unknown_arguments(one, members[key], f"{path}{key}.")
            else:
                yield path + key
    elif shape.type_name == "map" and isinstance(value, dict):
        for key, one in value.items():
            yield from unknown_arguments(one, shape.value, f"{path}{key}.")
    elif shape.type_name == "list" and isinstance(value, list):
        for one in value:
            yield from unknown_arguments(one, shape.member, path)


def _named_states(definition):
    """Every state with its name, those of branches and of item processors included."""
    for name, state in definition.get("States", {}).items():
        yield name, state
        for inner in (state.get("ItemProcessor"), *state.get("Branches", ())):
            if inner:
                yield from _named_states(inner)


def _states(definition):
    return (state for _, state in _named_states(definition))


def _assignments(definition):
    """Every `Assign` with the name of its state."""
    for name, state in _named_states(definition):
        for one in (state, *state.get("Catch", ()), *state.get("Choices", ())):
            if "Assign" in one:
                yield name, one["Assign"]


def _expressions(value):
    if isinstance(value, dict):
        for one in value.values():
            yield from _expressions(one)
    elif isinstance(value, list):
        for one in value:
            yield from _expressions(one)
    elif isinstance(value, str) and value.lstrip().startswith("{%"):
        yield value


def validator_errors(definition):
    """What asl-validator says against a definition; empty where it is valid."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "definition.json")
        with open(path, "w") as out:
            json.dump(folded(definition), out)
        done = subprocess.run(
            ["node", VALIDATOR, "--json-path", path],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    return done.stdout.strip() if done.returncode else ""


def problems(template):
    """All that is wrong with the state machines of a template, one sentence each."""
    for name, definition, found in state_machines(template):
        found += unseen_variables(definition)
        found += ordered_assignments(definition)
        found += unknown_names(definition)
        if text := validator_errors(definition):
            found.append(text)
        yield from (f"{template}: {name}: {one}" for one in found)


if __name__ == "__main__":
    found = [problem for template in sys.argv[1:] for problem in problems(template)]
    if found:
        sys.exit("\n".join(found))
