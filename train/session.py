"""One run: trained, evaluated and summed up; stopped or failed, it leaves what there is."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from composer import Trainer
from composer.utils import dist

from train.config import TrainConfig
from train.heldout import probes, retrieval
from train.heldout.probes import Probes
from train.keeping import checkpoints
from train.keeping.remote import Mirror, finish_together, is_remote
from train.model.contrastive import ContrastiveModel
from train.model.optim import Plan
from train.report import REPORT, write_report
from train.stopping import StoppedError
from train.together import attempt
from train.watch.work import Watch


@dataclass(frozen=True)
class Session:
    """A run ready to start. `folder` is where files beside the checkpoints go, or None."""

    config: TrainConfig
    trainer: Trainer
    model: ContrastiveModel
    plan: Plan
    folder: Path | None
    probes: Probes
    watch: Watch
    mirror: Mirror | None

    def run(self) -> bool:
        """Trains to the end (or from where the checkpoint stands), evaluates and prints the summary.

        Returns:
            Whether it came to the end; False after SIGTERM, with a checkpoint of the last step.

        Raises:
            UserError: from the data, such as a damaged shard that cannot be fetched again, or when steps stay
                bad.
        """
        with self.watch.notice.listening():
            try:
                done = self._train_and_measure()
                self.trainer.close()  # type: ignore[no-untyped-call]
            except BaseException as error:
                self._write_page()
                if isinstance(error, Exception):  # who presses Ctrl-C does not want to wait
                    self._copy_what_there_is()
                raise
            self._write_page()
            if is_remote(self.config.save_folder):
                finish_together(self.mirror)
        if not done and dist.get_global_rank() == 0:
            self._tell_stopped()
        return done

    def _copy_what_there_is(self) -> None:
        """Of a run that failed; ranks fail alone, so none waits for another."""
        if self.mirror is not None:
            _, failure = attempt(self.mirror.finish)
            if failure is not None:
                print(f"note: {failure}", file=sys.stderr, flush=True)

    def _train_and_measure(self) -> bool:
        started, before = self.watch.clock.now(), int(self.trainer.state.timestamp.batch)
        try:
            if before < self.plan.total:
                self.trainer.fit()
            seconds = self.watch.clock.now() - started
            table = self.probes.measure(self.watch.notice.between) if self.probes else None
        except StoppedError:
            return False
        if dist.get_global_rank() == 0:
            self._report(int(self.trainer.state.timestamp.batch) - before, seconds, table)
        return True

    def _write_page(self) -> None:
        """The report, of a run that was stopped or failed too; it never fails a run."""
        if self.folder is None or dist.get_global_rank() != 0:
            return
        try:
            write_report([self.folder], self.folder / REPORT)
        except Exception as error:  # whatever it is, the run's own end counts
            print(f"note: no {REPORT}: {error}", file=sys.stderr)

    def _tell_stopped(self) -> None:
        step = int(self.trainer.state.timestamp.batch)
        ended = step >= self.plan.total
        what = "the last evaluation is missing" if ended else "a checkpoint is saved"
        saved = (
            f"{what}, go on with autoresume=true" if self.folder else "nothing is saved (save_folder: null)"
        )
        print(f"{StoppedError(step)}; {saved}", file=sys.stderr, flush=True)

    def _report(self, steps: int, seconds: float, table: dict[str, float] | None) -> None:
        samples = steps * self.plan.global_batch
        print(f"\n{self.config.run_name}: {samples:,} samples in {seconds:,.0f} s", end="")
        print(
            f" ({samples / seconds:,.0f} samples/s), step {self.trainer.state.timestamp.batch.value}"
            if steps
            else ""
        )
        if table is not None:
            self.trainer.logger.log_metrics(probes.metric_names(table))
            print(probes.format_tables(table))
        if self.folder is None:
            return
        if table is not None:
            result = {
                "run_name": self.config.run_name,
                "step": int(self.trainer.state.timestamp.batch),
                **table,
            }
            retrieval.write_results(self.folder / checkpoints.RESULTS, result)
        print(f"run folder: {self.folder} ({', '.join(sorted(p.name for p in self.folder.iterdir()))})")
