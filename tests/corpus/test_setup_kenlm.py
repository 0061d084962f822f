"""``xlmr setup-kenlm``: when it builds, and what it says where it cannot."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from corpus.perplexity import setup_kenlm
from pipeline.cli import main
from pipeline.errors import XlmrError


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment without the programs, whose build only writes files under their names."""
    for name, path in (("BIN", "bin"), ("LIBRARIES", "lib"), ("STAMP", "lib/built-from")):
        monkeypatch.setattr(setup_kenlm, name, tmp_path / path)
    for name in ("bin", "lib", "compiled", "boost"):
        (tmp_path / name).mkdir()
    for program in setup_kenlm.PROGRAMS:
        (tmp_path / "compiled" / program).write_bytes(b"\x7fELF libboost_a.so.1 ")
        (tmp_path / "compiled" / program).chmod(0o755)
    (tmp_path / "boost" / "libboost_a.so.1").write_bytes(b"needs libboost_b.so.1")
    for name in ("libboost_b.so.1", "libboost_c.so.1"):
        (tmp_path / "boost" / name).write_bytes(b"")
    return tmp_path


def test_programs_are_installed_with_the_libraries_that_they_need(environment: Path) -> None:
    setup_kenlm.install(environment / "compiled", environment / "boost")
    assert {path.name for path in (environment / "lib").iterdir()} == {"libboost_a.so.1", "libboost_b.so.1"}
    assert all(os.access(environment / "bin" / program, os.X_OK) for program in setup_kenlm.PROGRAMS)


def test_a_second_call_does_nothing_until_the_recipe_changes(
    environment: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    built: list[str] = []

    def build(recipe: str) -> None:
        built.append(recipe)
        setup_kenlm.install(environment / "compiled", environment / "boost")
        setup_kenlm.STAMP.write_text(recipe)

    monkeypatch.setattr(setup_kenlm, "build", build)
    assert main(["setup-kenlm"]) == main(["setup-kenlm"]) == 0
    assert len(built) == 1
    assert "are built already (kenlm 0.3.0)" in capsys.readouterr().out
    other = environment / "kenlm_build.txt"
    other.write_text("cmake==1\n")
    monkeypatch.setattr(setup_kenlm, "BUILD_REQUIREMENTS", other)
    assert main(["setup-kenlm"]) == 0
    assert len(built) == 2


def test_without_a_compiler_the_fix_is_named(environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(XlmrError, match=r"no C\+\+ compiler is found; install one"):
        setup_kenlm.build("kenlm 0")


def test_the_end_of_a_failed_commands_output_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(XlmrError, match="compiling failed"):
        setup_kenlm.command(["sh", "-c", "echo line; exit 3"], "compiling failed")
    assert capsys.readouterr().err == "line\n"
