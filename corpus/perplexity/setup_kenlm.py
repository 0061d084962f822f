"""``xlmr setup-kenlm``: builds KenLM's ``lmplz`` and ``build_binary`` into the environment of this Python.

No wheel contains KenLM's trainer. It is compiled from the source distribution of the installed ``kenlm``; the two
programs are installed in the environment's ``bin/``, the Boost libraries that they need in its ``lib/xlmr-kenlm/``.
It needs no root, and of the system only a C++ compiler. A second call finds programs of the same versions and does
nothing.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

from pipeline.errors import XlmrError

BUILD_REQUIREMENTS = Path(__file__).with_name("kenlm_build.txt")
PROGRAMS = ("lmplz", "build_binary")
BIN = Path(sysconfig.get_path("scripts"))
LIBRARIES = Path(sys.prefix) / "lib" / "xlmr-kenlm"
STAMP = LIBRARIES / "built-from"
KENLM_ORDER = 6  # what the kenlm module is built with; a model of a higher order would not load there
TINY_TEXT = "a b c d e f\na b c d e g\nb c d e f a\nthe cat sat on the mat\n"


def setup_kenlm() -> None:
    """Build KenLM's lmplz and build_binary, which train language models, into this environment.

    It needs a C++ compiler and a package index; CMake, Ninja and Boost are fetched and removed afterwards.
    """
    recipe = build_recipe()
    if is_built(recipe):
        print(f"KenLM's lmplz and build_binary are built already ({recipe.splitlines()[0]})")
        return
    started = time.monotonic()
    build(recipe)
    seconds = time.monotonic() - started
    print(f"KenLM's lmplz and build_binary were built and tested in {seconds:.0f} s; they are in {BIN}")


def build_recipe() -> str:
    """Everything that the result depends on: the version of kenlm, this module, the build requirements."""
    try:
        version = importlib.metadata.version("kenlm")
    except importlib.metadata.PackageNotFoundError:
        raise XlmrError("the package kenlm is not installed", "pip install kenlm==0.3.0") from None
    sources = Path(__file__).read_bytes() + BUILD_REQUIREMENTS.read_bytes()
    return f"kenlm {version}\n{hashlib.sha256(sources).hexdigest()}\n"


def is_built(recipe: str) -> bool:
    """Whether both programs are there and were built from this recipe."""
    programs_there = all(os.access(BIN / program, os.X_OK) for program in PROGRAMS)
    return programs_there and STAMP.is_file() and STAMP.read_text() == recipe


def build(recipe: str) -> None:
    """Fetch, compile, install and test the two programs; the stamp is written last."""
    _check_machine()
    STAMP.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="build-kenlm-") as folder:
        scratch = Path(folder)
        tools = fetch_tools(scratch / "tools")
        source = fetch_source(scratch)
        compiled = compile_programs(source, tools, scratch / "build")
        install(compiled, tools / "cmeel.prefix" / "lib")
        test_programs(scratch)
    STAMP.write_text(recipe)


def find_compiler() -> str | None:
    """The C++ compiler that CMake would use: that of ``CXX``, or the first that is found. None without one."""
    named = os.environ.get("CXX", "").split()
    return next(filter(None, map(shutil.which, named[:1] or ("c++", "g++", "clang++"))), None)


def find_program(name: str) -> str | None:
    """The path of one of KenLM's programs: beside this Python or on the PATH. None where it is not installed."""
    beside = Path(sys.executable).parent / name
    return str(beside) if os.access(beside, os.X_OK) else shutil.which(name)


def _check_machine() -> None:
    if find_compiler() is None:
        raise XlmrError("no C++ compiler is found", "install one (Debian: apt-get install g++), or set CXX")
    if find_spec("pip") is None:
        raise XlmrError(f"{sys.executable} has no pip", "python -m ensurepip")
    if not os.access(BIN, os.W_OK):
        raise XlmrError(f"{BIN}: the programs cannot be written there", "install xlmr in a virtual environment")


def fetch_tools(target: Path) -> Path:
    """Install CMake, Ninja and Boost into ``target`` and return it."""
    pip("install", "--no-deps", "--target", str(target), "--requirement", str(BUILD_REQUIREMENTS))
    return target


def fetch_source(scratch: Path) -> Path:
    """Return the folder of KenLM's unpacked source, of the version of the installed module."""
    version = importlib.metadata.version("kenlm")
    # pip asks a source distribution for its metadata even when it only downloads it. The environment's setuptools
    # answers that in a second; build isolation would install one first.
    isolation = ("--no-build-isolation",) if find_spec("setuptools") else ()
    pip("download", "--no-deps", "--no-binary", "kenlm", *isolation, "--dest", str(scratch), f"kenlm=={version}")
    shutil.unpack_archive(scratch / f"kenlm-{version}.tar.gz", scratch)
    return scratch / f"kenlm-{version}"


def compile_programs(source: Path, tools: Path, build_folder: Path) -> Path:
    """Configure and compile; return the folder with the two programs."""
    environment = os.environ | {"PYTHONPATH": str(tools)}  # CMake's and Ninja's commands are Python scripts
    configure = [str(tools / "bin" / "cmake"), "-S", str(source), "-B", str(build_folder), "-G", "Ninja"]
    configure += ["-Wno-dev", "-DCMAKE_BUILD_TYPE=Release", f"-DKENLM_MAX_ORDER={KENLM_ORDER}"]
    configure += [f"-DCMAKE_PREFIX_PATH={tools / 'cmeel.prefix'}", "-DBoost_NO_SYSTEM_PATHS=ON"]
    # Relative to the program, so that a copied or renamed environment keeps working.
    library_path = f"$ORIGIN/{os.path.relpath(LIBRARIES, BIN)}"
    configure += ["-DCMAKE_BUILD_WITH_INSTALL_RPATH=ON", f"-DCMAKE_INSTALL_RPATH={library_path}"]
    command(configure, "CMake could not configure KenLM", environment)
    compile_command = [str(tools / "bin" / "ninja"), "-C", str(build_folder), *PROGRAMS]
    command(compile_command, "compiling KenLM failed", environment)
    return build_folder / "bin"


def install(compiled: Path, boost_libraries: Path) -> None:
    """Copy the programs into bin/ and the Boost libraries that they name into lib/xlmr-kenlm/."""
    LIBRARIES.mkdir(parents=True, exist_ok=True)
    for program in PROGRAMS:
        replace_file(compiled / program, BIN / program)
    # Boost's libraries name each other too: look into each one taken, until nothing is new.
    not_taken = set(boost_libraries.glob("libboost_*.so.*"))
    to_look_into = [compiled / program for program in PROGRAMS]
    while to_look_into:
        content = to_look_into.pop().read_bytes()
        named = {library for library in not_taken if library.name.encode() in content}
        for library in named:
            replace_file(library, LIBRARIES / library.name)
        not_taken -= named
        to_look_into += named


def replace_file(source: Path, target: Path) -> None:
    """Copy under a temporary name and rename, so that a running program is not written over."""
    temporary = target.with_name(f".{target.name}.new")
    shutil.copy(source, temporary)
    temporary.replace(target)


def test_programs(scratch: Path) -> None:
    """Train a tiny 5-gram model, make it binary, and score a line with the kenlm module."""
    text, arpa, binary = (scratch / name for name in ("tiny.txt", "tiny.arpa", "tiny.bin"))
    text.write_text(TINY_TEXT)
    lmplz, build_binary = (str(BIN / program) for program in PROGRAMS)
    train = [lmplz, "-o", "5", "-S", "64M", "--vocab_estimate", "64", "--discount_fallback"]
    train += ["-T", str(scratch), "--text", str(text), "--arpa", str(arpa)]
    command(train, "the lmplz just built does not run")
    command([build_binary, str(arpa), str(binary)], "the build_binary just built does not run")

    import kenlm

    model = kenlm.Model(str(binary))
    seen, unseen = model.score("a b c d e f"), model.score("f e d c b a")
    if model.order != 5 or not seen > unseen:
        raise XlmrError(f"a tiny model scores wrongly: order {model.order}, seen {seen}, unseen {unseen}")


def pip(*arguments: str) -> None:
    """Run this environment's pip."""
    line = [sys.executable, "-m", "pip", *arguments, "-qq", "--disable-pip-version-check"]
    command(line, f"pip {arguments[0]} failed", fix="check that the package index can be reached")


def command(line: list[str], failed: str, environment: dict[str, str] | None = None, fix: str = "") -> None:
    """Run a command silently. Errors: XlmrError; the end of the command's output is shown before it."""
    done = subprocess.run(
        line, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode != 0:
        print("\n".join(done.stdout.splitlines()[-30:]), file=sys.stderr)
        raise XlmrError(failed, fix)
