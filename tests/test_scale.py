"""docs/scale.md is what its script writes, from inputs whose sources say what is claimed."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts import scale

ROOT = Path(__file__).parents[1]
CONTENT: dict[str, Any] = yaml.safe_load(scale.INPUTS.read_text(encoding="utf-8"))


class Watched(scale.Inputs):
    """Inputs that know which of them were asked for."""

    def __init__(self, content: dict[str, Any]) -> None:
        super().__init__(content)
        self.asked: set[str] = set()

    def __getitem__(self, name: str) -> float:
        self.asked.add(name)
        return super().__getitem__(name)


def test_the_page_is_as_it_is_computed_and_reads_every_input() -> None:
    """``python -m scripts.scale > docs/scale.md`` writes it."""
    inputs = Watched(CONTENT)
    assert (ROOT / "docs" / "scale.md").read_text(encoding="utf-8") == scale.page(inputs)
    assert inputs.asked == inputs.entries.keys()


def test_sources_say_what_is_claimed() -> None:
    for name, one in scale.Inputs(CONTENT).entries.items():
        assert one["source"], name
        assert one["unit"], name
        if one["source"].startswith("docs/"):
            text = (ROOT / one["source"]).read_text(encoding="utf-8")
            assert one["quote"] in text, f"{name}: {one['source']} does not say {one['quote']!r}"


def row(page: str, name: str) -> list[str]:
    (line,) = [line for line in page.splitlines() if line.startswith(f"| {name} |")]
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


def dollars(cell: str) -> float:
    return float(cell.removeprefix("$").replace(",", ""))


def test_other_prices_and_networks_give_other_pages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
    changed = copy.deepcopy(CONTENT)
    changed["prices"]["gpu_hour"]["value"] *= 2
    changed["prices"]["core_hour"]["value"] = 0
    changed["machines"]["network"]["value"] = 50e9
    file = tmp_path / "inputs.yaml"
    file.write_text(yaml.safe_dump(changed))
    assert scale.main(["--inputs", str(file)]) == 0
    after = capsys.readouterr().out
    assert dollars(row(after, "Base on 8")[5]) == pytest.approx(2 * dollars(row(before, "Base on 8")[5]), rel=0.02)
    assert row(after, "XXL on 512")[2] == row(after, "XXL on 512")[3] == row(before, "XXL on 512")[3]
    assert row(after, "money: cores")[0] == "$0.00"
    assert row(after, "money in all")[0] == row(before, "money: storage for a month")[0]


def test_money_and_hours_follow_from_one_another() -> None:
    page = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
    hours, costs = (dollars(row(page, name)[0]) for name in ("core-hours", "money: cores"))
    assert costs == pytest.approx(hours * CONTENT["prices"]["core_hour"]["value"], rel=0.01)
    for size in ("Base", "Large", "XL", "XXL"):
        for gpus in (8, 64, 512):
            cells = row(page, f"{size} on {gpus}")
            days = float(cells[2].removesuffix(" d"))
            assert dollars(cells[4]) == pytest.approx(days * 24 * gpus, rel=0.01)
            assert dollars(cells[5]) == pytest.approx(
                dollars(cells[4]) * CONTENT["prices"]["gpu_hour"]["value"], rel=0.01
            )
    (share,) = set(re.findall(r"GPUs compute at (\d+)% of 790", page))
    assert share == "40"
