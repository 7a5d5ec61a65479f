"""What the demo prints: colour on a terminal, plain lines in a pipe."""

import contextlib
import os
import re
import shutil
import sys
import threading
import time

CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
SPINNER = "|/-\\"


class Screen:
    """Prints; `colour=False` keeps it plain whatever the terminal can do."""

    def __init__(self, colour=True):
        self.terminal = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
        self.colour = colour and self.terminal and not os.environ.get("NO_COLOR")

    def paint(self, text, *styles):
        if not self.colour or not styles:
            return text
        return f"\033[{';'.join(CODES[style] for style in styles)}m{text}\033[0m"

    def line(self, text="", *styles):
        print(self.paint(text, *styles), flush=True)

    def title(self, text):
        self.line()
        self.line(text, "bold", "cyan")

    def note(self, text):
        self.line(f"  {text}", "dim")

    def block(self, text, *styles):
        """Indented lines, cut to the terminal's width where there is one."""
        width = shutil.get_terminal_size().columns - 6 if self.terminal else None
        for row in text.rstrip("\n").split("\n"):
            self.line("    " + row.rstrip()[:width], *styles)

    def wrapped(self, text, *styles):
        """Indented prose, broken at the terminal's width where there is one."""
        if not self.terminal:
            self.block(text, *styles)
            return
        width = max(40, shutil.get_terminal_size().columns - 8)
        for paragraph in text.split("\n"):
            # Not textwrap: it would fold the spaces of an aligned list.
            while len(paragraph) > width:
                cut = paragraph.rfind(" ", 20, width)
                cut = width if cut < 0 else cut
                self.line("    " + paragraph[:cut], *styles)
                paragraph = "  " + paragraph[cut:].lstrip()
            self.line("    " + paragraph, *styles)

    @contextlib.contextmanager
    def slow(self, what):
        """A progress line around something slow; yields a function that says where it is."""
        started = time.monotonic()
        state = {"now": ""}
        done = threading.Event()

        def spin():
            turn = 0
            while not done.wait(0.15):
                seconds = time.monotonic() - started
                width = shutil.get_terminal_size().columns - 1
                text = f"  {SPINNER[turn % 4]} {what} ... {seconds:.0f} s  {state['now']}"
                print("\r\033[K" + text[:width], end="", flush=True)
                turn += 1

        def beat():
            while not done.wait(30):
                seconds = time.monotonic() - started
                print(f"  ... {seconds:.0f} s  {state['now']}".rstrip(), flush=True)

        def tell(text):
            state["now"] = re.sub(r"\s+", " ", re.sub(r"\033\[[0-9;]*m", "", text)).strip()

        if not self.terminal:
            self.line(f"  {what} ...")
        thread = threading.Thread(target=spin if self.terminal else beat, daemon=True)
        thread.start()
        mark = self.paint("failed", "red")
        try:
            yield tell
            mark = self.paint("done", "green")
        finally:
            done.set()
            thread.join()
            if self.terminal:
                print("\r\033[K", end="")
            self.line(f"  {what}: {mark}, {time.monotonic() - started:.1f} s")
