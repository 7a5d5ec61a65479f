"""What the demos write on the terminal."""

import difflib
import shlex
import time

from local_aws import Failure
from rich.console import Console
from rich.text import Text

READING_TIME = 4  # seconds, on a terminal

console = Console(highlight=False)


class Screen:
    """Explanations, and below them what is being waited for."""

    def __init__(self, waiting):
        self.status = console.status(waiting)

    def explain(self, title, text, template="", edited=None):
        """A step's title, what there is to see, the template or its edits, and time to read."""
        self.status.stop()
        console.print(f"\n[bold cyan]{title}\n")
        console.print(text, soft_wrap=not console.is_terminal)
        rows = template.splitlines()
        if edited:
            rows = list(difflib.unified_diff(rows, edited.splitlines(), n=2, lineterm=""))[3:]
        for row in rows:
            row = "..." if row.startswith("@@") else row.rstrip()
            style = {"+": "green", "-": "red"}.get(row[:1], "")
            console.print(Text(f"    {row}".rstrip(), style), soft_wrap=True)
        console.print()
        if console.is_terminal:
            time.sleep(READING_TIME)
        self.status.start()

    def commands(self, commands):
        """What one can do now: (what, the command)."""
        self.status.stop()
        width = max(len(what) for what, _ in commands) + 2
        for what, command in commands:
            console.print(Text.assemble(f"  {what:<{width}}", (command, "bold")), soft_wrap=True)


def environment(variables):
    """The text of a file that a shell reads, with these variables."""
    exports = [f"export {key}={shlex.quote(value)}\n" for key, value in variables.items()]
    return "unset AWS_PROFILE AWS_DEFAULT_PROFILE\n" + "".join(exports)


def expect(found, wanted):
    if found != wanted:
        raise Failure(f"expected {wanted!r}, found {found!r}")
