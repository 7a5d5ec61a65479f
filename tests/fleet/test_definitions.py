"""What `make lint` says of state machines: tools/state_machines.py, on definitions with mistakes."""

import pytest
import state_machines

TEMPLATE = """
Resources:
  Machine:
    Type: AWS::Serverless::StateMachine
    Properties:
      DefinitionUri: machine.asl.yaml
      DefinitionSubstitutions:
        Partition: !Ref AWS::Partition
        TableName: !Ref Table
"""
DEFINITION = """
StartAt: Read
States:
  Read:
    Type: Task
    QueryLanguage: JSONata
    Resource: arn:${Partition}:states:::aws-sdk:dynamodb:query
    Arguments:
      TableName: ${TableName}
      ExpressionAttributeValues: { ':run': { S: x } }
    Retry:
      - { ErrorEquals: [DynamoDb.ProvisionedThroughputExceededException], MaxAttempts: 2 }
    Assign:
      stopped: >-
        {% $states.result.Count
           > 0 %}
      token: ''
    Output: '{% {"Items": $states.result.Items} %}'
    Next: Each
  Each:
    Type: Map
    ItemsPath: $.Items
    ToleratedFailurePercentage: 100
    ItemProcessor:
      ProcessorConfig:
        Mode: DISTRIBUTED
        ExecutionType: STANDARD
      StartAt: Change
      States:
        Change:
          Type: Pass
          QueryLanguage: JSONata
          Output: '{% ($name := $states.input.Name; $name) %}'
          End: true
    End: true
"""


@pytest.fixture
def problems(tmp_path):
    """The problems of TEMPLATE with DEFINITION, in which a text is replaced by another."""

    def problems(old="", new=""):
        assert old in DEFINITION
        (tmp_path / "template.yaml").write_text(TEMPLATE)
        (tmp_path / "machine.asl.yaml").write_text(DEFINITION.replace(old, new, 1))
        return list(state_machines.problems(str(tmp_path / "template.yaml")))

    return problems


def test_a_definition_without_a_mistake_has_no_problems(problems):
    assert problems() == []


def test_a_variable_may_be_assigned_from_its_own_value(problems):
    assert problems("token: ''", "token: '{% $token & 1 %}'") == []


@pytest.mark.parametrize("old, new, expected", [
    pytest.param("Next: Each", "Next: Eech", "Eech", id="a state that is not there"),
    pytest.param("Type: Map", "Type: Mop", "Each", id="a type that is none"),
    pytest.param("Arguments:", "Parameters:", "Read", id="a field of the other query language"),
    pytest.param("> 0 %}", "> 0) %}", "Read", id="an expression that cannot be parsed"),
    pytest.param("ItemsPath: $.Items", "ItemsPath: $.Items[", "ItemsPath", id="a path"),
    pytest.param("${TableName}", "${Table}", "`${Table}` is not in", id="an unknown substitution"),
    pytest.param("${TableName}", "name", "`TableName` is not used", id="an unused substitution"),
    pytest.param("dynamodb:query", "dynamodb:qeury", "no action `qeury`", id="an action"),
    pytest.param("      TableName", "      Table", "no argument `Table`", id="an argument"),
    pytest.param("{ S: x }", "{ BOOL: true }", "no argument `ExpressionAttributeValues.:run.BOOL`",
                 id="an argument as the service has it"),
    pytest.param("result.Count", "result.Total", "result of Query has no `Total`", id="a result"),
    pytest.param("ExceededException", "Exceeded", "has no error `DynamoDb.", id="an error"),
    pytest.param("$name)", "$nam)", "no state assigns the variable `$nam`", id="no variable"),
    pytest.param("$name)", "$stopped)", "does not see the variable `$stopped`", id="a variable"),
    pytest.param("token: ''", "token: ['{% $not($stopped) %}']",
                 "Read: `token` reads `$stopped`, which the same Assign sets", id="the order"),
])  # fmt: skip
def test_a_mistake_is_a_problem(problems, old, new, expected):
    found = problems(old, new)
    assert found
    assert expected in "\n".join(found)
