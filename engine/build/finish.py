"""The last step: totals, metadata, dataset card, and last the index that makes the dataset exist."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from engine.build.card import CARD_HASH, FileHash, dataset_card
from engine.build.job import Counts, Task, add_counts
from engine.build.receipts import Contents, Receipt
from engine.build.rejects import merge_rejects
from engine.build.state import State
from engine.captions.histogram import sorted_bins
from engine.captions.index import IndexCounts
from engine.captions.join import Coverage, coverage
from engine.errors import UserError
from engine.native import commit_file, hash_file
from engine.shards.entries import ShardEntry
from engine.shards.index import INDEX_NAME, merge_entries, write_index

FORMAT = "veclip-engine/1"
DATASET_NAME = "dataset.json"
REJECTS_NAME = "rejects.parquet"
CARD_NAME = "README.md"


@dataclass
class Totals:
    """All units of a build together."""

    counts: Counts = field(default_factory=Counts)
    contents: Contents = field(default_factory=Contents)
    entries: list[ShardEntry] = field(default_factory=list)
    coverage: dict[str, Coverage] = field(default_factory=dict)


def finish(
    state: State, tasks: Sequence[Task], plan: Mapping[str, Any], captions: Mapping[str, IndexCounts]
) -> Totals:
    """Writes everything beside the units' folders.

    Args:
        state: of the build.
        tasks: in the phase that counts for each unit.
        plan: of the build.
        captions: what the ledgers hold, by source.

    Raises:
        UserError: nothing is left, or the totals do not add up.
    """
    totals = add_up([_receipt(state, task) for task in tasks], [task.folder for task in tasks])
    out = state.out
    if totals.counts.out == 0:
        codes = ", ".join(f"{code} {n:,}" for code, n in sorted(totals.counts.rejected_by_code.items()))
        raise UserError(f"{out}: no sample is left of {totals.counts.seen:,}; rejected: {codes or 'none'}")
    for leftover in out.glob("*.tmp"):
        leftover.unlink()
    merge_rejects((state.rejects_path(task) for task in tasks), out / REJECTS_NAME)
    met = dict(totals.contents.samples_with)  # what selection took away was there
    add_counts(met, totals.contents.emptied)
    totals.coverage = coverage(captions, totals.counts.out, met)
    metadata = dataset_json(plan, totals)
    commit_file(out / DATASET_NAME, json.dumps(metadata, indent=1, ensure_ascii=False).encode())
    write_index(state.folder, totals.entries)
    hashes = [
        _file_hash(path) for path in (state.folder / INDEX_NAME, out / DATASET_NAME, out / REJECTS_NAME)
    ]
    commit_file(out / CARD_NAME, dataset_card(metadata, totals.entries, hashes).encode())
    write_index(out, totals.entries)
    state.remove()
    return totals


def add_up(receipts: Sequence[Receipt], folders: Sequence[str]) -> Totals:
    """The totals of all units, checked: in = out + rejected + duplicates.

    Raises:
        UserError: they do not add up.
    """
    totals = Totals()
    for receipt in receipts:
        totals.counts.add(receipt.counts)
        totals.contents.add(receipt.contents)
    totals.entries = merge_entries(
        (folder, receipt.entries) for folder, receipt in zip(folders, receipts, strict=True)
    )
    counts, stored = totals.counts, sum(entry.samples for entry in totals.entries)
    if counts.seen != counts.out + counts.rejected + counts.duplicates or counts.out != stored:
        raise UserError(
            f"the totals do not add up: {counts.seen:,} in, {counts.out:,} out ({stored:,} in the shards), "
            f"{counts.rejected:,} rejected, {counts.duplicates:,} duplicates; please report this"
        )
    return totals


def dataset_json(plan: Mapping[str, Any], totals: Totals) -> dict[str, Any]:
    """`dataset.json` as docs/architecture.md lays it down."""
    counts, contents = totals.counts, totals.contents
    return {
        "format": FORMAT,
        "sources": plan["sources"],
        "tokenizer": plan["tokenizer"],
        "has_scores": plan["has_scores"],
        "samples": counts.out,
        "counts": {
            "in": counts.seen,
            "out": counts.out,
            "duplicates": counts.duplicates,
            "rejected": counts.rejected,
            "rejected_by_code": dict(sorted(counts.rejected_by_code.items())),
            "dropped_captions_by_code": dict(sorted(counts.dropped_captions_by_code.items())),
        },
        "captions": {
            source: {
                "samples": contents.samples_with.get(source, 0),
                "captions": contents.captions.get(source, 0),
            }
            for source in plan["sources"]
        },
        "scores": scores_json(plan, contents) if plan["has_scores"] else None,
        "ledgers": plan.get("ledgers", []),
        "coverage": {source: asdict(found) for source, found in totals.coverage.items()},
        "tokens": contents.tokens,
        "options": plan["options"],
        "inputs": plan["inputs"],
        "image": {"formats": dict(sorted(contents.formats.items())), "bytes": contents.image_bytes},
        "versions": plan["versions"],
    }


def scores_json(plan: Mapping[str, Any], contents: Contents) -> dict[str, Any]:
    """Whose scores there are, of how many captions of each source, and how they are spread."""
    return {
        "runs": plan.get("score_runs", []),
        "top_share_scores": plan.get("top_share_scores", {}),
        "scored": {name: sum(contents.scores.get(name, {}).values()) for name in plan["sources"]},
        "bins": {name: sorted_bins(contents.scores.get(name, {})) for name in plan["sources"]},
    }


def _file_hash(path: Path) -> FileHash:
    return path.name, path.stat().st_size, hash_file(path, CARD_HASH)


def _receipt(state: State, task: Task) -> Receipt:
    receipt = state.receipt(task)
    if receipt is None:
        raise UserError(f"{task}: not packed; run the same command again")
    return receipt


def read_dataset_json(out: Path) -> dict[str, Any]:
    """The metadata of a finished dataset.

    Raises:
        UserError: there is none, or it is not ours.
    """
    path = out / DATASET_NAME
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise UserError(f"{path}: missing; {out} was not made by python -m engine.shard") from None
    except ValueError as error:
        raise UserError(f"{path}: not JSON ({error})") from error
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise UserError(f"{path}: expected a JSON object with format {FORMAT}")
    return found
