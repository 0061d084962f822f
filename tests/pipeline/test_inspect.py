"""``xlmr inspect``: what an output or a file holds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pipeline.cli import main
from pipeline.manifest import read_manifest


def test_inspect_shows_counts_and_records(toy, capsys):
    toy.run()
    assert main(["inspect", str(toy.output("toy.power"))]) == 0
    out = capsys.readouterr().out
    assert "toy.power (version 1)" in out
    assert "power  36" in out
    assert main(["inspect", str(toy.output("toy.sum") / "sum.txt")]) == 0
    assert "  6" in capsys.readouterr().out


def test_inspect_takes_all_that_a_pattern_names(toy, capsys):
    toy.run()
    toy.run("--toy.power.exponent", "3")
    outputs = sorted(str(path) for path in toy.output("toy.power").parent.iterdir() if not path.name.startswith("."))
    assert len(outputs) == 2
    assert main(["inspect", *outputs]) == 0
    assert capsys.readouterr().out.count("toy.power (version 1), key ") == 2


def test_numbers_are_shown_with_the_digits_that_a_float32_has(toy, capsys, tmp_path):
    import pyarrow as pa
    from pyarrow import parquet

    score = float(np.float32(0.9))
    assert score != 0.9
    table = {"score": pa.array([score], pa.float32()), "scores": pa.array([[score, 1e6]], pa.list_(pa.float32()))}
    parquet.write_table(pa.table(table), tmp_path / "x.parquet")
    assert main(["inspect", str(tmp_path / "x.parquet")]) == 0
    assert "  score: 0.9\n  scores: [0.9, 1000000.0]\n" in capsys.readouterr().out
    toy.run()
    manifest = read_manifest(toy.output("toy.sum"))
    assert manifest is not None
    replace(manifest, counts={"score": score}, warnings=["only one"]).write(toy.output("toy.sum"))
    assert main(["status", str(toy.folder / "runs")]) == 0
    assert "  score 0.9  1 warning\n" in capsys.readouterr().out
    assert main(["inspect", str(toy.output("toy.sum"))]) == 0
    assert "  score  0.9\n" in capsys.readouterr().out


def test_inspect_prints_no_binary_files(capsys, tmp_path):
    (tmp_path / "weights.bin").write_bytes(b"\x1b[2J\0line\n")
    assert main(["inspect", str(tmp_path / "weights.bin")]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'weights.bin'}: 10 bytes, binary\n"
