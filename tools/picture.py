"""The pictures of state machines in docs/fleet.md, drawn from their definitions: below a line
`<!-- drawn from fleet/run.asl.yaml -->` stands a flowchart in Mermaid's language.

    .venv/bin/python tools/picture.py     draw them anew, after a change of a definition
"""

import os
import re
from collections import Counter

import yaml

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PAGE = os.path.join(ROOT, "docs", "fleet.md")
PICTURE = re.compile(r"(?s)(<!-- drawn from (\S+) -->\n+```mermaid\n).*?(```)")
# By the type of a state: the brackets that give a node its shape.
SHAPES = {"Choice": ("{{", "}}"), "Succeed": ("([", "])"), "Fail": ("([", "])")}


class Picture:
    """A flowchart. Dotted is where a state goes when it fails, but not to a state for all failures."""

    def __init__(self, machine):
        self.lines = ["flowchart TD"]
        self.nodes = {}
        self.edges = []
        caught = Counter(name for state in machine["States"].values() for name in catches(state))
        self.of_all_failures = {name for name, count in caught.items() if count > 3}
        self.draw(machine, "  ")

    def __str__(self):
        return "\n".join([*self.lines, *self.edges, ""])

    def draw(self, machine, indent):
        states = machine["States"]
        for name in states:
            self.nodes[name] = f"s{len(self.nodes) + 1}"
        for name, state in states.items():
            if "ItemProcessor" in state:
                self.lines.append(f'{indent}subgraph {self.nodes[name]}["{name}: each"]')
                self.draw(state["ItemProcessor"], indent + "  ")
                self.lines.append(f"{indent}end")
            else:
                opening, closing = SHAPES.get(state["Type"], ("[", "]"))
                label = f"{name}<br/>(where a state fails)" if name in self.of_all_failures else name
                self.lines.append(f'{indent}{self.nodes[name]}{opening}"{label}"{closing}')
            failed = [one for one in catches(state) if one not in self.of_all_failures]
            for arrow, found in (("-->", targets(state)), ("-.->", failed)):
                self.edges += [f"  {self.nodes[name]} {arrow} {self.nodes[one]}" for one in found]


def targets(state):
    """The states that may follow, each once."""
    found = [choice["Next"] for choice in state.get("Choices", [])]
    found += [state[key] for key in ("Default", "Next") if key in state]
    return list(dict.fromkeys(found))


def catches(state):
    """The states that follow a failure, each once."""
    return list(dict.fromkeys(catch["Next"] for catch in state.get("Catch", [])))


def drawn(page):
    """The text of the page with all its pictures drawn anew."""

    def redrawn(found):
        with open(os.path.join(ROOT, found[2])) as source:
            return f"{found[1]}{Picture(yaml.safe_load(source))}{found[3]}"

    return PICTURE.sub(redrawn, page)


if __name__ == "__main__":
    with open(PAGE) as source:
        text = drawn(source.read())
    with open(PAGE, "w") as out:
        out.write(text)
