"""What is measured on held-out data, during training and at its end: retrieval and zero-shot sets."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from composer.core import Callback, Event, State
from composer.loggers import Logger
from composer.utils import create_interval_scheduler, dist

from loaders.classes import ClassLoader
from loaders.images import ImageOptions
from loaders.retrieval import RetrievalConfig
from train.heldout import retrieval, zeroshot
from train.keeping.checkpoints import ModelCard
from train.model.contrastive import ContrastiveModel
from train.stopping import Pace, StopNotice, StoppedError, at_once
from train.together import attempt, fail_alike
from train.watch.clock import Clock

ZEROSHOT = "zeroshot/"


@dataclasses.dataclass(frozen=True)
class Probes:
    """Held-out sets of a run.

    Attributes:
        image: what the model takes, for zero-shot sets.
        retrieval: or None.
        zeroshot: by the name that the recipe gives.
        weights: the model has inside the weights that are to be measured (train.model.building.evaluated).
    """

    model: ContrastiveModel
    precision: str
    image: ImageOptions
    retrieval: RetrievalConfig | None
    zeroshot: Mapping[str, zeroshot.ZeroShotTask]
    weights: Callable[[], AbstractContextManager[None]] = nullcontext

    def __bool__(self) -> bool:
        """Whether there is anything to measure."""
        return self.retrieval is not None or bool(self.zeroshot)

    def line(self) -> str:
        """What is looked at, in a line."""
        names = [*(["retrieval"] if self.retrieval else []), *(f"zero-shot {n}" for n in self.zeroshot)]
        return f"held out: {', '.join(names) or 'nothing'}"

    def measure(self, pace: Pace = at_once) -> dict[str, float]:
        """Measure all of it; every rank returns the same numbers.

        Args:
            pace: how batches are walked, such as `StopNotice.between`.

        Returns:
            Retrieval's figures under their own names, those of a zero-shot set under `zeroshot/SET/`.
        """
        with self.weights():
            return self._measure(pace)

    def _measure(self, pace: Pace) -> dict[str, float]:
        table: dict[str, float] = {}
        if self.retrieval is not None:
            table |= retrieval.evaluate_retrieval(self.model, self.retrieval, self.precision, pace)
        for name, task in self.zeroshot.items():
            found = zeroshot.evaluate_zeroshot(self.model, task, self.image, self.precision, pace)
            table |= {f"{ZEROSHOT}{name}/{key}": value for key, value in found.items()}
        return table


def open_probes(
    model: ContrastiveModel,
    card: ModelCard,
    precision: str,
    retrieval: RetrievalConfig | None,
    sets: Mapping[str, zeroshot.ZeroShotConfig],
) -> Probes:
    """Fit the sets to the model's tokenizer, find their files and decode each once.

    Raises:
        UserError: a set that is none, an image that does not decode, or a tokenizer that is not the training
            data's; on all ranks.
    """
    if retrieval is not None:
        retrieval = dataclasses.replace(
            retrieval, tokenizer_fingerprint=card.tokenizer.fingerprint, tokenizer_name=card.tokenizer.name
        )
    tokenizer = zeroshot.data_tokenizer(card.tokenizer) if sets else None
    tasks = {name: zeroshot.open_task(given, tokenizer) for name, given in sets.items() if tokenizer}
    image = ImageOptions(card.architecture.image_size)
    for name, task in tasks.items():
        _require_images(name, task, image)
    return Probes(model, precision, image, retrieval, tasks)


def _require_images(name: str, task: zeroshot.ZeroShotTask, image: ImageOptions) -> None:
    """A broken file is found now, not hours from now by one rank while the others wait for it."""
    own = ClassLoader(task.images, image, task.batch_size, dist.get_global_rank(), dist.get_world_size())
    _, failure = attempt(lambda: deque(own, maxlen=0))
    fail_alike(failure and f"zeroshot.{name}: {failure}")


class ProbeCallback(Callback):
    """Measures each `interval` of training and logs it; the end of training is the caller's."""

    def __init__(
        self, interval: str, probes: Probes, last_step: int, clock: Clock, notice: StopNotice
    ) -> None:
        """Take what to measure.

        Args:
            interval: a Composer time such as "1ep".
            probes: the sets.
            last_step: of the run, after which the caller measures.
            clock: stands still meanwhile.
            notice: a wish to stop ends the measurement, and then the run with a checkpoint.
        """
        self._due = create_interval_scheduler(
            interval, include_end_of_training=False, checkpoint_events=False
        )
        self._probes, self._last_step, self._clock, self._notice = probes, last_step, clock, notice
        self._broken_off = False

    def state_dict(self) -> dict[str, Any]:
        """Whether the checkpoint's step still has to be looked at."""
        return {"broken_off": self._broken_off}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take it over."""
        self._broken_off = bool(state.get("broken_off", False))

    def run_event(self, event: Event, state: State, logger: Logger) -> None:
        """Measure when due, and where a resumed run begins what a stop broke off there."""
        made_up = event == Event.FIT_START and self._broken_off
        due = event in (Event.BATCH_END, Event.EPOCH_END) and self._due(state, event)
        if not (made_up or due) or self._notice.agreed or int(state.timestamp.batch) >= self._last_step:
            return
        self._broken_off = True
        with self._clock.paused():
            try:
                table = self._probes.measure(self._notice.between)
            except StoppedError:
                if made_up:
                    raise  # the checkpoint that the run began from says it already
                return  # the checkpoint event that follows saves, and ends the run
        self._broken_off = False
        logger.log_metrics({**metric_names(table), "probes/seconds": self._clock.last_pause_s})


def metric_names(table: Mapping[str, float]) -> dict[str, float]:
    """The names under which loggers see a table."""
    return {
        f"metrics/{name}" if name.startswith(ZEROSHOT) else f"metrics/retrieval/{name}": value
        for name, value in table.items()
    }


def format_tables(table: Mapping[str, Any]) -> str:
    """All of it as text, in percent."""
    parts = [] if "images" not in table else [retrieval.format_table(table)]
    sets: dict[str, dict[str, float]] = {}
    for key, value in table.items():
        if key.startswith(ZEROSHOT):
            name, figure = key.removeprefix(ZEROSHOT).split("/", 1)
            sets.setdefault(name, {})[figure] = value
    return "\n".join([*parts, *(zeroshot.format_table(name, own) for name, own in sets.items())])
