"""A study file: a base configuration, what its variants change, what is measured, the figure, the published numbers.

YAML -> StudyFile. Every variant is a complete configuration of a run; ``pipeline/study/variants.py`` makes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import field_validator, model_validator

from pipeline.config import Section, read_section, setting
from pipeline.errors import UsageError

VARIANT, LANGUAGE = "variant", "language"
"""What may stand on the axis of x besides a setting: the names of variants, the languages of a measure."""

Number = int | float
Values = dict[str, Any]


class NamedVariant(Section):
    """Some settings under one name."""

    name: str = setting(..., "how figure and table call it", min_length=1, max_length=60)
    series: str = setting("", "what its points are joined under; empty: the name")
    settings: Values = setting({}, "dotted name -> value, over those of the study")


class Measured(Section):
    """One number of each variant, or one for each group of languages."""

    measure: str = setting(..., "full name of a measure, as pretrain.train.validation_loss")
    title: str = setting("", "what the axis says; empty: the measure's own title")
    x: str = setting("", "what is on its axis of x, where that is not the figure's")
    groups: dict[str, tuple[str, ...]] = setting(
        {}, "name -> languages over which the mean is taken; without groups, the measure's value over everything"
    )
    y_scale: Literal["linear", "log"] = setting("linear", "scale of the axis")
    percent: bool = setting(False, "the measure is a share, and is shown in percent")

    @property
    def stage(self) -> str:
        """The stage that it is a measure of."""
        return self.measure.rpartition(".")[0]

    @field_validator("measure")
    @classmethod
    def _has_a_stage(cls, name: str) -> str:
        if name.count(".") != 2:
            raise ValueError("a measure is written package.stage.name, as pretrain.train.validation_loss")
        return name


class FigureSettings(Section):
    """How the numbers are drawn. Variants with the same x and series are one point, with their deviation."""

    kind: Literal["line", "bars"] = setting("line", "points joined by lines, or bars side by side")
    x: str = setting(..., "what is on the axis: a setting by its dotted name, variant, or language")
    x_title: str = setting("", "what the axis says")
    x_scale: Literal["linear", "log"] = setting("linear", "scale of the axis, where x is a number")
    series: str = setting("", "what makes a line of its own beside the groups: a setting, or variant; empty: nothing")


class PublishedNumbers(Section):
    """Numbers of a paper, drawn as ours are and beside them."""

    source: str = setting(..., "the paper and its figure, table or section", min_length=1)
    title: str = setting(..., "what the numbers are, with their unit", min_length=1)
    series: dict[str, dict[Number | str, Number]] = setting(..., "series -> x -> number", min_length=1)
    x_title: str = setting("", "what the axis says; empty: as in our figure")
    y_scale: Literal["linear", "log"] = setting("linear", "scale of the axis")
    note: str = setting("", "what is to be known of them")


class StudyFile(Section):
    """A whole study."""

    title: str = setting(..., "what is studied", min_length=1)
    of: str = setting(..., "the figure or table of a paper that it repeats", min_length=1)
    size: Literal["paper", "demo"] = setting(..., "whether it has the paper's size, or one that two cores finish")
    base: Path = setting(..., "configuration that all variants start from, beside this file or above it")
    settings: Values = setting({}, "dotted name -> value, over the base, of all variants")
    grid: dict[str, list[Any]] = setting(
        {}, "setting, or several with commas between that change as one, -> values: every combination is a variant"
    )
    variants: tuple[NamedVariant, ...] = setting((), "variants by name; with a grid, each of them over the whole grid")
    measured: tuple[Measured, ...] = setting(..., "what is measured of each variant", min_length=1)
    figure: FigureSettings = setting(..., "how it is drawn")
    published: tuple[PublishedNumbers, ...] = setting((), "the paper's numbers")
    unpublished: str = setting("", "what the paper does not say, and what this file has in its place")
    says: str = setting(..., "what the numbers can show at this size", min_length=1)
    does_not_say: str = setting(..., "what they cannot", min_length=1)

    @field_validator("grid")
    @classmethod
    def _has_values(cls, grid: Mapping[str, list[Any]]) -> Mapping[str, list[Any]]:
        if empty := [name for name, values in grid.items() if not values]:
            raise ValueError(f"{empty[0]} has no values")
        return grid

    @model_validator(mode="after")
    def _has_variants(self) -> StudyFile:
        if not self.grid and not self.variants:
            raise ValueError("a study needs a grid or variants")
        names = [variant.name for variant in self.variants]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"two variants have the name {twice!r}")
        if VARIANT in (self.figure.x, self.figure.series) and not self.variants:
            raise ValueError("the figure shows variants by name, and there are none with a name")
        return self

    @property
    def measured_stages(self) -> tuple[str, ...]:
        """The stages that are measured, each once."""
        return tuple(dict.fromkeys(measured.stage for measured in self.measured))


def read_study(path: Path) -> StudyFile:
    """The checked study file; its base is a path from here. Errors: UsageError, one line that names file and fix."""
    found = read_section(StudyFile, path)
    base = path.parent / found.base
    if not base.is_file():
        raise UsageError(f"{path}: base: {base} is no file", "name a configuration, by its path from the study file")
    return found.model_copy(update={"base": base})
