"""The model of a run with its recipe's options, and as it is measured."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from composer.utils import get_device

from train.config import TrainConfig
from train.keeping.checkpoints import ModelCard
from train.model.average import AverageWeights
from train.model.compiled import compile_blocks, eager, require_compiler
from train.model.contrastive import ContrastiveModel, build_clip
from train.model.precision import resolve_precision, warn_of_fp16
from train.model.sharded import gathered, shard
from train.model.start import load_start, lock_towers


def check_machine(config: TrainConfig) -> str:
    """The precision, once it and the compiler are known to be there.

    Raises:
        UserError: the machine lacks one of them.
    """
    precision = resolve_precision(config.precision)
    warn_of_fp16(precision)
    if config.compile:
        require_compiler()
    return precision


def build_model(config: TrainConfig, card: ModelCard, precision: str, starts: bool) -> ContrastiveModel:
    """The model on its device, locked, compiled and sharded as the recipe says.

    Args:
        config: of the run.
        card: the architecture.
        precision: from `check_machine`.
        starts: no checkpoint will bring weights, so `model.weights` are read.

    Raises:
        UserError: weights or options do not fit the model.
    """
    clip = build_clip(card.architecture, config.seed)
    microbatch = config.device_train_microbatch_size
    assert not isinstance(microbatch, str)  # load_config refuses `auto`
    if config.model.weights is not None and starts:
        load_start(clip, config.model.weights, card.tokenizer)
    lock_towers(clip, config.model)
    if config.compile:
        compile_blocks(clip)
    get_device(None).module_to_device(clip)
    if config.fsdp is not None:
        shard(clip, config.fsdp)
    return ContrastiveModel(
        clip, card.normalisation, precision, config.loss, microbatch, config.channels_last
    )


@contextmanager
def evaluated(model: ContrastiveModel, average: AverageWeights | None) -> Iterator[None]:
    """The model as it is measured: averaged weights, if there are any, whole on every rank, uncompiled."""
    with average.in_use() if average else nullcontext(), gathered(model), eager(model.clip):
        yield
