"""What is to be seen of reading while training: rates, waiting, stages, bytes, captions, bad samples."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import torch
from composer.core import Callback, State
from composer.loggers import Logger
from composer.utils import dist

from loaders.counters import ReadCounts
from loaders.loader import CaptionLoader
from train.model.optim import Plan
from train.watch.clock import Clock
from train.watch.work import Work

STAGES = ("fetch", "gather", "captions", "decode")


class Throughput(Callback):
    """Logs each `interval` steps, over all ranks.

    Over the steps since the last log, the time in which held-out data is looked at left out:
        throughput/samples_per_sec: images a second; throughput/data_wait_fraction: share of the time in which
        the training step waited for data, mean of the ranks; throughput/model_flops_per_sec: useful
        operations of all ranks (train.watch.flops); throughput/mfu: these over what the devices could do,
        where that is known; captions/SOURCE: share of the captions drawn; streams/NAME: share of the samples
        of a mix's stream;
        data/STAGE_ms: milliseconds for a rank's batch in a stage (fetch: waiting for shards, verifying,
        mapping; gather: views of samples; captions: choosing; decode: decoding, cropping, resizing). Stages
        run ahead of the training step: they cost it nothing as long as it does not wait.
    Since this process began:
        data/bytes_read, data/bytes_fetched (from the remote), data/bad_samples, data/left_to_native (images
        that DALI was not given or failed at), data/cache_hits (shards opened that did not have to be
        fetched), data/shards_fetched.
    """

    def __init__(self, interval: int, loader: CaptionLoader, plan: Plan, clock: Clock, work: Work) -> None:
        """Logs each `interval` steps."""
        self.interval, self.plan, self.clock, self.work = interval, plan, clock, work
        self.counters = loader.dataset.counters
        self.sources, self.streams = loader.dataset.info.sources, loader.dataset.stream_names
        self._restart()

    def _restart(self) -> None:
        self.began = self.waiting_since = self.clock.now()
        self.waited, self.steps, self.flops = 0.0, 0, 0.0
        self.counted = self.counters.total()
        self.drawn = torch.zeros(len(self.sources), dtype=torch.int64)
        self.mixed = torch.zeros(len(self.streams), dtype=torch.int64)

    def fit_start(self, state: State, logger: Logger) -> None:
        """Starts the clock."""
        self._restart()

    def before_dataloader(self, state: State, logger: Logger) -> None:
        """Starts waiting."""
        self.waiting_since = self.clock.now()

    def after_dataloader(self, state: State, logger: Logger) -> None:
        """Ends waiting."""
        self.waited += self.clock.now() - self.waiting_since

    def after_train_batch(self, state: State, logger: Logger) -> None:
        """Counts the sources and the streams that this rank's batch drew, and its work."""
        self.flops += self.work.of_batch(state.batch)
        for counts, column in ((self.drawn, "caption_source"), (self.mixed, "stream")):
            counts += torch.bincount(state.batch[column].cpu(), minlength=len(counts))

    def batch_end(self, state: State, logger: Logger) -> None:
        """Logs and starts the next interval."""
        self.steps += 1
        if int(state.timestamp.batch) % self.interval:
            return
        elapsed = self.clock.now() - self.began
        total = self.counters.total()
        ranks = {
            "waited": self.waited / elapsed,
            "flops": self.flops / elapsed,
            **{f"since/{name}": value for name, value in asdict(total - self.counted).items()},
            **{f"total/{name}": value for name, value in asdict(total).items()},
            **{f"captions/{name}": int(n) for name, n in zip(self.sources, self.drawn, strict=True)},
            **{f"streams/{name}": int(n) for name, n in zip(self.streams, self.mixed, strict=True)},
        }
        logger.log_metrics(self._metrics(_sum_over_ranks(ranks, state), elapsed))
        self._restart()

    def _metrics(self, ranks: dict[str, float], elapsed: float) -> dict[str, float]:
        drawn = _shares({f"captions/{name}": ranks[f"captions/{name}"] for name in self.sources})
        mixed = _shares({f"streams/{name}": ranks[f"streams/{name}"] for name in self.streams})
        total = ReadCounts(**{name: int(ranks[f"total/{name}"]) for name in asdict(ReadCounts())})
        batches = ranks["since/samples"] * dist.get_world_size() / self.plan.global_batch
        peak = self.work.peak
        return {
            "throughput/model_flops_per_sec": ranks["flops"],
            **({} if peak is None else {"throughput/mfu": ranks["flops"] / dist.get_world_size() / peak}),
            "throughput/samples_per_sec": self.steps * self.plan.global_batch / elapsed,
            "throughput/data_wait_fraction": ranks["waited"] / dist.get_world_size(),
            **drawn,
            **(mixed if len(mixed) > 1 else {}),
            **{f"data/{name}_ms": ranks[f"since/{name}_us"] / 1000 / max(1, batches) for name in STAGES},
            "data/bytes_read": total.bytes_read,
            "data/bytes_fetched": total.bytes_fetched,
            "data/bad_samples": total.bad_samples,
            "data/left_to_native": total.left_to_native,
            "data/cache_hits": total.cache_hits,
            "data/shards_fetched": total.shards_fetched,
        }


def _shares(counts: dict[str, float]) -> dict[str, float]:
    return {name: count / max(1, sum(counts.values())) for name, count in counts.items()}


def _sum_over_ranks(values: dict[str, float], state: State) -> dict[str, float]:
    """One small collective; every rank comes here at the same steps."""
    table: Any = torch.tensor(list(values.values()), dtype=torch.float64)
    if dist.get_world_size() > 1:
        table = state.device.tensor_to_device(table)
        dist.all_reduce(table)
    return dict(zip(values, table.tolist(), strict=True))
