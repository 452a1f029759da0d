"""One unit: its samples become a part of the scores and a file of rejects."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.ahead import ahead
from engine.build.job import Counts, Task, add_counts
from engine.build.rejects import RejectWriter
from engine.build.state import State, worker_lock
from engine.captions.scores import ScoreRow, ScoreWriter
from engine.errors import UserError
from engine.records import Reject, counts_as_failure
from engine.scoring.counts import ScoreCounts
from engine.scoring.feed import Batch, Sample, Text, feed
from engine.scoring.job import Job, Receipt
from engine.scoring.scorer import Scorer, open_scorer
from engine.scoring.tokens import Tokens

NOT_FINITE = "not_finite"
BATCHES_AHEAD = 2  # the model never waits for a batch that could have been read, and few are held


def part_path(out: Path, task: Task) -> Path:
    """The unit's part."""
    return out / f"{task.folder}.parquet"


def score_unit(job: Job, task: Task) -> Iterator[Counts]:
    """Scores a unit from the beginning; yields the counts so far after every batch.

    The receipt is written last.

    Raises:
        UserError, NativeError, OSError: the unit cannot be read or written, or the model is another one here.
    """
    with worker_lock(job.out):
        scorer = open_scorer(job.model, job.compute)
        if scorer.id != job.scorer:
            raise UserError(f"model {job.model.model}: is {scorer.id} here, the run began with {job.scorer}")
        state = State(job.out)
        with (
            RejectWriter(state.rejects_path(task)) as rejects,
            ScoreWriter(part_path(job.out, task)) as rows,
            closing(ahead(feed(job, task.unit, scorer), BATCHES_AHEAD)) as fed,
        ):
            run = _UnitRun(scorer, rows, rejects)
            for batch in fed:
                run.score(batch)
                yield run.counts.samples.copy()
        Receipt(run.counts, run.steps).commit(state.receipt_path(task))
        yield run.counts.samples.copy()


class _UnitRun:
    def __init__(self, scorer: Scorer, rows: ScoreWriter, rejects: RejectWriter) -> None:
        self.counts = ScoreCounts()
        self.steps: list[tuple[int, int]] = []
        self._scorer, self._rows, self._rejects = scorer, rows, rejects

    def score(self, batch: Batch) -> None:
        """Writes the rows of one batch; everything in it is counted once."""
        samples = self.counts.samples
        samples.seen += len(batch.items)
        samples.bytes_in += batch.bytes_in
        add_counts(samples.dropped_captions_by_code, batch.dropped)
        scores = self._scores(batch)
        for item in batch.items:
            if isinstance(item, Reject):
                self._reject(item)
            else:
                self._add(item, batch.tokens, scores)
        self.steps.append((samples.seen, samples.failures))

    def _scores(self, batch: Batch) -> dict[Text, float]:
        """Cosines, rounded to float32 as they are stored."""
        texts = [text for item in batch.items if isinstance(item, Sample) for text in item.texts]
        if batch.tokens is None or not texts:
            return {}
        images = self._scorer.image_features(batch.pixels)
        features = self._scorer.text_features(batch.tokens)
        pairs = images[[text.image for text in texts]] * features[[text.text for text in texts]]
        cosines: NDArray[np.float32] = pairs.sum(axis=1, dtype=np.float32)
        return dict(zip(texts, cosines.tolist(), strict=True))

    def _add(self, sample: Sample, tokens: Tokens | None, scores: dict[Text, float]) -> None:
        assert tokens is not None
        numbers = 0
        for text in sample.texts:
            score, length = scores[text], int(tokens.lengths[text.text])
            finite = bool(np.isfinite(score))
            numbers += finite
            if not finite:
                add_counts(self.counts.samples.dropped_captions_by_code, {NOT_FINITE: 1})
            row = ScoreRow(
                sample.key, sample.content_hash, text.source, text.digest, self._scorer.id,
                score if finite else None, "ok" if finite else NOT_FINITE, length,
                length > self._scorer.reader.context,
            )  # fmt: skip
            self._rows.add(row)
            self.counts.of(text.source).add_row(row)
        for source in dict.fromkeys(text.source for text in sample.texts):
            self.counts.of(source).samples += 1
        self.counts.samples.out += 1
        self.counts.samples.failures += numbers < len(sample.texts)

    def _reject(self, reject: Reject) -> None:
        add_counts(self.counts.samples.rejected_by_code, {reject.code: 1})
        self.counts.samples.failures += counts_as_failure(reject.code)
        self._rejects.add(reject)
