"""The report: one page that stands alone, says the same for the same run, and takes no name for markup."""

from __future__ import annotations

import itertools
import math
import re
from dataclasses import replace
from functools import partial
from html.parser import HTMLParser
from pathlib import Path

import pytest
import toy_package
from markupsafe import Markup
from matplotlib.text import Text

from pipeline.formatting import column, duration, short_number, size
from pipeline.report.body import ReportFigure, ReportTable, elements_of
from pipeline.report.charts import NARROW, bars, chart, legend, scale, side_by_side, stack
from pipeline.report.figures import COLOURS, bars_figure, png_of
from pipeline.report.page import ReportSection, table, write_report
from pipeline.stage import Package
from pipeline.stage_graph import draw_graph, lanes, reading_order

HOSTILE = '<script>alert("1")</script>&"\''
VOID = {"meta", "br", "hr", "img", "link", "input"}
EMPTY_IN_SVG = {"path", "circle", "use", "rect"}


class Page(HTMLParser):
    """Every element, and a complaint where one is closed that is not the innermost open one."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        assert len({name for name, _ in attrs}) == len(attrs), f"<{tag}> has an attribute twice"
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        assert tag in EMPTY_IN_SVG | VOID, f"<{tag}/> is not closed by that in HTML"
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.elements)


def toy_sections(outputs):
    """A section of everything the core offers, with hostile names where a name can stand."""
    if "toy.sum" not in outputs:
        return []
    power = chart(lambda axes: axes.plot([1, 2, 3], [1, 4, 9], label="a & b <c>"), title=HOSTILE)
    small = [chart(lambda axes: axes.bar([HOSTILE], [2]), title="small", width=1.8, height=1.2, caption=False)] * 2
    body = power + side_by_side(small) + legend([(HOSTILE, "tail")])
    body += bars([(HOSTILE, 3.0, HOSTILE), ("b", 1.0, "1")], log=True, marks=[2.0, None], legend=(HOSTILE, "x"))
    body += stack([(HOSTILE, 1.0, HOSTILE, "accent")])
    body += table((HOSTILE, "n"), [(HOSTILE, n) for n in range(30)], HOSTILE)
    return [ReportSection(HOSTILE, HOSTILE, body, [(HOSTILE, HOSTILE)])] * 2


@pytest.fixture
def package() -> Package:
    of = toy_package.PACKAGE
    return Package(of.name, of.config, of.stages, report="sections")


@pytest.fixture
def page(toy, package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    toy.run(until="toy.sum")
    outputs = {name: toy.output(name) for name in ("toy.write", "toy.sum")}
    path = tmp_path / "page.html"
    # Not by an import string: pytest does not import this module under a name of its own.
    monkeypatch.setattr("pipeline.report.page.load_object", lambda name: {"sections": toy_sections}[name])
    write_report([package], outputs, path)
    first = path.read_bytes()
    write_report([package], outputs, path)
    assert path.read_bytes() == first, "the same run must give the same bytes"
    return first.decode()


def test_page_is_well_formed_and_complete(page: str):
    parsed = Page(page)
    assert parsed.elements[0][0] == "html"
    assert [parsed.count(tag) for tag in ("h1", "main", "nav", "script", "link", "img")] == [1, 1, 1, 0, 0, 0]
    ids = [attributes["id"] for _, attributes in parsed.elements if "id" in attributes]
    outside_svg = [name for name in ids if not re.match(r"[0-9a-f]{8}-", name or "")]
    assert len(outside_svg) == len(set(outside_svg))
    links = [a["href"].removeprefix("#") for tag, a in parsed.elements if tag == "a"]
    assert set(links) <= set(ids)
    assert len(links) == 4  # the run, two sections of one title, how it was made
    assert "<h1>t</h1>" in page
    assert "not run" in page  # toy.power
    assert page.count('class="done"') == 2
    assert len(page) < 200_000


def test_page_needs_nothing_from_elsewhere(page: str):
    for _, attributes in Page(page).elements:
        for name in ("src", "href", "xlink:href", "srcset", "data", "action"):
            assert re.match(r"#|$", attributes.get(name) or ""), attributes
    assert "@import" not in page
    assert set(re.findall(r"url\((.)", page)) <= {"#"}
    assert "http" not in page


def test_hostile_names_stay_text(page: str):
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    parsed = Page(page)
    assert not [a for _, a in parsed.elements if any(name.startswith("on") for name in a)]


def test_page_of_nothing(tmp_path: Path):
    write_report([toy_package.PACKAGE], {}, tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    Page(text)
    assert "Nothing has run yet" in text
    assert text.count("not run") == 3


def height_of(png: bytes) -> int:
    return int.from_bytes(png[20:24])


def test_body_knows_its_tables_and_figures():
    small = [chart(lambda axes: axes.bar(["a"], [2]), title=title, width=1.8, height=1.2) for title in "bc"]
    body = Markup("<p>x</p>") + table((HOSTILE, "n"), [(HOSTILE, 1000 + n) for n in range(300)], "all of them")
    body += "<i>"
    body += side_by_side(small) + legend([("k", "tail")])
    body += bars([(f"l{n}", float(n + 1), "1") for n in range(40)], log=True, title="lengths")
    body += stack([("kept", 3.0, "75 %", "accent"), ("lost", 1.0, "25 %", "quiet")], "where it went")
    assert body.startswith("<p>x</p>")
    assert "&lt;i&gt;" in body
    rows, grid, lengths, whole = elements_of(body)
    assert isinstance(rows, ReportTable)
    assert (rows.headers, rows.caption, len(rows.rows)) == ((HOSTILE, "n"), "all of them", 300)
    assert rows.rows[0] == (HOSTILE, "1,000")
    figures = [element for element in (grid, lengths, whole) if isinstance(element, ReportFigure)]
    assert [figure.title for figure in figures] == ["", "lengths", "where it went"]
    assert [len(figure.panels) for figure in figures] == [2, 2, 1]
    pictures = [png_of([figure]) for figure in figures]
    assert pictures == [png_of([figure]) for figure in figures], "the same figure must give the same bytes"
    assert all(picture.startswith(b"\x89PNG") and len(picture) < 60_000 for picture in pictures)
    heights = [height_of(picture) for picture in (*pictures, png_of(figures))]
    assert heights[-1] == sum(heights[:-1]), "one under the other"
    assert elements_of(Markup("<p>")) == ()


def test_title_of_a_picture_stands_above_a_legend_above_its_panel():
    drawn = []

    def draw(axes):
        for number in range(7):
            axes.barh([number], [1], label=f"a series that is named at length, {number}")
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
        drawn.append(axes)

    figures = [ReportFigure(title, (("", draw),), 6.0, 3.0, 1) for title in ("accuracy by language", "loss")]
    png_of(figures)
    for axes, figure in zip(drawn, figures, strict=True):
        (title,) = [text for text in axes.get_children() if isinstance(text, Text) and text.get_text() == figure.title]
        assert title.get_window_extent().y0 > axes.get_legend().get_window_extent().y1


@pytest.mark.parametrize("number", [1, 3, 30])
def test_labels_of_bars_stand_clear_of_each_other_in_a_picture(number):
    bars_of = [(f"l{n}", 100.0 - n, "text", 50.0) for n in range(number)]
    figure = bars_figure("", bars_of, "a note that takes two lines below the bars, " * 2, 33.3, ("this", "that"))
    drawn = []

    def kept(draw, axes):
        draw(axes)
        drawn.append(axes)

    panels = tuple((title, partial(kept, draw)) for title, draw in figure.panels)
    png_of([replace(figure, panels=panels)])
    boxes = [label.get_window_extent() for label in drawn[0].get_yticklabels()]
    assert all(above.y0 >= below.y1 - 1 for above, below in itertools.pairwise(boxes))


def test_bars_on_a_log_scale_by_hand():
    share, low, step = scale([1000, 10_000, 100_000, 0], log=True)
    assert low == 100  # the power of ten *under* the smallest: 1,000 itself still has a bar
    assert step == pytest.approx(100 / 3, abs=0.001)
    assert [share(value) for value in (0, 1000, 10_000, 100_000)] == [0, 33.33, 66.67, 100]
    drawn = bars([("a", 1000, "x"), ("b", 100_000, "y")], log=True)
    assert re.findall(r"width:([\d.]+)%", drawn) == ["33.33", "100.0"]
    assert "bars start at 100," in drawn


def test_bars_on_a_plain_scale_by_hand():
    drawn = bars([("a", 1.0, "1"), ("b", 4.0, "4"), ("c", 0.0, "0")], marks=[5.0, None, 2.5], legend=("now", "then"))
    assert re.findall(r"width:([\d.]+)%", drawn) == ["20.0", "80.0", "0.0"]
    assert re.findall(r"left:([\d.]+)%", drawn) == ["100.0", "50.0"]
    assert "Log scale" not in drawn


@pytest.mark.parametrize("rows", [[], [("a", 0.0, "0")], [("a", 7.0, "7")]])
@pytest.mark.parametrize("log", [True, False])
def test_bars_of_little(rows, log):
    Page(bars(rows, log=log))


def test_stack_by_hand():
    drawn = stack([("a", 1, "1", "accent"), ("b", 3, "3", "tail")])
    assert re.findall(r"width:([\d.]+)%", drawn) == ["25.0", "75.0"]
    with pytest.raises(ValueError, match="not colours of the page"):
        stack([("a", 1, "1", '"><script>')])


def test_chart_takes_the_colours_of_the_page_and_fits_a_phone():
    drawn = chart(lambda axes: axes.plot([1, 2], [3, 4], color=COLOURS["accent"]), title="rise & run")
    assert drawn.count("<svg") == 2
    assert drawn.count('aria-label="rise &amp; run"') == 2
    assert "var(--accent)" in drawn
    assert "currentColor" in drawn
    assert f"max-width:{round(96 * NARROW)}px" in drawn
    left = set(re.findall(r"#[0-9a-f]{6}\b", drawn))
    assert not left & {"#000000", "#ffffff"}, "neither black nor white is legible on every page"
    ids = re.findall(r' id="([^"]+)"', drawn)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:url\(#|href="#)([^)"]+)', drawn)) == set(ids)
    assert "2.0" in re.sub(r"<[^>]+>", " ", drawn)  # text is text


def test_numbers_in_tables():
    drawn = table(
        ("name", "count", "share", "mixed", "text"),
        [("a", 1234567, 12.346, 1, "12.3 ± 0.4"), ("b", -5, 0.001, 0.12345, None), (HOSTILE, None, None, True, "x")],
    )
    Page(drawn)
    rows = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", line) for line in drawn.splitlines() if line.startswith("<tr><th")]
    assert rows[0][1:] == ["1,234,567", "12.35", "1", "12.3 ± 0.4"]
    assert rows[1][1:] == ["−5", "&lt; 0.01", "0.123", "–"]
    assert rows[2][1:] == ["–", "–", "yes", "x"]
    heads = re.findall(r'<th scope="col"( class="number")?>', drawn)
    assert [bool(head) for head in heads] == [False, True, True, True, False]


def test_long_tables_are_folded_and_empty_ones_are_not_a_fault():
    assert "<details>" in table(("n",), [(n,) for n in range(30)], "many")
    assert "<details>" not in table(("n",), [(n,) for n in range(30)], "many", folded=False)
    Page(table(("a", "b"), []))
    with pytest.raises(ValueError, match=r"shorter|longer"):
        table(("a", "b"), [(1, 2), (3,)])


def test_a_column_of_real_numbers_is_in_line():
    assert column([0.5, 0.25, 0.00001]) == ["0.500", "0.250", "< 0.001"]
    assert column([1234.6, 3.0]) == ["1,235", "3"]
    assert column([1.5, -2.25, None, "no spaces"]) == ["1.50", "−2.25", "–", "no spaces"]
    assert column([math.nan, 1.0]) == ["nan", "1.00"]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.012, "12 ms"), (0.9996, "1.0 s"), (59.94, "59.9 s"), (59.96, "1 min 00 s"), (200, "3 min 20 s"),
     (3599.6, "1 h 00 min"), (7500, "2 h 05 min"), (86_400 * 3.5, "3 d 12 h")],
)  # fmt: skip
def test_durations(seconds, words):
    assert duration(seconds) == words


def test_sizes_and_short_numbers():
    assert [size(n) for n in (0, 999, 25_400, 11_588_573, 2.5e9)] == ["0 B", "999 B", "25 kB", "11.6 MB", "2.5 GB"]
    assert [short_number(n) for n in (999_999, 278_294_418, 3.48e9)] == ["999,999", "278.3 M", "3.5 G"]


def test_stages_stand_near_what_they_are_made_from():
    inputs = {"a": (), "models": (), "b": ("a",), "c": ("a", "b", "models")}
    assert reading_order(inputs) == ["a", "b", "models", "c"]


def test_lanes_that_meet_have_their_own_place():
    order = ["a", "b", "c", "d", "e"]
    found = lanes(order, {"a": (), "b": ("a",), "c": ("a",), "d": ("a", "c"), "e": ("c", "d")})
    assert [(lane.source, lane.targets) for lane in found] == [(0, (2, 3)), (2, (4,))]
    assert found[0].number != found[1].number  # 0–3 and 2–4 run beside each other
    apart = lanes(order, {"a": (), "b": (), "c": ("a",), "d": (), "e": ("c",)})
    assert [lane.number for lane in apart] == [0, 0]
    drawn = draw_graph(order, {"a": (), "b": ("a",), "c": (), "d": (), "e": (HOSTILE,)}, {"a": 1})
    Page(drawn)
    assert drawn.count('class="done"') == 1
    assert isinstance(drawn, Markup)
