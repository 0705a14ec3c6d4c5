"""`pip install` with one line that moves on a terminal, and all that pip said where it fails: `python install.py -r FILE`."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import threading
import time

# What pip says of the package it is at. Of many that are installed at once it says nothing more until all are there.
_AT = re.compile(r"(Collecting|Installing|Building|Processing) (?:collected packages: )?([\w.-]+)")
EVERY_S = 0.2


def main() -> int:
    """The exit code of pip."""
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--no-input",
        "--disable-pip-version-check",
        "--progress-bar",
        "off",
        *sys.argv[1:],
    ]
    started = time.monotonic()
    said = ["starting pip"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace") as pip:
        reader = threading.Thread(target=lambda: said.extend(pip.stdout or ()), daemon=True)
        reader.start()
        moves = sys.stdout.isatty()
        while reader.is_alive():
            if moves:
                _rewrite(f"{_now(said)}, {time.monotonic() - started:.0f} s")
            reader.join(EVERY_S)
    if moves:
        _rewrite("")
    if pip.returncode:
        sys.stdout.writelines(said[1:])
        return pip.returncode
    installed = next((line for line in reversed(said) if line.startswith("Successfully installed")), "")
    count = max(len(installed.split()) - 2, 0)
    sys.stdout.write(f"{count} package{'' if count == 1 else 's'} installed in {time.monotonic() - started:.0f} s\n")
    return 0


def _now(said: list[str]) -> str:
    """What pip is doing, in a few words."""
    done = sum(line.startswith(("Collecting", "Processing")) for line in said)
    found = next((match for line in reversed(said) if (match := _AT.match(line.strip()))), None)
    if found is None:
        return said[0]
    if found[1] == "Installing":
        return f"installing {done} packages"
    return f"{found[1].lower()} {found[2]} ({done})"


def _rewrite(text: str) -> None:
    columns = shutil.get_terminal_size().columns
    sys.stdout.write(f"\r\x1b[K{text[: columns - 1]}")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
