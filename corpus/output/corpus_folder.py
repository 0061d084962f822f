"""Finding a corpus: by its own folder, by the folder of a run, or by the YAML file of a run; and the files in it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from corpus.output.records import BUCKETS
from pipeline.errors import UsageError, XlmrError
from pipeline.manifest import MANIFEST, read_manifest, usable_manifest
from pipeline.runner import MADE_FROM
from pipeline.storage import canonical_json, read_json

STAGE = "corpus.regroup"
COUNTS = "counts.json"


@dataclass(frozen=True)
class CorpusFile:
    """One file of the corpus: ``<language>/<bucket>-<number>.arrow``."""

    path: Path
    language: str
    bucket: str
    number: int

    @property
    def name(self) -> str:
        """A plain name, unique in the corpus: ``de.head-00000``."""
        return f"{self.language}.{self.path.stem}"


def find_corpus(place: Path) -> Path:
    """The output folder of corpus.regroup that ``place`` means.

    ``place`` is that folder itself, a run's folder (its latest complete corpus), or a run's YAML file.
    Errors: XlmrError or UsageError where there is no complete corpus.
    """
    if place.is_file():
        return _of_config(place)
    if (place / COUNTS).is_file():
        if (place / MADE_FROM).exists() and not (place / MANIFEST).exists():
            # A stage's output that is being made again: counts.json may be left of what was there before.
            raise XlmrError(f"{place}: this corpus is not complete", "run corpus.regroup to its end")
        return place
    if not place.is_dir():
        raise UsageError(f"{place}: no such file or folder", "name a corpus, a run's folder or its YAML file")
    made = [(manifest.started, path) for path in (place / STAGE).glob("*") if (manifest := usable_manifest(path))]
    if not made:
        raise UsageError(
            f"{place}: holds no complete corpus", "run corpus.regroup first; xlmr status lists the outputs"
        )
    return max(made)[1]


def _of_config(path: Path) -> Path:
    from pipeline.dag import Dag
    from pipeline.plan import make_plan

    dag = Dag.default()
    stage = make_plan(dag, dag.load_config(path))[STAGE]
    if not stage.fresh:
        raise XlmrError(f"{path}: its corpus is {stage.line()}", f"run it first: xlmr run {path} --until {STAGE}")
    return stage.output


def corpus_files(corpus: Path, languages: Collection[str] = (), buckets: Collection[str] = ()) -> list[CorpusFile]:
    """The files of some languages and buckets (empty: all of them), by language, then head, middle, tail, all.

    Errors: UsageError for a language or bucket that the corpus does not have.
    """
    files = files_among(corpus.glob("[!.]*/*.arrow"))
    for chosen, there, what in (
        (languages, {file.language for file in files}, "language"),
        (buckets, {file.bucket for file in files}, "bucket"),
    ):
        missing = sorted(set(chosen) - there)
        if missing:
            raise UsageError(f"{corpus}: has no {what} {', '.join(missing)}", f"it has {', '.join(sorted(there))}")
    return [f for f in files if (not languages or f.language in languages) and (not buckets or f.bucket in buckets)]


def files_among(paths: Iterable[Path]) -> list[CorpusFile]:
    """The files of a corpus, by their paths, in the order of ``corpus_files``; they need not be on this machine."""
    return sorted(map(_as_file, paths), key=lambda file: (file.language, BUCKETS.index(file.bucket), file.number))


def _as_file(path: Path) -> CorpusFile:
    bucket, _, number = path.stem.rpartition("-")
    if bucket not in BUCKETS or not number.isdigit():
        raise XlmrError(f"{path}: not a file of a corpus", "files are named <language>/<bucket>-<number>.arrow")
    return CorpusFile(path, path.parent.name, bucket, int(number))


def corpus_identity(corpus: Path) -> str:
    """What tells this corpus from another: the build in its manifest, or the counts where it has none."""
    manifest = read_manifest(corpus)
    return manifest.build if manifest else canonical_json(read_json(corpus / COUNTS))
