"""Tool ``xlmr finetune table``: a table of the papers, its published rows beside ours, on screen and in three files.

finetune/published/<table>.json and results.json of finished stages -> <table>.md, <table>.csv, <table>.html.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from finetune.table_results import (
    RESULTS,
    Results,
    by_encoder,
    dates_of,
    described,
    encoder_name,
    one_each,
    protocol_name,
    results_of,
    seeds_of,
)
from pipeline.errors import UsageError, XlmrError
from pipeline.options import Json
from pipeline.terminal import print_json

PUBLISHED = Path(__file__).with_name("published")

TableName = Literal["xnli", "ner", "mlqa", "xquad", "glue", "multilingual"]

TASKS = {
    "xnli": ("xnli",),
    "multilingual": ("xnli",),
    "ner": ("conll",),
    "mlqa": ("mlqa",),
    "xquad": ("xquad",),
    "glue": ("mnli", "qnli", "qqp", "sst2", "mrpc", "stsb"),
}
"""Table -> the tasks whose results may stand in it."""

GLUE = {
    "mnli": ("MNLI-m/mm", "accuracy"),
    "qnli": ("QNLI", "accuracy"),
    "qqp": ("QQP", "accuracy"),
    "sst2": ("SST", "accuracy"),
    "mrpc": ("MRPC", "accuracy"),
    "stsb": ("STS-B", "pearson"),
}
"""Task -> its column and score (RoBERTa, table 8)."""

MISMATCHED = "en-mismatched"
AVERAGE = "Avg"
PAIR = "f1/exact_match"


@dataclass(frozen=True)
class ResultRow:
    """One line of a table. ``scores``: column -> what is written there."""

    source: str
    setting: str
    model: str
    details: str
    scores: Mapping[str, str]


@dataclass(frozen=True)
class Table:
    """``columns`` are those with scores; ``notes`` stand under the table."""

    title: str
    columns: Sequence[str]
    rows: Sequence[ResultRow]
    notes: Sequence[str]

    def lines(self) -> Iterator[list[str]]:
        """The header, then each row, as cells."""
        yield ["source", "setting", "model", "details", *self.columns]
        for row in self.rows:
            cells = [row.source, row.setting, row.model, row.details]
            yield cells + [row.scores.get(column, "") for column in self.columns]


def table(name: TableName, *results: Path, output: Path = Path(), as_json: Json = False) -> None:
    """Print a table of the papers with our own rows, and write it as Markdown, CSV and HTML.

    Parameters
    ----------
    name
        Which: xnli (Table 1 of both papers), ner, mlqa, xquad, glue, multilingual (Table 5).
    results
        Outputs of finetune.task, or folders of runs that have one; without any, the published rows alone.
    output
        Folder for <name>.md, <name>.csv and <name>.html.
    as_json
        Print a JSON object for each row instead; the files are the same.
    """
    made = make_table(name, results_of(results))
    output.mkdir(parents=True, exist_ok=True)
    for suffix, text in (("md", as_markdown(made)), ("csv", as_csv(made)), ("html", as_html(made))):
        (output / f"{name}.{suffix}").write_text(text, encoding="utf-8")
    if as_json:
        print_json(map(asdict, made.rows))
    else:
        print(as_markdown(made))


def make_table(name: str, results: Sequence[Results]) -> Table:
    """Published rows, then ours. Errors: UsageError for results of another task, or of which two could be meant."""
    from pipeline.storage import read_json

    file = PUBLISHED / f"{name}.json"
    if not file.is_file():
        raise UsageError(f"there is no table {name!r}", f"tables are {', '.join(TASKS)}")
    published = read_json(file)
    rows, columns, notes = [], [], []
    for part in published["tables"]:
        columns += [column for column in part["columns"] if column not in columns]
        notes += [f"{part['source']}. {part.get('note', '')}".strip()]
        for row in part["rows"]:
            scores = {c: _cell(value) for c, value in zip(part["columns"], row["scores"], strict=True)}
            rows.append(ResultRow(_short(part["source"]), row["setting"], row["model"], row["details"], scores))
    _check(name, results, published["metric"])
    ours = list(_glue_rows(results)) if name == "glue" else list(_rows(name, results, columns, published["metric"]))
    shown = [column for column in columns if column != AVERAGE]
    shown += [c for row in ours for c in row.scores if c not in {*shown, AVERAGE}]
    notes += ["Ours: mean ± standard deviation over seeds. Avg is over the languages that stand in the row."] * bool(
        ours
    )
    return Table(published["title"], [*dict.fromkeys(shown), AVERAGE], [*rows, *ours], notes)


def _check(name: str, results: Sequence[Results], metric: str) -> None:
    for one in results:
        if one["task"] not in TASKS[name]:
            raise UsageError(
                f"{one.get('path', '')}: results of task {one['task']} ({one['kind']}) do not belong in table"
                f" {name}".removeprefix(": "),
                f"leave them out; it takes {', '.join(TASKS[name])}",
            )
        needed = GLUE[one["task"]][1] if name == "glue" else metric
        for test in [*(run["test"] for run in one["runs"]), *one.get("baselines", {}).values()]:
            for language, scores in test.items():
                for lacking in {*needed.split("/")} - {*scores}:
                    raise XlmrError(
                        f"{one.get('path', '')}: {RESULTS} has no {lacking} of {language}", "run finetune.task again"
                    )


def _rows(name: str, results: Sequence[Results], columns: Sequence[str], metric: str) -> Iterator[ResultRow]:
    """A row for each initialisation and baseline of each result; and of one model a language."""
    for one in results:
        for model, runs in _models(one).items():
            scores = {language: _written(runs, [language], metric) for language in _ordered(runs[0], columns)}
            details = described(one, encoder=model not in one.get("baselines", {}))
            average = {AVERAGE: _written(runs, list(scores), metric)}
            yield ResultRow("ours", protocol_name(one), model, details, scores | average)
    if name in ("ner", "xnli"):
        for some in by_encoder(results):
            yield from _each(some, columns, metric)


def _each(results: Sequence[Results], columns: Sequence[str], metric: str) -> Iterator[ResultRow]:
    """One model a language, where several were trained on one language each and tested on it. Of one encoder."""
    names = {
        place: f"training on {one['trained_on'][0]} alone"
        for place, one in enumerate(results)
        if len(one["trained_on"]) == 1 and one["trained_on"] == one["chosen_on"] and "pretrained" in _models(one)
    }
    chosen = list(one_each(results, names).values())
    alone = {one["trained_on"][0]: _models(one)["pretrained"] for one in chosen}
    alone = {language: runs for language, runs in alone.items() if language in runs[0]["test"]}
    seeds = min((len(runs) for runs in alone.values()), default=0)
    if len(alone) < 2 or not seeds:
        return
    # Seed by seed, so that the average has a spread of its own.
    joined = [{"test": {lang: runs[n]["test"][lang] for lang, runs in alone.items()}} for n in range(seeds)]
    scores = {lang: _written(joined, [lang], metric) for lang in _ordered(joined[0], columns)}
    average = {AVERAGE: _written(joined, list(scores), metric)}
    yield ResultRow("ours", "one model a language", "pretrained", _joined(chosen, "train each"), scores | average)


def _joined(results: Sequence[Results], about: str) -> str:
    """What a row of several results is of."""
    name = encoder_name(results[0].get("encoder", ""))
    return ", ".join([*([name] if name else []), about, seeds_of(results), *dates_of(results)])


def _glue_rows(results: Sequence[Results]) -> Iterator[ResultRow]:
    """All tasks in one row a model and encoder."""
    for some in by_encoder(results):
        by_task = one_each(some, {place: f"task {one['task']}" for place, one in enumerate(some)})
        for model in dict.fromkeys(model for one in some for model in _models(one)):
            yield _glue_row(model, [one for one in by_task.values() if model in _models(one)])


def _glue_row(model: str, results: Sequence[Results]) -> ResultRow:
    scores, means = {}, []
    for one in results:
        runs = _models(one)[model]
        column, metric = GLUE[one["task"]]
        first = next(iter(runs[0]["test"]))
        scores[column] = _written(runs, [first], metric)
        means.append(_mean(runs, [first], metric))
        if MISMATCHED in runs[0]["test"]:
            scores[column] += f" / {_written(runs, [MISMATCHED], metric)}"
    average = f"{100 * sum(means) / len(means):.1f}" if len(means) == len(GLUE) else ""
    details = _joined(results, f"{len(means)} of {len(GLUE)} tasks")
    return ResultRow("ours", "dev", model, details, scores | {AVERAGE: average})


def _models(one: Results) -> dict[str, list[Mapping[str, Any]]]:
    """Initialisations with their chosen runs by seed, then what needs no model."""
    from finetune.protocol import chosen_runs

    found = chosen_runs(one["runs"])
    ordered = {name: found[name] for name in ("pretrained", "random") if name in found}
    return ordered | {name: [{"test": test}] for name, test in one.get("baselines", {}).items()}


def _ordered(run: Mapping[str, Any], columns: Sequence[str]) -> list[str]:
    return sorted(run["test"], key=lambda lang: (columns.index(lang) if lang in columns else len(columns), lang))


def _written(runs: Sequence[Mapping[str, Any]], languages: list[str], metric: str) -> str:
    """``81.3 ± 0.4``, or both scores of an answer: ``70.1 ± 0.2 / 52.0 ± 0.3``."""
    from finetune.protocol import over_seeds

    spreads = [over_seeds(list(runs), languages, name) for name in metric.split("/")]
    return " / ".join(str(spread) if len(runs) > 1 else f"{100 * spread.mean:.1f}" for spread in spreads)


def _mean(runs: Sequence[Mapping[str, Any]], languages: list[str], metric: str) -> float:
    from finetune.protocol import over_seeds

    return over_seeds(list(runs), languages, metric).mean


def _cell(value: float | str | None) -> str:
    return "–" if value is None else str(value)


def _short(source: str) -> str:
    paper, _, rest = source.partition(":")
    return f"{paper}, {rest.rpartition(', ')[2]}"


def as_markdown(made: Table) -> str:
    """A table of GitHub's kind, with its title and notes."""
    header, *rows = ([cell.replace("|", "\\|") for cell in line] for line in made.lines())
    lines = [header, ["---"] * 4 + ["---:"] * len(made.columns), *rows]
    drawn = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"# {made.title}\n\n{drawn}\n\n" + "".join(f"{note}\n\n" for note in made.notes)


def as_csv(made: Table) -> str:
    """RFC 4180, but lines end as on this machine's terminal."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(made.lines())
    return buffer.getvalue()


def as_html(made: Table) -> str:
    """One page that needs nothing else."""
    from markupsafe import Markup, escape

    header, *rows = made.lines()
    parts = [Markup("<h1>{}</h1>\n").format(made.title), Markup("<div><table>\n"), _html_row(header, "th")]
    parts += [_html_row(row, "td") for row in rows]
    parts += [Markup("</table></div>\n"), *(Markup("<p>{}</p>\n").format(note) for note in made.notes)]
    return str(Markup(_PAGE).format(escape(made.title), Markup("").join(parts)))


def _html_row(cells: Iterable[str], tag: str) -> Any:
    from markupsafe import Markup

    first, *rest = cells
    ours = Markup(' class="ours"') if first == "ours" else ""
    cell = Markup(f"<{tag}>{{}}</{tag}>")
    return Markup("<tr{}>{}</tr>\n").format(ours, Markup("").join(cell.format(text) for text in [first, *rest]))


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{}</title>
<style>
:root {{ color-scheme: light dark; font: 14px/1.4 system-ui, sans-serif }}
div {{ overflow-x: auto }}
table {{ border-collapse: collapse }}
th, td {{ padding: .2em .6em; border-bottom: 1px solid #8884; text-align: right; white-space: nowrap }}
:is(th, td):nth-child(-n + 4) {{ text-align: left; white-space: normal; min-width: 6em }}
.ours {{ background: #2b6cb022 }}
</style></head><body>
{}</body></html>
"""
