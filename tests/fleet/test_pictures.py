"""The pictures in docs/fleet.md are of the definitions."""

import picture

REMEDY = "run `.venv/bin/python tools/picture.py`, and commit docs/fleet.md"


def test_the_pictures_are_up_to_date():
    with open(picture.PAGE) as source:
        page = source.read()
    found = [match[2] for match in picture.PICTURE.finditer(page)]
    assert found == ["fleet/run.asl.yaml", "fleet/database.asl.yaml"]
    assert picture.drawn(page) == page, REMEDY


def test_a_changed_definition_changes_its_picture():
    machine = {
        "StartAt": "A",
        "States": {
            "A": {"Type": "Choice", "Choices": [{"Next": "B"}, {"Next": "C"}], "Default": "B"},
            "B": {"Type": "Task", "Next": "C", "Catch": [{"Next": "D"}]},
            "C": {
                "Type": "Map",
                "ItemProcessor": {"States": {"E": {"Type": "Pass", "End": True}}},
                "End": True,
            },
            "D": {"Type": "Fail"},
        },
    }
    assert str(picture.Picture(machine)).splitlines() == [
        "flowchart TD",
        '  s1{{"A"}}',
        '  s2["B"]',
        '  subgraph s3["C: each"]',
        '    s5["E"]',
        "  end",
        '  s4(["D"])',
        "  s1 --> s2",
        "  s1 --> s3",
        "  s2 --> s3",
        "  s2 -.-> s4",
    ]
