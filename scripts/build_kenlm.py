"""Build KenLM's `lmplz` and `build_binary` into the virtual environment that runs this script.

No wheel carries them, but the source distribution of the `kenlm` package does. pip fetches it, with CMake,
Ninja and Boost for the build in a scratch folder; the two programs go to the environment's bin/, the few
Boost libraries that they need to its lib/xlmr-kenlm/. No root and no system package but a C++ compiler. A
second call finds them built from the same versions and does nothing.
"""

import hashlib
import importlib.metadata
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

BUILD_REQUIREMENTS = Path(__file__).resolve().parent.parent / "requirements" / "build.txt"
PROGRAMS = ("lmplz", "build_binary")
BIN = Path(sysconfig.get_path("scripts"))
LIBRARIES = Path(sys.prefix) / "lib" / "xlmr-kenlm"
STAMP = LIBRARIES / "built-from"
KENLM_ORDER = 6  # what the kenlm module is built with; a model of a higher order would not load there
TINY_TEXT = "a b c d e f\na b c d e g\nb c d e f a\nthe cat sat on the mat\n"


class BuildError(Exception):
    """One line that says what is missing or failed, and the fix."""


def main() -> int:
    try:
        if sys.prefix == sys.base_prefix:
            raise BuildError("run this with the Python of a virtual environment, such as .venv/bin/python")
        recipe = build_recipe()
        if is_built(recipe):
            print(f"KenLM's lmplz and build_binary are built already ({recipe.splitlines()[0]})")
            return 0
        started = time.monotonic()
        build(recipe)
        seconds = time.monotonic() - started
        print(f"KenLM's lmplz and build_binary built and tried in {seconds:.0f} s, in {BIN}")
    except BuildError as error:
        print(f"build_kenlm: {error}", file=sys.stderr)
        return 1
    return 0


def build_recipe() -> str:
    """Return everything that the result depends on: versions, this script, where it is installed."""
    try:
        version = importlib.metadata.version("kenlm")
    except importlib.metadata.PackageNotFoundError:
        raise BuildError("the kenlm package is missing here; install requirements/runtime.txt") from None
    sources = Path(__file__).read_bytes() + BUILD_REQUIREMENTS.read_bytes()
    return f"kenlm {version}\n{hashlib.sha256(sources).hexdigest()}\n"


def is_built(recipe: str) -> bool:
    """Say whether both programs are there and were built from this very recipe."""
    programs_there = all(os.access(BIN / program, os.X_OK) for program in PROGRAMS)
    return programs_there and STAMP.is_file() and STAMP.read_text() == recipe


def build(recipe: str) -> None:
    """Fetch, compile, install and try the two programs; the stamp is written last."""
    compiler = os.environ.get("CXX") or next(filter(shutil.which, ("c++", "g++", "clang++")), None)
    if compiler is None or shutil.which(compiler.split()[0]) is None:
        raise BuildError("no C++ compiler found; install one (Debian: apt-get install g++) or set CXX")
    STAMP.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="build-kenlm-") as folder:
        scratch = Path(folder)
        tools = fetch_tools(scratch / "tools")
        source = fetch_source(scratch)
        compiled = compile_programs(source, tools, scratch / "build")
        install(compiled, tools / "cmeel.prefix" / "lib")
        try_programs(scratch)
    STAMP.write_text(recipe)


def fetch_tools(target: Path) -> Path:
    """Install CMake, Ninja and Boost into `target` and return it."""
    pip("install", "--no-deps", "--target", str(target), "--requirement", str(BUILD_REQUIREMENTS))
    return target


def fetch_source(scratch: Path) -> Path:
    """Return the folder of KenLM's unpacked source, of the version of the installed module."""
    version = importlib.metadata.version("kenlm")
    # pip asks an sdist for its metadata even when it only downloads it; the environment's own setuptools
    # answers that in a second, where build isolation would install one for it.
    fetch = ("download", "--no-deps", "--no-binary", "kenlm", "--no-build-isolation", "--dest", str(scratch))
    pip(*fetch, f"kenlm=={version}")
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


def try_programs(scratch: Path) -> None:
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
        raise BuildError(f"a tiny model scores wrongly: order {model.order}, seen {seen}, unseen {unseen}")


def pip(*arguments: str) -> None:
    """Run this environment's pip."""
    failed = f"pip {arguments[0]} failed; is the package index within reach?"
    command([sys.executable, "-m", "pip", *arguments, "-qq", "--disable-pip-version-check"], failed)


def command(arguments: list[str], failed: str, environment: dict[str, str] | None = None) -> None:
    """Run a command silently; on failure show the end of its output and raise one line."""
    with subprocess.Popen(
        arguments, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        output, _ = process.communicate()
    if process.returncode != 0:
        print("\n".join(output.splitlines()[-30:]), file=sys.stderr)
        raise BuildError(failed)


if __name__ == "__main__":
    sys.exit(main())
