"""The configuration of a run: what a recipe in yamls/ may say, with every default.

Names follow Composer's Trainer where it has one. `data` and `retrieval` are the loaders' own settings,
except for what the rest decides: batch size, image size, seed and tokenizer (see DERIVED).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from engine.errors import UserError
from loaders.loader import DataConfig
from loaders.recipe.data import DERIVED as DATA_DERIVED
from loaders.recipe.data import SEED, data_section, refuse_derived
from loaders.recipe.sources import apply_overrides, read_yaml
from loaders.recipe.strict import build, to_plain
from loaders.retrieval import RetrievalConfig
from train.heldout.zeroshot import ZeroShotConfig
from train.model.architecture import ModelConfig, image_size_of
from train.model.average import EmaConfig
from train.model.loss import LossConfig
from train.model.optim import OptimizerConfig, ScheduleConfig, check_time
from train.model.sharded import FsdpConfig

DERIVED = {
    "data": DATA_DERIVED,
    "retrieval": {
        "image_size": "the model's image_size",
        "rank": "nothing: ranks share the work by themselves",
        "ranks": "nothing: ranks share the work by themselves",
        "tokenizer_fingerprint": "nothing: it is the training data's",
        "tokenizer_name": "nothing: it is the training data's",
    },
}


@dataclass(frozen=True)
class LoggersConfig:
    """Where metrics go.

    Attributes:
        file: one JSON object a line in SAVE_FOLDER/log.jsonl.
        tensorboard, wandb, mlflow: null (off) or a mapping of Composer's options for it.
    """

    file: bool = True
    tensorboard: Mapping[str, Any] | None = None
    wandb: Mapping[str, Any] | None = None
    mlflow: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class TrainConfig:
    """A whole run.

    Attributes:
        model: name or sizes.
        data: training data (loaders.loader.DataConfig).
        global_train_batch_size: samples a step over all ranks; the loss contrasts all of them.
        max_duration: a Composer time ("15ep", "20000ba", "1000000000sp").
        loss: which contrastive loss (train.model.loss.LossConfig).
        retrieval: held-out set (loaders.retrieval.RetrievalConfig), or null for none.
        zeroshot: labelled sets to classify, by a name of your choice (train.heldout.zeroshot.ZeroShotConfig).
        eval_interval: also measure retrieval and zero-shot this often; they are always measured at the end.
        clip_grad_norm: largest gradient norm, or null.
        max_bad_steps: a step whose loss or gradient is not finite is dropped; so many in a row end the run.
        precision: `auto` is amp_bf16 on a GPU and fp32 on a CPU; there, amp_bf16 pays with
            AVX512-BF16 or AMX.
        device_train_microbatch_size: samples of a rank whose activations are held at a time; the towers run
            twice, the loss and its gradients stay the whole batch's (train/README.md). `auto` is refused.
        compile: torch.compile for the blocks of both towers (train.model.compiled); needs a C++ compiler.
        channels_last: images and the patch embedding as [B, H, W, 3] in memory.
        ema: average the weights over steps (train.model.average.EmaConfig) and evaluate these; or null.
        fsdp: shard the towers over ranks (train.model.sharded.FsdpConfig), or null for DDP.
        seed: of weights and draws.
        run_name: name of the run; null takes the recipe's file name.
        save_folder: checkpoints, config.yaml, log.jsonl and results.json; null saves nothing. A URI (s3://...):
            they lie in runs/NAME, with a copy there.
        save_interval: how often to save; the end of training is always saved.
        save_num_checkpoints_to_keep: older ones are removed; -1 keeps all.
        save_overwrite: start anew in the folder of another run, whose files move to `replaced-1` there.
        autoresume: go on from the newest sound checkpoint in save_folder, if there is one.
        load_path: start from the weights (and, unless load_weights_only, the whole state) of this checkpoint.
        log_interval: steps between log entries.
        progress_bar: Composer's bar instead of a line per log entry.
        dist_timeout: seconds a rank waits for the others.
    """

    model: ModelConfig
    data: DataConfig
    global_train_batch_size: int
    max_duration: str
    loss: LossConfig = field(default_factory=LossConfig)
    retrieval: RetrievalConfig | None = None
    zeroshot: Mapping[str, ZeroShotConfig] = field(default_factory=dict)
    eval_interval: str | None = None
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    clip_grad_norm: float | None = 1.0
    max_bad_steps: int = 10
    precision: Literal["auto", "fp32", "amp_bf16", "amp_fp16"] = "auto"
    device_train_microbatch_size: int | str | None = None
    compile: bool = False
    channels_last: bool = False
    ema: EmaConfig | None = None
    fsdp: FsdpConfig | None = None
    seed: int = SEED
    run_name: str | None = None
    save_folder: str | None = "runs/{run_name}"
    save_interval: str = "1ep"
    save_num_checkpoints_to_keep: int = 2
    save_overwrite: bool = False
    autoresume: bool = False
    load_path: str | None = None
    load_weights_only: bool = False
    loggers: LoggersConfig = field(default_factory=LoggersConfig)
    log_interval: int = 10
    progress_bar: bool = False
    dist_timeout: float = 600.0


def load_config(path: str | Path, words: Sequence[str] = (), world_size: int = 1) -> TrainConfig:
    """Reads a recipe, lays `key=value` words over it and checks all of it.

    Args:
        path: a YAML file.
        words: overrides such as `optimizer.lr=1e-3`.
        world_size: number of ranks, for the batch of each.

    Raises:
        UserError: for anything that does not fit, naming the setting.
    """
    values = apply_overrides(read_yaml(path), words)
    if values.get("run_name") is None:
        values["run_name"] = Path(path).stem
    if isinstance(values.get("save_folder", TrainConfig.save_folder), str):
        folder = str(values.get("save_folder", TrainConfig.save_folder))
        values["save_folder"] = folder.replace("{run_name}", str(values["run_name"]))
    config = build(TrainConfig, _derive(values, world_size))
    _check(config)
    return config


def to_yaml(config: TrainConfig) -> str:
    """The resolved config as YAML that `load_config` reads again: every default, nothing derived."""
    plain = to_plain(config)
    for section, derived in DERIVED.items():
        if plain[section] is not None:
            plain[section] = {k: v for k, v in plain[section].items() if k not in derived}
    return str(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True))


def _derive(values: Mapping[str, Any], world_size: int) -> dict[str, Any]:
    """Fills in what follows from other settings, and refuses it where YAML gives it too."""
    result = dict(values)
    for section, derived in DERIVED.items():
        if isinstance(values.get(section), Mapping):
            refuse_derived(section, values[section], derived)
    size = _image_size(values)
    if isinstance(values.get("data"), Mapping):
        result["data"] = data_section(values, world_size, size["image_size"])
    if isinstance(values.get("retrieval"), Mapping):
        result["retrieval"] = {**values["retrieval"], **size}
    return result


def _image_size(values: Mapping[str, Any]) -> dict[str, int]:
    return {"image_size": image_size_of(build(ModelConfig, values.get("model", {}), "model"))}


def _check(config: TrainConfig) -> None:
    micro = config.device_train_microbatch_size
    if micro is not None and (isinstance(micro, str) or micro < 1):
        raise UserError(
            f"device_train_microbatch_size: {micro} given; expected a whole number of at least 1, or null. "
            "`auto` would let Composer cut the batch by what memory is free, and the loss of each part "
            "would silently have fewer negatives; give the largest number that fits, such as "
            f"{min(64, config.data.batch_size)}: the loss stays that of the whole batch"
        )
    _check_options(config)
    for name in ("max_duration", "save_interval", "eval_interval"):
        given = getattr(config, name)
        if given is not None and check_time(given, name).value <= 0:
            raise UserError(f"{name}: {given} given; expected more than 0")
    for name in ("log_interval", "max_bad_steps"):
        if getattr(config, name) < 1:
            raise UserError(f"{name}: {getattr(config, name)} given; expected at least 1")
    if config.save_num_checkpoints_to_keep == 0:
        raise UserError("save_num_checkpoints_to_keep: 0 given; expected at least 1, or -1 for all")
    if config.clip_grad_norm is not None and not 0 < config.clip_grad_norm < math.inf:
        raise UserError(f"clip_grad_norm: {config.clip_grad_norm} given; expected a number above 0, or null")
    if config.autoresume and config.save_folder is None:
        raise UserError("autoresume: needs save_folder, where checkpoints are; give one, or no autoresume")
    if config.autoresume and config.save_overwrite:
        raise UserError("autoresume and save_overwrite: one goes on, the other starts anew; give one of them")


def _check_options(config: TrainConfig) -> None:
    """Refuse options that do not go together."""
    if config.fsdp is not None and config.device_train_microbatch_size is not None:
        raise UserError(
            "fsdp and device_train_microbatch_size: microbatches run the towers inside one operation, where "
            "FSDP cannot fetch weights; give one of them (model.grad_checkpointing goes with fsdp)"
        )
    if config.fsdp is not None and config.channels_last:
        raise UserError("fsdp and channels_last: torch shards contiguous weights only; give one of them")
    if config.ema is not None and check_time(config.ema.half_life, "ema.half_life").value <= 0:
        raise UserError(f"ema.half_life: {config.ema.half_life} given; expected more than 0")
    if config.model.weights is not None and config.load_path is not None:
        raise UserError("model.weights and load_path: both say what weights to start from; give one of them")
    locks = {"image": config.model.lock_image, "text": config.model.lock_text}
    for tower, lock in locks.items():
        start = config.model.weights
        loaded = start is not None and start.towers in ("both", tower)
        if lock is not None and not loaded and config.load_path is None:
            raise UserError(
                f"model.lock_{tower}: a locked tower keeps its weights, and these would be random; give "
                f"model.weights={{path: FILE, towers: {tower}}}, or load_path"
            )
