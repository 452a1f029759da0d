"""The arithmetic of a sweep's table against numpy and against counting."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from engine.errors import UserError
from train.sweep.plan import SweepConfig
from train.sweep.table import build_table, chance_of, markdown

COLUMNS = {
    "T2I": "text_to_image_r@10",
    "mean": ("image_to_text_r@10", "text_to_image_r@10"),
    "loss": "loss/a",
}
CONFIG = SweepConfig("r.yaml", {"one": {}, "two": {}, "three": {}}, (1, 2, 3), "one", COLUMNS, "mean")


def result(i2t: float, t2i: float, loss: float) -> dict[str, float]:
    sizes = {"images": 1000, "texts": 5000}
    return {"image_to_text_r@10": i2t, "text_to_image_r@10": t2i, "loss/a": loss, **sizes}


def test_means_spreads_and_paired_differences() -> None:
    drawn = np.random.default_rng(0).random((2, 3, 3))
    results = {
        row: {seed: result(*values) for seed, values in zip((1, 2, 3), drawn[number], strict=True)}
        for number, row in enumerate(("one", "two"))
    }
    del results["two"][2]
    table = build_table(CONFIG, results)
    means = 50 * (drawn[:, :, 0] + drawn[:, :, 1])
    one, two = table.rows
    assert (one.seeds, two.seeds) == ((1, 2, 3), (1, 3))
    assert one.cells["mean"].mean == pytest.approx(means[0].mean())
    assert one.cells["mean"].spread == pytest.approx(means[0].std(ddof=1))
    assert two.cells["loss"].mean == pytest.approx(drawn[1, [0, 2], 2].mean())
    assert one.difference is None
    assert two.difference is not None
    paired = means[1, [0, 2]] - means[0, [0, 2]]
    assert two.difference.mean == pytest.approx(paired.mean())
    assert two.difference.spread == pytest.approx(paired.std(ddof=1))
    p = means[0].mean() / 100
    assert table.sampling_error == pytest.approx(100 * math.sqrt(p * (1 - p) / 1000))
    lines = markdown(CONFIG, table).splitlines()
    assert [line.split(" | ")[0] for line in lines[2:5]] == ["| one", "| two", "| chance"]
    assert f"{paired.mean():+.2f} ± {paired.std(ddof=1):.2f} |" in lines[3]


def test_a_single_seed_has_no_spread() -> None:
    table = build_table(CONFIG, {"two": {1: result(0.1, 0.2, 5.0)}})
    assert table.rows[0].cells["mean"].spread is None
    assert table.rows[0].difference is None
    assert table.sampling_error is None
    assert "| two | 1 | 20.00 | 15.00 | 5.00 |  |" in markdown(CONFIG, table)


def test_chance_is_what_a_random_ranking_gives() -> None:
    """Counted over all orders of 3 images' 6 texts."""
    k, hits, orders = 2, 0, list(itertools.permutations([0, 0, 1, 1, 2, 2]))
    for order in orders:
        hits += 0 in order[:k]
    assert chance_of(f"image_to_text_r@{k}", 3, 6) == pytest.approx(100 * hits / len(orders))
    assert chance_of("text_to_image_r@2", 3, 6) == pytest.approx(200 / 3)
    assert chance_of("loss/vec", 1000, 5000) == pytest.approx(math.log(256))
    assert chance_of("loss/vec", 100, 500) == pytest.approx(math.log(100))
    assert chance_of("images", 3, 6) is None


def test_a_name_that_results_lack_is_refused_with_the_nearest() -> None:
    config = SweepConfig("r.yaml", {"one": {}}, (1,), "one", {"a": "loss/b"}, "a")
    with pytest.raises(UserError, match=r"columns.a: results.json has no 'loss/b' \(did you mean loss/a\?\)"):
        build_table(config, {"one": {1: result(0, 0, 0)}})
    with pytest.raises(UserError, match="no run of the sweep has results yet"):
        build_table(config, {})
