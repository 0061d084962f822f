"""``xlmr report``: the page about one run, or the comparison of several. Nothing heavy is imported here."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from pipeline.dag import Dag
from pipeline.errors import UsageError, XlmrError
from pipeline.options import Json

Words = Annotated[str, Parameter(allow_leading_hyphen=True)]


def report_command(dag: Dag) -> Callable[..., None]:
    """``xlmr report``, made from the DAG."""

    def report(
        config: Path,
        *others: Words,
        output: Path | None = None,
        as_json: Json = False,
    ) -> None:
        """Draw the HTML page about everything that has run so far; of two runs or more, their comparison.

        Parameters
        ----------
        config
            YAML file of the run; to compare, also the folder of a run or of one output.
        others
            Further runs, each a YAML file or a folder; then settings, which are laid over every YAML file.
        output
            Where to write it; runs/<project>/report.html if not given, of a comparison comparison.html.
        as_json
            Of a comparison: print it as JSON, and write a page only where output is given.
        """
        runs = [config, *map(Path, takewhile(lambda word: not word.startswith("--"), others))]
        words = others[len(runs) - 1 :]
        if len(runs) > 1:
            _compare(dag, runs, words, output, as_json=as_json)
        elif as_json:
            raise UsageError("--json belongs to a comparison", "name two runs or more")
        else:
            _report_one(dag, config, words, output)

    return report


def _compare(dag: Dag, sources: Sequence[Path], words: Sequence[str], output: Path | None, *, as_json: bool) -> None:
    import json

    from pipeline.report.comparison import compare, runs_named
    from pipeline.report.comparison_page import lines_of, write_comparison

    comparison = compare(dag, runs_named(dag, sources, words))
    if as_json:
        print(json.dumps(comparison.as_json(), indent=1, ensure_ascii=False))
        if output is None:
            return
    path = output or Path("comparison.html")
    write_comparison(comparison, path)
    if not as_json:
        print("\n".join([*lines_of(comparison), str(path)]))


def _report_one(dag: Dag, config: Path, settings: Sequence[str], output: Path | None) -> None:
    from pipeline.plan import make_plan
    from pipeline.report.page import write_report
    from pipeline.run_settings import project_folder
    from pipeline.runner import Selection, make_copies
    from pipeline.store.path import is_stored

    loaded = dag.load_config(config, settings)
    left_out: dict[str, XlmrError] = {}
    plan = make_plan(dag, loaded, left_out=left_out)
    outputs = {n: p.output for n, p in plan.items() if p.manifest is not None and n != "report"}
    meant = Selection().or_settings(loaded).stages(dag.for_config(loaded))  # others are no part of this run
    for error in dict.fromkeys(left_out[name] for name in meant if name in left_out):
        if not outputs:
            raise error
        names = [name for name in meant if left_out.get(name) is error and name != "report"]
        print(f"left out: {', '.join(names)}: {error.problem}", file=sys.stderr)
    path = output or project_folder(loaded) / "report.html"
    with make_copies(loaded) as copies:
        drawn = copies.folder(path.parent) / path.name if is_stored(path) else path
        write_report(dag.packages, {name: copies.bring(folder) for name, folder in outputs.items()}, drawn)
        if is_stored(path):
            path.put(drawn)
    print(path)
