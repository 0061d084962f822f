"""Keys of stages: every setting of the tree, one after the other, changed while it is live and while it is inert."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Any, ClassVar, Literal, Union

import pytest
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from pipeline.config import Section, affects_result, fingerprint, setting
from pipeline.dag import Dag
from pipeline.keys import changed_settings, key_settings

DAG = Dag.default()
MODEL = DAG.config_model

LIVE: dict[str, list[dict[str, Any]]] = {
    "corpus.fetch.base": [{"corpus.fetch.dumps": ["CC-MAIN-2019-09"]}],
    "corpus.fetch.kind": [{"corpus.fetch.dumps": ["CC-MAIN-2019-09"]}],
    "corpus.fetch.index": [{"corpus.fetch.index.files": "x", "corpus.fetch.index.hosts": ["x.org"]}],
    "corpus.language_id.least_letters": [{"corpus.language_id.labels": "cc100"}],
    "corpus.language_id.document_prior": [
        {
            "corpus.mine.unit": "paragraph",
            "corpus.language_id.labels": "cc100",
            "corpus.language_id.document_prior.enabled": True,
        }
    ],
    "corpus.near_duplicates": [{"corpus.near_duplicates.enabled": True}],
    "corpus.mine.dumps": [{"corpus.fetch.dumps": ["CC-MAIN-2019-09"]}],
    "corpus.filters.only_hosts": [
        {"corpus.filters.rules": ["only_hosts"], "corpus.filters.only_hosts.hosts": ["y.org"]}
    ],
    "corpus.filters.placeholders": [{"corpus.filters.mask": ["email", "iban", "credit_card", "ipv4", "ipv6", "phone"]}],
    **{
        f"corpus.filters.{rule}": [{"corpus.filters.rules": [rule]}]
        for rule in ("url_lists", "length", "script", "refinedweb", "c4", "mc4", "gopher_quality",
                     "gopher_repetition", "fineweb", "bad_words")
    },
    "tokenizer.study": [{"tokenizer.study.alphas": [0.3]}],
    "tokenizer.train.seed": [{"tokenizer.train.input_sentence_size": 9}],
    "pretrain.data.weights": [{"pretrain.data.mixing": "weights", "pretrain.data.weights": {"en": 1.0}}],
    "pretrain.pairs": [{"pretrain.pairs.files": ["x.de-en.tsv"]}],
    "finetune.help_pages": [
        {},
        {"finetune.help_pages.format": "tsv"},
        {"finetune.help_pages.kind": "tagging", "finetune.help_pages.format": "conll"},
    ],
    "finetune.task": [{"finetune.task.name": name} for name in ("xnli", "squad")] + [
        {"finetune.task.name": "xnli", "finetune.task.source": "hub"}
    ],
    "finetune.task.own": [
        {"finetune.task.name": "own", "finetune.task.own.kind": kind, "finetune.task.own.format": form}
        for kind, form in (("classification", "tsv"), ("tagging", "conll"), ("span", "squad"))
    ],
    "finetune.recipe": [{"finetune.task.name": "squad"}],
}  # fmt: skip
"""What switches a setting, or all of a section, on; without a line it is live by itself."""

PARTNERS: dict[str, dict[str, Any]] = {
    "corpus.near_duplicates.bands": {"corpus.near_duplicates.rows": 2},
    "corpus.near_duplicates.rows": {"corpus.near_duplicates.bands": 2},
    "pretrain.comparable.ablation": {"pretrain.train.initialisation": "comparable_pages"},
    "pretrain.comparable.most_pages": {"pretrain.train.initialisation": "comparable_pages"},
    "pretrain.comparable.patterns": {"pretrain.train.initialisation": "comparable_pages"},
    "pretrain.train.reduce_bucket_size": {"pretrain.train.zero_stage": 1},
    "pretrain.train.allgather_bucket_size": {"pretrain.train.zero_stage": 1},
    "pretrain.train.offload_optimizer": {"pretrain.train.zero_stage": 1},
    "finetune.protocol.initialisations": {"finetune.protocol.seeds": [1]},
    "corpus.fetch.index.files": {"corpus.fetch.index.hosts": ["x.org"]},
    "finetune.help_pages.kind": {"finetune.help_pages.format": "conll"},
    "finetune.task.own.kind": {"finetune.task.own.format": "conll"},
}
"""What has to be given together with a setting."""

VALUES: dict[str, Any] = {
    "corpus.filters.gopher_repetition.max_top_ngram": {2: 0.5},
    "corpus.filters.gopher_repetition.max_duplicate_ngrams": {5: 0.5},
    "corpus.fetch.pick": "0:3",
    "corpus.filters.languages": {"de": {"rules": ["length"]}},
    "corpus.mine.dumps": {"*": ["CC-MAIN-2019-09"]},
    "corpus.mine.languages": ["de"],
    "corpus.mine.steps": ["deduplicate", "identify", "select", "filter", "mask", "write"],
    "corpus.fetch.dumps": ["CC-MAIN-2019-09"],
    "corpus.language_models.sort_memory": "2G",
    "corpus.language_id.labels": "cc100",
    "corpus.language_id.identifier": "my.identifier:identify",
    "corpus.filters.own": ["my.rules:no_dots"],
    "pretrain.comparable.patterns": ["https://(?P<language>[a-z]+)[.]x[.]org/.*"],
    "pretrain.model.layer": "my.layers:Layer",
    "pretrain.data.mixing": "my.mixing:shares",
    "pretrain.data.weights": {"de": 2.0},
    "pretrain.data.masking": "span",
    "pretrain.train.deepspeed": {"prescale_gradients": True},
    "pretrain.train.trackers": ["my.trackers:Tracker"],
    "finetune.help_pages.format": "my.readers:read",
    "finetune.task.own.format": "my.readers:read",
    "finetune.task.metric": "my.metrics:score",
    "run.partition": "1/3",
    "run.executor": "beam",
    "run.dask.cluster": "slurm",
}
"""Values for settings whose type does not say what they may be."""


def leaves(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo, bool]]:
    """(dotted name, field, whether it and all sections above it count) for each setting."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from ((n, f, c and affects_result(field)) for n, f, c in leaves(kind, f"{prefix}{name}."))
        else:
            yield f"{prefix}{name}", field, affects_result(field)


def others(kind: Any, default: Any) -> Iterator[Any]:  # noqa: C901, PLR0912 - one branch a type
    """Values of a type, other than the default."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        yield from others(inner[0], default)
    elif origin in (Union, UnionType):
        for one in inner:
            yield from others(one, default)
    elif origin is Literal:
        yield from inner
    elif origin in (tuple, list):
        yield from ([value] for value in others(inner[0], None))
        if inner[-1] is not Ellipsis:
            yield [value / 2 for value in default]
    elif origin is dict:
        yield from ({"de": value} for value in others(inner[1], None))
    elif kind is bool:
        yield from (True, False)
    elif kind is int:
        yield from (2, 3, 5, 64, 1000, 2**21, (default or 0) + 1, (default or 0) * 2)
    elif kind is float:
        yield from (0.25, 0.95, 1.5, 3)
    elif kind is str:
        yield from ("x", "7", "utf-16")
    elif kind is Path:
        yield Path("elsewhere")
    elif kind is Any:
        yield 7


def build(settings: dict[str, Any]) -> Section:
    values: dict[str, Any] = {}
    for dotted, value in settings.items():
        *parents, leaf = dotted.split(".")
        here = values
        for parent in parents:
            here = here.setdefault(parent, {})
        here[leaf] = value
    return MODEL.model_validate(values)


def keys_of(config: Section) -> dict[str, Any]:
    return {name: key_settings(DAG.stage_config(stage, config)) for name, stage in DAG.stages.items()}


def changed_by(dotted: str, field: FieldInfo, given: dict[str, Any]) -> set[str] | None:
    """The stages whose key another value of the setting changes; None where no other value fits."""
    partners = {name: value for name, value in PARTNERS.get(dotted, {}).items() if name not in given}
    try:
        before = build(given | (partners if dotted not in PARTNERS else {}))
    except ValidationError:
        return None
    current: Any = before
    for name in dotted.split("."):
        current = getattr(current, name)
    some = (
        [VALUES[dotted]] if dotted in VALUES else others(field.annotation, field.get_default(call_default_factory=True))
    )
    for value in some:
        if value == current or (isinstance(value, list) and tuple(value) == current):
            continue
        try:
            after = build(given | partners | {dotted: value})
        except (ValidationError, ValueError):
            continue
        old, new = keys_of(before), keys_of(after)
        return {name for name in old if old[name] != new[name]}
    return None


def switches(dotted: str) -> list[dict[str, Any]]:
    words = dotted.split(".")
    names = (".".join(words[:n]) for n in range(len(words), 0, -1))
    return next((LIVE[name] for name in names if name in LIVE), [{}])


def readers(dotted: str) -> set[str]:
    """The stages whose section of settings holds this one."""
    package, section = dotted.split(".")[:2]
    return {
        name for name, stage in DAG.stages.items() if stage.package == package and section in stage.config.model_fields
    }


SETTINGS = {name: (field, counts) for name, field, counts in leaves(MODEL) if name != "pretrain.model.preset"}
"""The preset is short for other settings, which count."""


@pytest.mark.parametrize("dotted", SETTINGS)
def test_a_setting_changes_its_stages_where_it_is_live_and_nothing_elsewhere(dotted):
    field, counts = SETTINGS[dotted]
    found = [changed_by(dotted, field, given) for given in switches(dotted)]
    tried = [stages for stages in found if stages is not None]
    assert tried, f"no other value of {dotted} is valid: add one to VALUES, or what goes with it to PARTNERS"
    everything = set().union(*tried)
    assert everything <= readers(dotted)
    assert bool(everything) == (counts and not dotted.startswith("run."))


INERT: dict[str, dict[str, Any]] = {
    "corpus.near_duplicates.threshold": {},
    "corpus.filters.gopher_quality.min_words": {"corpus.filters.rules": ["length"]},
    "corpus.filters.placeholders.iban": {"corpus.filters.mask": ["email"]},
    "corpus.language_id.model": {"corpus.language_id.identifier": "my.identifier:identify"},
    "corpus.mine.languages": {"corpus.mine.steps": ["deduplicate", "identify", "filter", "mask", "score", "write"]},
    "corpus.filters.rules": {"corpus.mine.steps": ["deduplicate", "identify", "select", "mask", "score", "write"]},
    "corpus.filters.mask": {"corpus.mine.steps": ["deduplicate", "identify", "select", "filter", "score", "write"]},
    "corpus.fetch.base": {},
    "corpus.fetch.kind": {},
    "corpus.language_models.order": {"corpus.language_models.folder": "models"},
    "corpus.perplexity.head_percentile": {"corpus.perplexity.cutoffs": "table.json"},
    "tokenizer.train.vocab_size": {"tokenizer.existing.model": "x.model"},
    "tokenizer.sample.alpha": {"tokenizer.existing.model": "x.model"},
    "tokenizer.train.shrinking_factor": {"tokenizer.train.model_type": "bpe"},
    "tokenizer.train.seed": {},
    "tokenizer.study.test_share": {},
    "pretrain.pairs.validation_share": {},
    "finetune.task.folder": {},
    "finetune.task.own.header": {"finetune.task.name": "xnli"},
    "finetune.task.hub_name": {"finetune.task.name": "xnli"},
    "finetune.task.translated_test": {"finetune.task.name": "squad"},
    "finetune.recipe.stride": {"finetune.task.name": "xnli"},
    "finetune.protocol.baseline_rows": {"finetune.protocol.baselines": False},
}  # fmt: skip


@pytest.mark.parametrize("dotted", INERT)
def test_a_setting_of_what_is_switched_off_changes_no_key(dotted):
    assert changed_by(dotted, SETTINGS[dotted][0], INERT[dotted]) == set()


def test_inert_names_are_settings():
    """A typing error there would leave a setting in the keys."""

    def check(section: BaseModel) -> None:
        known = {name for name, *_ in leaves(type(section))}
        known |= {name.rpartition(".")[0] for name in known} | set(type(section).model_fields)
        if isinstance(section, Section):
            assert set(section.inert()) <= known
        for name in type(section).model_fields:
            if isinstance(value := getattr(section, name, None), BaseModel):
                check(value)

    for given in (
        {},
        {"corpus.language_models.folder": "x"},
        {"finetune.task.name": "squad"},
        {"corpus.perplexity.cutoffs": "x"},
        {"tokenizer.train.model_type": "bpe"},
        {"tokenizer.study.alphas": [0.3]},
    ):
        config = build(given)
        check(config)
        for stage in DAG.stages.values():
            check(DAG.stage_config(stage, config))


class Inner(Section):
    on: bool = setting(False)
    size: int = setting(3)

    def inert(self):
        return () if self.on else ("size",)


class Older(Section):
    inner: Inner = setting(Inner())
    kept: int = setting(1)


class Newer(Section):
    inner: Inner = setting(Inner())
    kept: int = setting(1)
    added: str = setting("as before")


def test_a_setting_that_is_added_at_its_default_changes_no_key():
    assert key_settings(Older(kept=4)) == key_settings(Newer(kept=4)) == {"kept": 4}
    assert key_settings(Newer(added="otherwise")) == {"added": "otherwise"}
    assert list(changed_settings(fingerprint(Older()), Newer())) == []


def test_only_what_counts_is_said_to_have_changed():
    before = fingerprint(Newer())
    assert list(changed_settings(before, Newer(inner=Inner(size=9)))) == []
    on = Newer(inner=Inner(on=True, size=9))
    assert list(changed_settings(before, on)) == ["inner.on False → True", "inner.size 3 → 9"]
    assert list(changed_settings(fingerprint(on), Newer())) == ["inner.on True → False", "inner.size 9 → 3"]
    assert list(changed_settings({"kept": 1, "old": 2}, Newer(kept=2))) == ["kept 1 → 2"]


class _Now(Section):
    renamed: ClassVar[dict[str, str]] = {"width": "hidden_size", "depth": "layers"}
    hidden_size: int = setting(8)
    layers: int = setting(2)


class _Around(Section):
    renamed: ClassVar[dict[str, str]] = {"net": "model"}
    model: _Now = setting(_Now())


@pytest.mark.parametrize(
    ("before", "now", "lines"),
    [
        ({"net": {"width": 8, "depth": 2}}, {}, []),
        ({"net": {"width": 16, "depth": 2}}, {"hidden_size": 16}, ["net.width has the name model.hidden_size now"]),
        ({"net": {"width": 16, "depth": 2}}, {"hidden_size": 32}, ["model.hidden_size 16 → 32"]),
    ],
)
def test_a_setting_with_another_name_is_explained(
    before: dict[str, Any], now: dict[str, int], lines: list[str]
) -> None:
    assert list(changed_settings(before, _Around(model=_Now(**now)))) == lines
