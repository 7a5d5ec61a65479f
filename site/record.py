"""Pictures of a real `make demo`, for docs/pictures: demo.svg, the recording of a terminal, and
failed.svg, what the terminal shows of the deployment that fails. `make docs RECORD=1` makes them
anew.

The words, the colours and their order are the demo's. Pauses are shortened, and what changes faster
than the eye reads, such as a spinner, is left out.
"""

import codecs
import fcntl
import glob
import json
import os
import pty
import struct
import subprocess
import sys
import tempfile
import termios
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PICTURES = os.path.join(ROOT, "docs", "pictures")
TERMTOSVG = os.path.join(ROOT, ".venv-docs", "bin", "termtosvg")
COLUMNS, ROWS = 100, 30
COMMAND = "echo '$ make demo'; exec make --no-print-directory demo"


def run():
    """What the demo writes on a terminal: pairs of a time in seconds and a text."""
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(ROOT)
        os.environ.update(TERM="xterm-256color", MAKEFLAGS="")
        os.execvp("sh", ["sh", "-c", COMMAND])
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    started = time.monotonic()
    decoder = codecs.getincrementaldecoder("utf-8")()
    written = []
    while True:
        try:
            read = os.read(terminal, 1 << 16)
        except OSError:  # so Linux says that the terminal is closed
            break
        written.append((time.monotonic() - started, decoder.decode(read)))
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    if code:
        sys.exit(
            f"record: the demo ended with exit code {code}:\n"
            + "".join(text for _, text in written)
        )
    return written


def render(written, rows, into, *options):
    """Draw a recording: an SVG, or with `--still-frames` a folder of them."""
    with tempfile.NamedTemporaryFile("w", suffix=".cast") as cast:
        cast.write(json.dumps({"version": 2, "width": COLUMNS, "height": rows}) + "\n")
        cast.writelines(json.dumps([at, "o", text]) + "\n" for at, text in written)
        cast.flush()
        template = ("--template", os.path.join(ROOT, "site", "terminal.svg"))
        subprocess.run([TERMTOSVG, "render", cast.name, into, *template, *options], check=True)


def main():
    os.makedirs(PICTURES, exist_ok=True)
    written = run()
    demo = os.path.join(PICTURES, "demo.svg")
    render(
        written,
        ROWS,
        demo,
        "--min-frame-duration",
        "400",
        "--max-frame-duration",
        "4000",
        "--loop-delay",
        "8000",
    )
    text = "".join(text for _, text in written)
    failed = text[text.index("3. A mistake") : text.index("4. Removal")]
    failed = failed[: failed.index("\r", failed.rindex("UPDATE_ROLLBACK_COMPLETE"))]
    with tempfile.TemporaryDirectory() as folder:
        # A spinner begins on a line of its own, and goes up again when it stops.
        rows = failed.count("\n") - failed.count("\x1b[1A") + 1
        render([(0, failed)], rows, folder, "--still-frames")
        os.replace(max(glob.glob(f"{folder}/*.svg")), os.path.join(PICTURES, "failed.svg"))


if __name__ == "__main__":
    main()
