"""``xlmr doctor``: a line for each thing, whatever is missing."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest
import toy_package

from corpus.perplexity.setup_kenlm import PROGRAMS
from pipeline import doctor
from pipeline.cli import main
from pipeline.dag import Dag
from pipeline.doctor import Finding, examine
from pipeline.stage import Package
from pretrain import installation

ROOT = Path(__file__).parents[2]


def states(found: list[Finding]) -> dict[str, str]:
    return {finding.name: finding.state for finding in found}


def test_it_imports_nothing_heavy(tmp_path: Path) -> None:
    heavy = ("torch", "deepspeed", "numpy", "pyarrow", "fasttext", "kenlm", "sentencepiece")
    code = f"import sys, pipeline.cli as c; c.main(['doctor']); print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_without_any_extra_the_rest_is_still_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    real = importlib.util.find_spec
    extras = {package for packages in doctor.EXTRAS.values() for package in packages}
    for module in (doctor, installation):
        monkeypatch.setattr(module, "find_spec", lambda name: None if name in extras else real(name))
    monkeypatch.setattr(installation, "installed_version", lambda name: "")
    found = states(examine(Dag.default().packages, tmp_path))
    assert {found[f"extra {extra}"] for extra in doctor.EXTRAS} == {"absent"}
    assert found["torch"] == found["deepspeed"] == "absent"
    assert found["Python"] == found["language identifier"] == "ok"


def test_kenlms_programs_are_needed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("corpus.installation.find_program", lambda name: None)
    monkeypatch.setattr("corpus.installation.find_compiler", lambda: None)
    assert main(["doctor", str(tmp_path)]) == 1
    shown = capsys.readouterr()
    for name in (*PROGRAMS, "C++ compiler"):
        (line,) = (line for line in shown.out.splitlines() if f" {name} " in line)
        assert line.startswith("missing")
        assert name in shown.err
    assert "; xlmr setup-kenlm" in shown.out


def test_a_build_for_cpus_beside_a_gpu_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "nvidia0").touch()
    (tmp_path / "nvidiactl").touch()
    monkeypatch.setattr(installation, "DEVICES", tmp_path)
    package = tmp_path / "site" / "torch"
    package.mkdir(parents=True)
    spec = importlib.machinery.ModuleSpec("torch", None, origin=str(package / "__init__.py"))
    monkeypatch.setattr(installation, "find_spec", lambda name: spec)
    source = "__version__ = '2.13.0{}'\ncuda: Optional[str] = {}\nhip: Optional[str] = None\n"
    (package / "version.py").write_text(source.format("+cpu", None))
    found = {finding.name: finding for finding in installation.check()}
    assert found["torch"].state == "missing"
    assert "2.13.0+cpu" in found["torch"].detail
    assert found["GPU"].detail == str(tmp_path / "nvidia0")
    (package / "version.py").write_text(source.format("+cu130", "'13.0'"))
    found = {finding.name: finding for finding in installation.check()}
    assert (found["torch"].state, found["torch"].detail) == ("ok", "2.13.0+cu130, a build for CUDA 13.0")


def test_a_check_that_fails_is_a_finding(tmp_path: Path) -> None:
    broken = Package("toy", toy_package.ToyConfig, (), checks="no_such_module_at_all:check")
    found = examine([broken], tmp_path)
    assert found[-1].state == "missing"
    assert "no_such_module_at_all" in found[-1].detail
    assert states(found)["memory"] == "ok"


def test_too_little_memory_and_an_old_python_are_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    limit = tmp_path / "memory.max"
    limit.write_text("1000000000\n")
    monkeypatch.setattr(doctor, "_CGROUP_LIMIT", limit)
    monkeypatch.setattr(doctor, "OLDEST", (4, 0))
    found = {finding.name: finding for finding in examine([], tmp_path)}
    assert found["memory"].line(6) == (
        "missing  memory  1.0 GB, too little; use a larger machine or raise the memory limit"
    )
    assert found["Python"].state == "missing"
    limit.write_text("max\n")
    assert doctor.memory_bytes() > 10**9


def test_a_required_package_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(doctor, "installed_version", lambda name: "" if name == "kenlm" else "1")
    found = {finding.name: finding for finding in examine([], tmp_path)}
    assert found["packages"].detail == "not installed: kenlm"
