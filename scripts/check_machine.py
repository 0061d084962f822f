"""Say in one line what this machine lacks for `make setup`; run by the Python that is to make .venv.

It looks before anything is downloaded. Any Python 3.6 can read it.
"""

import importlib.util
import os
import shutil
import sys
import sysconfig
from pathlib import Path

OLDEST_PYTHON = (3, 11)


def first_lack() -> "str | None":
    """Name the first thing that is missing and how to get it; None if all is there."""
    if sys.version_info < OLDEST_PYTHON:
        return f"Python 3.11 or later is needed, and {sys.executable} is older; give PYTHON=…"
    if importlib.util.find_spec("ensurepip") is None:
        return f"{sys.executable} cannot make environments (Debian: apt-get install python3-venv)"
    compiler = os.environ.get("CXX", "c++ g++ clang++").split()
    if not any(map(shutil.which, compiler)):
        return "no C++ compiler, which kenlm and fasttext need (Debian: apt-get install g++), or set CXX"
    header = Path(sysconfig.get_path("include"), "Python.h")
    if not header.exists():
        return f"no {header}, which kenlm and fasttext need (Debian: apt-get install python3-dev)"
    return None


if __name__ == "__main__":
    lack = first_lack()
    sys.exit(lack and "set-up cannot start: " + lack)
