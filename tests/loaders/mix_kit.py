"""Two small data sets that differ in all that streams of a mix may differ in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from loaders.loader import DataConfig, StreamConfig
from loaders.policy import CaptionPolicy
from tests.loaders.corpus import Sample, make_samples, write_dataset

GLOBAL = 8
VECAP, DFN = 37, 21


def make_streams() -> tuple[list[Sample], list[Sample]]:
    """VeCap: two sources, no scores. DFN: AltText and rewrites, in another order, with scores."""
    vecap = make_samples(VECAP)
    dfn = [
        replace(
            sample,
            key=f"dfn/{i:04d}",
            captions={"rewrite": sample.captions["vecap"], "alttext": sample.captions["alttext"]},
        )
        for i, sample in enumerate(make_samples(DFN))
    ]
    return vecap, dfn


def write_streams(folder: Path) -> dict[str, StreamConfig]:
    vecap, dfn = make_streams()
    return {
        "vecap": StreamConfig(
            str(write_dataset(folder / "vecap", vecap, shards=5, with_scores=False)), weight=2
        ),
        "dfn": StreamConfig(
            str(write_dataset(folder / "dfn", dfn, shards=3, sources=("rewrite", "alttext"))),
            policy=CaptionPolicy({"alttext": 1}, within="hcs"),
        ),
    }


def mix_config(streams: dict[str, StreamConfig], **settings: object) -> DataConfig:
    """`data.policy` is the VeCap stream's."""
    own = {"image_size": 8, "seed": 5, "threads": 1, **settings}
    return DataConfig(batch_size=GLOBAL, streams=streams, **own)  # type: ignore[arg-type]
