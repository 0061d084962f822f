"""The flows of the packages, in this process, through a real server: the command, real stages, a dump's own project."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import XlmrError

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def test_command_says_one_line_and_the_exit_code(
    prefect_server: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from flows.command import main

    demo = str(ROOT / "configs" / "demo.yaml")
    assert main([str(tmp_path / "none.yaml")]) == 2
    assert "none.yaml: no such configuration" in capsys.readouterr().err
    assert main([demo, "--corpus.fetchh", "1"]) == 2
    assert "did you mean fetch?" in capsys.readouterr().err
    where = ["--run.directory", str(tmp_path)]
    assert main([demo, *where, "--only", "finetune"]) == 1
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("xlmr: ")]
    assert len(said) == 1
    assert "pretrain.export, which is missing" in said[0]


def test_real_stage_runs_as_a_task_and_is_then_fresh(
    prefect_server: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.command import main

    monkeypatch.chdir(ROOT)
    words = ["configs/demo.yaml", "--run.directory", str(tmp_path), "--until", "corpus.fetch"]
    assert main(words) == 0
    (manifest,) = tmp_path.glob("demo/corpus.fetch/*/manifest.json")
    before = manifest.read_bytes()
    assert main(words) == 0
    assert manifest.read_bytes() == before


def test_what_is_wrong_after_the_last_package_is_one_line(
    prefect_server: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows import packages

    def damaged(*_: object, **__: object) -> Any:
        raise XlmrError("manifest.json: not readable", "delete it")

    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(packages, "make_plan", damaged)
    given: dict[str, Any] = {"stages": ["corpus.fetch"], "overrides": [f"run.directory={tmp_path}"]}
    state: Any = packages.full("demo", **given, return_state=True)
    assert state.is_failed()
    assert state.message == "manifest.json: not readable; delete it"


def test_newest_dump_is_a_project_of_its_own(
    prefect_server: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from prefect import flow
    from prefect.states import Completed

    from flows import newest_dump as module
    from flows.form import resolve

    @flow(name="corpus", persist_result=False)
    def stand_in(configuration: str, project: str, overrides: list[str]) -> Any:
        config: Any = resolve(configuration, project, overrides)
        fetch, mine = config.corpus.fetch, config.corpus.mine
        return Completed(message=f"{fetch.dumps} {fetch.pick} {dict(mine.dumps)}")

    monkeypatch.setattr(module, "corpus", stand_in)
    listing = tmp_path / "collinfo.json"
    listing.write_text('[{"id": "CC-MAIN-2026-43"}, {"id": "CC-MAIN-2026-38"}]')
    given: dict[str, Any] = {"overrides": ["corpus.fetch.pick=0:16"], "listing": str(listing), "return_state": True}
    for configuration in ("corpus-cc100", "demo"):  # the one names dumps, the other a folder
        state: Any = module.newest_dump(configuration, **given)
        assert state.message == f"{configuration}-CC-MAIN-2026-43: ('CC-MAIN-2026-43',) 0:16 {{}}"
    listing.write_text("[]")
    failed: Any = module.newest_dump("demo", **given)
    assert failed.is_failed()
    assert "names no dump" in failed.message
    form = module.newest_dump.parameters.model_dump()["properties"]
    assert list(form) == ["configuration", "package", "overrides", "listing"]
    assert not [name for name, field in form.items() if "anyOf" in field or not field["description"]]
