"""What a measurement found, as a table with the recommended settings, and as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import yaml

from engine.ui import count_of, table
from loaders.loader import DataConfig
from loaders.tune.choice import Measured, choose, noise
from loaders.tune.search import Found

FORMAT = "veclip-tune/1"
HEADER = ("decoder", "threads", "prefetch", "samples/s", "spread", "CPU s/1,000", "left to native", "turns")
LIMITS = """# The loader alone was measured, on the same samples again and again. With training on the same
# cores fewer threads may be better, and every rate above what the model consumes is enough."""


@dataclass(frozen=True)
class Setting:
    """What was measured where: a recipe, ranks that share the machine, cores of one and its device."""

    path: str
    recipe: DataConfig
    ranks: int
    cores: int
    device: str


def as_text(found: Found, setting: Setting) -> str:
    """Return the table, fastest first, and the lines to paste."""
    if not found.turns:
        return "nothing was measured yet"
    best = choose(found.finalists())
    parts = [_title(found, setting), table([HEADER, *(_row(one) for one in _ranked(found))])]
    parts += [f"{decoder} was left out: {why}" for decoder, why in found.left_out.items()]
    parts += [
        f"\n# Within {noise(found.finalists()):.0%} of the fastest; of these the least processor time, then "
        "exact pixels, the fewest threads, the smallest prefetch:",
        yaml.safe_dump({"data": recommended(best, setting.recipe.num_workers)}, sort_keys=False).rstrip(),
        LIMITS,
    ]
    return "\n".join(parts)


def as_json(found: Found, setting: Setting, stopped: bool) -> dict[str, Any]:
    """Return the same as an object; `stopped`: before the time was over."""
    workers = setting.recipe.num_workers
    return {
        "format": FORMAT,
        "recipe": setting.path,
        "image_size": setting.recipe.image_size,
        "dtype": setting.recipe.dtype,
        "batch_size": setting.recipe.batch_size,
        "measured_batch_size": found.batch_size,
        "ranks": setting.ranks,
        "cores": setting.cores,
        "device": setting.device,
        "seconds": round(found.seconds, 1),
        "stopped": stopped,
        "measured": [_object(one) for one in _ranked(found)],
        "left_out": found.left_out,
        "recommended": recommended(choose(found.finalists()), workers) if found.turns else None,
    }


def recommended(best: Measured, workers: int) -> dict[str, Any]:
    """Return what belongs under `data` in a recipe that has so many `workers`."""
    one = best.candidate
    more = {} if one.workers == workers else {"num_workers": one.workers}
    return {"decoder": one.decoder, "threads": one.threads, "prefetch": one.prefetch, **more}


def _ranked(found: Found) -> list[Measured]:
    return sorted(found.measured(), key=lambda one: -one.rate)


def _title(found: Found, setting: Setting) -> str:
    recipe, batch = setting.recipe, found.batch_size
    cut = f" (not {recipe.batch_size:,}, which take too long)" if batch < recipe.batch_size else ""
    cores = count_of(setting.cores, "core") + (f", one of {setting.ranks} ranks" if setting.ranks > 1 else "")
    return (
        f"{setting.path}: batches of {batch:,}{cut} at {recipe.image_size} px, {recipe.dtype}; "
        f"{cores}, {setting.device}; {found.seconds:.0f} s"
    )


def _row(one: Measured) -> tuple[str, ...]:
    threads = f"{one.candidate.workers} x {one.candidate.threads}" if one.candidate.workers else None
    return (
        one.candidate.decoder,
        threads or str(one.candidate.threads),
        str(one.candidate.prefetch),
        f"{one.rate:,.0f}",
        "" if one.spread is None else f"{one.spread:.1%}",
        f"{one.cpu_per_1000:.2f}",
        f"{one.left_to_native:.1%}",
        str(len(one.turns)),
    )


def _object(one: Measured) -> dict[str, Any]:
    return {
        **asdict(one.candidate),
        "samples_per_s": round(one.rate, 1),
        "spread": one.spread,
        "cpu_s_per_1000": round(one.cpu_per_1000, 3),
        "left_to_native": one.left_to_native,
        "turns": len(one.turns),
    }
