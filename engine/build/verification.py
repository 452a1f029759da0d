"""Checks a whole dataset: its files, its index, its metadata, and every sample."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from engine.build.card import CARD_HASH, file_hashes
from engine.build.finish import CARD_NAME, DATASET_NAME, REJECTS_NAME, read_dataset_json
from engine.build.receipts import Contents
from engine.build.sample_checks import Expected, check_samples
from engine.build.samples import cached_tokenizer
from engine.captions.histogram import sorted_bins
from engine.errors import UserError
from engine.executors import Progress, open_executor
from engine.native import Limits, hash_file, key_hashes
from engine.shards.checks import check_shard
from engine.shards.entries import ShardEntry
from engine.shards.reader import MdsDataset, open_dataset

MOST_PROBLEMS = 20  # of one shard; the rest is counted
SMALL_BYTES = 8 << 20  # checked before another process has started


@dataclass(frozen=True)
class ShardTask:
    """One shard to check: its number, and its entry in the index, which no worker reads again."""

    shard: int
    entry: ShardEntry

    def __str__(self) -> str:
        """As messages name it."""
        return self.entry.stored.basename


@dataclass(frozen=True)
class VerifyJob:
    """What all shards share; `metadata` is None where the dataset is not one of ours."""

    folder: Path
    metadata: Mapping[str, Any] | None
    tokens: bool


@dataclass
class Findings:
    """What was looked at and what is wrong."""

    samples: int = 0
    shards: int = 0
    bytes: int = 0
    contents: Contents = field(default_factory=Contents)
    problems: list[str] = field(default_factory=list)
    keys: dict[int, list[NDArray[np.uint64]]] = field(default_factory=dict)


@dataclass(frozen=True)
class ShardReport:
    """A part of one shard's result."""

    samples: int = 0
    bytes: int = 0
    contents: Contents = field(default_factory=Contents)
    problems: tuple[str, ...] = ()
    keys: NDArray[np.uint64] | None = None


def verify(folder: Path, workers: int, tokens: bool = True) -> Iterator[Findings]:
    """Checks everything; yields the findings as they grow, the last ones complete.

    Args:
        folder: of any MDS dataset; what only `engine.shard` writes is checked if `dataset.json` is there.
        workers: processes.
        tokens: whether to compare token ids with the text.

    Raises:
        UserError: there is no index, so there is no dataset.
    """
    dataset = open_dataset(folder)
    findings = Findings()
    metadata = _metadata(folder, findings)
    findings.problems += _stray_files(dataset)
    mismatch = list(_tokenizer_problems(metadata)) if metadata is not None and tokens else []
    findings.problems += mismatch
    tasks = [ShardTask(at, entry) for at, entry in enumerate(dataset.entries)]
    job = VerifyJob(folder, metadata, tokens and not mismatch)
    small = sum(entry.stored.bytes for entry in dataset.entries) < SMALL_BYTES
    executor = open_executor("inline" if workers == 1 or small else "local", workers)
    with closing(executor.run(check_one, job, tasks)) as events:
        for event in events:
            if isinstance(event, Progress):
                _add(findings, event.index, event.report)
                yield findings
    findings.shards = len(tasks)
    if metadata is not None:
        findings.problems += _total_problems(folder, metadata, dataset, findings)
        findings.problems += _repeated_keys(dataset, findings)
    yield findings


def check_one(job: VerifyJob, task: ShardTask) -> Iterator[ShardReport]:
    """Checks one shard, in a worker."""
    dataset = MdsDataset(job.folder, [task.entry])
    problems = check_shard(dataset, 0)
    yield ShardReport(bytes=task.entry.stored.bytes, problems=_bounded(problems))
    if problems or job.metadata is None:
        yield ShardReport(samples=task.entry.samples)
        return
    found = 0
    for part in check_samples(dataset, 0, _expected(job.metadata, job.tokens)):
        shown = part.problems[: max(0, MOST_PROBLEMS - found)]
        found += len(part.problems)
        where = dataset.directory / str(task)
        yield ShardReport(part.samples, 0, part.contents, tuple(f"{where}: {text}" for text in shown))
    more = (f"{task}: {found - MOST_PROBLEMS:,} more",) if found > MOST_PROBLEMS else ()
    yield ShardReport(problems=more, keys=key_hashes(dataset.batch(0).column("key")))


def _expected(metadata: Mapping[str, Any], tokens: bool) -> Expected:
    wanted, options = metadata["tokenizer"], metadata["options"]
    return Expected(
        sources=tuple(metadata["sources"]),
        has_scores=metadata["has_scores"],
        tokenizer=cached_tokenizer(options["tokenizer"], wanted["context_length"]) if tokens else None,
        limits=Limits(
            options["image"]["max_pixels"],
            options["image"]["max_side"],
            options["source"]["max_image_bytes"],
        ),
    )


def _add(findings: Findings, shard: int, report: ShardReport) -> None:
    findings.samples += report.samples
    findings.bytes += report.bytes
    findings.contents.add(report.contents)
    findings.problems += report.problems
    if report.keys is not None:
        findings.keys.setdefault(shard, []).append(report.keys)


def _bounded(problems: list[str]) -> tuple[str, ...]:
    more = len(problems) - MOST_PROBLEMS
    return (*problems[:MOST_PROBLEMS], *([f"... and {more:,} more in this shard"] if more > 0 else []))


def _metadata(folder: Path, findings: Findings) -> Mapping[str, Any] | None:
    """`dataset.json`, if everything is there that is read from it."""
    if not (folder / DATASET_NAME).exists() and not (folder / REJECTS_NAME).exists():
        return None
    findings.problems += _file_problems(folder)
    try:
        found = read_dataset_json(folder)
        _expected(found, tokens=False)
        list(_total_problems(folder, found, MdsDataset(folder, []), Findings()))
    except UserError as error:
        findings.problems.append(str(error))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"{type(error).__name__}: {error}"
        findings.problems.append(f"{folder / DATASET_NAME}: not as engine.shard writes it ({what})")
    else:
        return found
    return None


def _stray_files(dataset: MdsDataset) -> Iterator[str]:
    named = {dataset.directory / entry.stored.basename for entry in dataset.entries}
    for path in sorted(dataset.directory.rglob("*.mds*")):
        if path not in named:
            yield f"{path}: not in the index"


def _file_problems(folder: Path) -> Iterator[str]:
    """The files beside the shards against the hashes on the dataset card."""
    try:
        recorded = file_hashes((folder / CARD_NAME).read_text("utf-8", "replace"))
    except OSError as error:
        yield f"{folder / CARD_NAME}: {error.strerror}"
        return
    for name, size, digest in recorded:
        path = folder / name
        if not path.is_file():
            yield f"{path}: missing"
        elif path.stat().st_size != size:
            yield f"{path}: {path.stat().st_size:,} bytes, the dataset card says {size:,}"
        elif hash_file(path, CARD_HASH) != digest:
            yield f"{path}: its {CARD_HASH} is not the one on the dataset card"


def _tokenizer_problems(metadata: Mapping[str, Any]) -> Iterator[str]:
    wanted = metadata["tokenizer"]
    try:
        # The name alone does not say where a tokenizer in a folder is.
        found = cached_tokenizer(metadata["options"]["tokenizer"], wanted["context_length"])
    except UserError as error:
        yield f"token ids cannot be compared with the text: {error}; --skip-tokens leaves that out"
        return
    if found.describe() != wanted:
        yield (
            f"token ids cannot be compared with the text: {DATASET_NAME} has tokenizer {wanted['name']} "
            f"{str(wanted['fingerprint'])[:12]}, here it is {found.fingerprint[:12]}"
        )


def _total_problems(
    folder: Path, metadata: Mapping[str, Any], dataset: MdsDataset, findings: Findings
) -> Iterator[str]:
    path, counts = folder / DATASET_NAME, metadata["counts"]
    rejected = sum(counts["rejected_by_code"].values())
    if counts["in"] != counts["out"] + counts["rejected"] + counts["duplicates"]:
        yield f"{path}: in is not out + rejected + duplicates: {counts}"
    if counts["rejected"] != rejected:
        yield f"{path}: {counts['rejected']:,} rejected, {rejected:,} by code"
    for name, value in (("samples", metadata["samples"]), ("counts.out", counts["out"])):
        if value != len(dataset):
            yield f"{path}: {name} is {value:,}, the index has {len(dataset):,} samples"
    yield from _reject_problems(folder / REJECTS_NAME, counts)
    if not findings.problems:  # otherwise shards are missing from the totals
        yield from _content_problems(path, metadata, findings.contents)


def _reject_problems(path: Path, counts: Mapping[str, Any]) -> Iterator[str]:
    try:
        codes = Counter(pq.read_table(path, columns=["code"])["code"].to_pylist())
    except Exception as error:  # damaged parquet raises many kinds
        yield f"{path}: {error}"
        return
    expected = Counter(counts["rejected_by_code"]) + Counter({"duplicate_key": counts["duplicates"]})
    if codes != expected:
        yield f"{path}: rows by code {dict(codes)}, {DATASET_NAME} says {dict(expected)}"


def _content_problems(path: Path, metadata: Mapping[str, Any], contents: Contents) -> Iterator[str]:
    for source, recorded in metadata["captions"].items():
        found = {
            "samples": contents.samples_with.get(source, 0),
            "captions": contents.captions.get(source, 0),
        }
        if found != recorded:
            yield f"{path}: captions.{source} is {recorded}, the shards have {found}"
    recorded_scores = metadata.get("scores")  # datasets of older versions have no histogram
    if recorded_scores is not None:
        bins = {source: sorted_bins(contents.scores.get(source, {})) for source in metadata["sources"]}
        if recorded_scores["bins"] != bins:
            yield f"{path}: scores.bins are {recorded_scores['bins']}, the shards have {bins}"
    image = {"formats": dict(sorted(contents.formats.items())), "bytes": contents.image_bytes}
    for name, recorded, stored in (
        ("tokens", metadata["tokens"], contents.tokens),
        ("image", metadata["image"], image),
    ):
        if recorded != stored:
            yield f"{path}: {name} is {recorded}, the shards have {stored}"


def _repeated_keys(dataset: MdsDataset, findings: Findings) -> Iterator[str]:
    shards = sorted(findings.keys)
    if not shards:
        return
    hashes = np.concatenate([part for shard in shards for part in findings.keys[shard]])
    where = np.repeat(shards, [len(part) for shard in shards for part in findings.keys[shard]])
    order = np.argsort(hashes, kind="stable")
    for at in np.flatnonzero(hashes[order][1:] == hashes[order][:-1])[:MOST_PROBLEMS]:
        first, second = int(order[at]), int(order[at + 1])
        names = [dataset.entries[where[position]].stored.basename for position in (first, second)]
        yield f"{dataset.directory}: a key is in {names[0]} and again in {names[1]}"
