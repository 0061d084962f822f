"""The flow on a toy DAG, in this process, through a real server."""

from __future__ import annotations

import base64
import json
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from prefect_service import wait_for

from pipeline.config import Section, setting
from pipeline.dag import Dag
from pipeline.errors import SignalledError, XlmrError
from pipeline.report.charts import bars, figure_of
from pipeline.report.page import ReportSection, table
from pipeline.runner import Selection
from pipeline.stage import Package, Stage

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


class Numbers(Section):
    upto: int = setting(4, "count up to this")


class Toy(Section):
    numbers: Numbers = setting(Numbers(), "numbers")
    fail: bool = setting(False, "let the second stage fail", affects_result=False)


class CountConfig(Section):
    numbers: Numbers


class SumConfig(Section):
    fail: bool


def count(config: CountConfig, inputs: Any, output: Path, context: Any) -> dict[str, Any]:
    if config.numbers.upto == 13:
        context.warn("13 is unlucky")
    if config.numbers.upto == 14:
        show_progress(context.log, output)
    (output / "numbers.txt").write_text("\n".join(map(str, range(config.numbers.upto))))
    return {"numbers": config.numbers.upto}


def total(config: SumConfig, inputs: Any, output: Path, context: Any) -> dict[str, Any]:
    if config.fail:
        raise XlmrError("the sum is odd", "even it")
    numbers = (inputs["toy.count"] / "numbers.txt").read_text().split()
    (output / "sum.html").write_text(str(sum(map(int, numbers))))
    return {"sum": sum(map(int, numbers))}


def show_progress(log: Any, output: Path) -> None:
    """Half of the work is done, then all of it; returns when the server shows it."""
    print("  half of it is done")
    log.event("progress", task="toy.count", done=7, total=14, note="slowly")
    wait_for(lambda: "toy-count-progress" in artifacts())
    shown: list[Any] = [artifacts().get("toy-count-live")]  # of another run of the stage
    for numbers in ("1", "1\n4\n9"):
        (output / "numbers.txt").write_text(numbers)
        wait_for(lambda: getattr(artifacts().get("toy-count-live"), "data", None) != getattr(shown[-1], "data", None))
        shown.append(artifacts()["toy-count-live"])
    assert shown[2].latest_id == shown[1].latest_id, "its picture is replaced, there is no second artifact"


def live(output: Path) -> Any:
    """The numbers so far as a curve."""
    path = output / "numbers.txt"
    if not path.exists():
        return None
    numbers = [float(line) for line in path.read_text().split()]
    return figure_of(lambda axes: axes.plot(numbers), title="Numbers")


def sections(outputs: Mapping[str, Path]) -> list[ReportSection]:
    """A chart and more rows than a screen has, when the sum is there."""
    if "toy.total" not in outputs:
        return []
    numbers = [(n, n * n) for n in range(300)]
    body = bars([(str(n), float(square), "") for n, square in numbers[:3]]) + table(("n", "square"), numbers, "Squares")
    return [ReportSection("What was added", "Squares of numbers.", body, stage="toy.total")]


@pytest.fixture
def dag(monkeypatch: pytest.MonkeyPatch) -> Dag:
    functions = {"count": count, "total": total, "aside": count}
    monkeypatch.setattr(Stage, "load", lambda stage: functions[stage.name.split(".")[1]])
    # Not by import strings: pytest does not import this module under a name of its own.
    monkeypatch.setattr("flows.artifacts.live.load_object", {"live": live}.__getitem__)
    monkeypatch.setattr("flows.artifacts.live.DRAW_SECONDS", 0.5)
    monkeypatch.setattr("pipeline.report.page.load_object", {"sections": sections}.__getitem__)
    stages = (
        Stage("toy.count", 1, CountConfig, "-", "count up", live="live"),
        Stage("toy.total", 1, SumConfig, "-", "add up", inputs=("toy.count",)),
        Stage("toy.aside", 1, CountConfig, "-", "count again", inputs=("toy.count",)),
        Stage("toy.last", 1, CountConfig, "-", "never", inputs=("toy.total",)),
        Stage("toy.after", 1, CountConfig, "-", "never", inputs=("toy.count", "toy.last")),
    )
    made = Dag([Package("toy", Toy, stages, report="sections")])
    functions |= {"last": count, "after": count}
    return made


def run_flow(dag: Dag, config: Section, until: str, force: bool = False) -> Any:
    from prefect import flow

    from flows.stages import run_as_tasks

    @flow(name="toy")
    def toy() -> Any:
        return run_as_tasks(dag, config, Selection(until=until).stages(dag), force)

    return toy(return_state=True)


def settings_of(dag: Dag, folder: Path, **toy: Any) -> Section:
    return dag.config_model.model_validate({"run": {"directory": folder}, "toy": toy})


def task_states(flow_state: Any, stages: int) -> dict[str, tuple[str, list[str]]]:
    """Stage -> (label of its task's state, stages that it waited for), once the server has recorded so many."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter
    from prefect.client.schemas.sorting import TaskRunSort

    own = FlowRunFilter.model_validate({"id": {"any_": [flow_state.state_details.flow_run_id]}})
    with get_client(sync_client=True) as client:
        # Tasks and their states reach the server's tables one by one through its event stream, some time later.
        end = time.monotonic() + 240
        while True:
            runs = client.read_task_runs(flow_run_filter=own, sort=TaskRunSort.END_TIME_DESC, limit=100)
            runs = [run for run in runs if not run.name.startswith("plan-")]
            if len(runs) >= stages and all(run.state_name not in {None, "Pending", "Running"} for run in runs):
                break
            assert time.monotonic() < end, [(run.name, run.state_name) for run in runs]
            time.sleep(0.2)
    names = {run.id: run.name.rsplit("-", 1)[0] for run in runs}
    return {
        names[run.id]: (label_of(run.state), sorted(names[i.id] for i in run.task_inputs.get("wait_for", [])))
        for run in runs
    }


def label_of(state: Any) -> str:
    """Its name, with what is said of one that is not complete."""
    return str(state.name) if state.is_completed() else f"{state.name}: {state.message}"


def artifacts() -> dict[str, Any]:
    import asyncio

    from prefect.client.orchestration import get_client

    async def read() -> list[Any]:
        async with get_client() as client:
            return await client.read_latest_artifacts()

    return {artifact.key: artifact for artifact in asyncio.run(read())}


def test_flow_runs_stages_once_and_shows_them(
    prefect_server: None, dag: Dag, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XLMR_REPORTS_URL", "https://reports.example.org")
    config = settings_of(dag, tmp_path)
    state = run_flow(dag, config, until="toy.total")
    assert state.is_completed()
    assert task_states(state, 2) == {"toy.count": ("Completed", []), "toy.total": ("Completed", ["toy.count"])}
    pages = list(tmp_path.glob("demo/toy.total/*/sum.html"))
    assert [page.read_text() for page in pages] == ["6"]
    shown = artifacts()
    assert shown["plan"].type == "table"
    assert "| sum | 6 |" in shown["toy-total"].data
    assert f"| page | `{pages[0]}` |" in shown["toy-total"].data
    assert "| made from toy.count |" in shown["toy-total"].data
    assert "file://" not in str(shown["toy-total"].data)
    counted, summed = json.loads(shown["lineage"].data)
    assert (counted["stage"], counted["key"]) == ("toy.count", next(tmp_path.glob("demo/toy.count/*")).name)
    assert summed["made from"] == f"toy.count {counted['key']}"
    assert summed["output"] == str(pages[0].parent)
    link = f"https://reports.example.org/demo/files/toy.total/{pages[0].parent.name}/sum.html"
    assert shown["toy-total-sum-page"].data == f"[sum.html]({link})"
    rows = json.loads(shown["toy-total-what-was-added-table"].data)
    assert (len(rows), rows[299]) == (300, {"n": "299", "square": "89,401"})
    assert shown["toy-total-what-was-added-table"].description == "What was added: Squares"
    figure = shown["toy-total-what-was-added-figure"]
    assert figure.type == "markdown"
    kind, _, data = str(figure.data).partition(",")
    assert kind == "![figure](data:image/png;base64"
    assert base64.b64decode(data.removesuffix(")")).startswith(b"\x89PNG")

    stamp = pages[0].stat().st_mtime_ns
    again = run_flow(dag, config, until="toy.total")
    assert {name: s for name, (s, _) in task_states(again, 2).items()} == {
        "toy.count": "Cached",
        "toy.total": "Cached",
    }
    assert pages[0].stat().st_mtime_ns == stamp
    assert again.message == "0 of 2 stages ran, the others were fresh"
    assert artifacts()["toy-total"].latest_id == shown["toy-total"].latest_id, "it is shown once"

    forced = run_flow(dag, config, until="toy.total", force=True)
    assert {s for s, _ in task_states(forced, 2).values()} == {"Completed"}


def test_failing_stage_stops_what_depends_on_it_only(
    prefect_server: None, dag: Dag, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state = run_flow(dag, settings_of(dag, tmp_path, fail=True), until="toy")
    assert state.is_failed()
    assert state.message == "toy.total: the sum is odd; even it"
    assert "the sum is odd; even it" in caplog.text
    assert "Traceback" not in caplog.text
    assert "NoneType" not in caplog.text
    found = task_states(state, 5)
    assert {name: s for name, (s, _) in found.items()} == {
        "toy.count": "Completed",
        "toy.total": "Failed: toy.total: the sum is odd; even it",
        "toy.aside": "Completed",
        "toy.last": "NotReady: not run, because it depends on toy.total, which has no output",
        "toy.after": "NotReady: not run, because it depends on toy.last, which has no output",
    }


def test_progress_is_shown_while_a_stage_runs_and_warnings_in_the_state(
    prefect_server: None, dag: Dag, tmp_path: Path
) -> None:
    state = run_flow(dag, settings_of(dag, tmp_path, numbers={"upto": 14}), until="toy.count")
    assert state.is_completed()
    shown = artifacts()["toy-count-progress"]
    assert shown.type == "progress"
    assert float(shown.data) == 100.0
    state = run_flow(dag, settings_of(dag, tmp_path, numbers={"upto": 13}), until="toy.count")
    assert state.is_completed()
    assert state.message == "1 of 1 stages ran; toy.count: warning: 13 is unlucky"


def test_pages_have_an_address_only_where_their_folder_is_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.artifacts.links import address_of

    project = tmp_path / "runs" / "a b"
    monkeypatch.delenv("XLMR_REPORTS_URL", raising=False)
    assert address_of(project / "report.html", project) is None
    monkeypatch.setenv("XLMR_REPORTS_URL", "https://h/")
    assert address_of(project / "report.html", project) == "https://h/a%20b/files/report.html"
    monkeypatch.setenv("XLMR_RUNS", str(tmp_path / "others"))
    assert address_of(project / "report.html", project) is None
    monkeypatch.setenv("XLMR_RUNS", str(tmp_path / "runs"))
    assert address_of(project / "report.html", project) == "https://h/a%20b/files/report.html"


def test_stage_of_no_package_has_no_sections(dag: Dag) -> None:
    from flows.artifacts.sections import _show

    assert dag.stages["report"].package not in {package.name for package in dag.packages}
    _show(dag, "report", {})


def test_description_of_progress() -> None:
    from flows.artifacts.progress import describe, percent_of

    event = {"task": "toy.count", "done": 1500, "total": 2000, "note": ""}
    assert describe(event) == "toy.count: 1,500 of 2,000"
    assert (
        describe(event | {"seconds_left": 90, "note": "7 bad"}) == "toy.count: 1,500 of 2,000 · 1 min 30 s left · 7 bad"
    )
    assert percent_of(event) == 75.0
    assert percent_of({**event, "done": 3000}) == 100.0


def test_unreachable_is_tried_again_and_bad_input_is_not(
    prefect_server: None, dag: Dag, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows import stages

    tries: list[str] = []

    def run_once(*_: Any, **__: Any) -> Any:
        tries.append("")
        raise ConnectionError("refused") if len(tries) == 1 else XlmrError("the sum is odd", "even it")

    monkeypatch.setattr(stages, "run", run_once)
    monkeypatch.setattr(stages, "_stage_task", stages._stage_task.with_options(retry_delay_seconds=[0, 0]))
    state = run_flow(dag, settings_of(dag, tmp_path), until="toy.count")
    assert state.is_failed()
    assert state.message == "toy.count: the sum is odd; even it"
    assert len(tries) == 2


def test_stage_that_a_signal_has_stopped_ends_the_run(
    prefect_server: None, dag: Dag, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from prefect.exceptions import TerminationSignal

    received: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: received.append(number))
    began: list[str] = []

    def saved(stage: Stage) -> Any:
        began.append(stage.name)
        raise SignalledError("stopped after step 7, which is saved")

    monkeypatch.setattr(Stage, "load", saved)
    try:
        with pytest.raises(TerminationSignal):
            run_flow(dag, settings_of(dag, tmp_path), until="toy")
    finally:
        signal.signal(signal.SIGTERM, before)
    assert (began, received) == (["toy.count"], [signal.SIGTERM])
