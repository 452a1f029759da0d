"""One unit: its samples become a part of the ledger and a file of rejects."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from dataclasses import replace

from engine.build.job import Task
from engine.build.rejects import RejectWriter
from engine.build.state import State, worker_lock
from engine.captions.grounding import Variety
from engine.captions.ledger import LedgerRow, LedgerWriter
from engine.prompts import template_hash
from engine.recap.captioner import Captioner, Wording
from engine.recap.counts import Counts, count, row_failed
from engine.recap.feed import Feed
from engine.recap.host import Host, host_for
from engine.recap.job import Job, Receipt, log_path, part_name
from engine.recap.log import RequestLog
from engine.recap.options import OWN_TEMPLATE
from engine.recap.steps import Sample
from engine.recap.turns import Turns
from engine.records import Reject, counts_as_failure

REPORT_S = 0.5
# Samples whose answers wait for an earlier one: a request that is not answered holds up nobody for long.
OPEN_PER_REQUEST = 16
MOST_EXAMPLES = 10
STEP_SAMPLES = 128  # between two looks at the failure budget

Queue = asyncio.Queue[tuple[int, int, Sample] | None]


def recaption_unit(job: Job, task: Task) -> Iterator[Counts]:
    """Makes the rows of one unit; yields the counts so far twice a second.

    Answers of an earlier run are taken from the request log; the part is written at the end, in input order,
    and the receipt after it.

    Raises:
        UserError, NativeError, OSError: the engine is gone, or something cannot be read or written.
    """
    with worker_lock(job.out):
        host = host_for(job.engine)
        with RequestLog(log_path(job.out, task)) as log:
            run = UnitRun(job, task, host, log)
            yield from host.drive(run.reports())
        run.commit()
        yield run.counts.copy()


class UnitRun:
    """What is open and known while one unit is made."""

    def __init__(self, job: Job, task: Task, host: Host, log: RequestLog) -> None:
        """Nothing is read or asked yet."""
        self.counts = Counts()
        self._job, self._task, self._host = job, task, host
        self._feed = Feed(job, task)
        self._outcomes: dict[int, LedgerRow | Reject] = {}
        self.examples: list[tuple[Sample, LedgerRow]] = []
        self._captioner = Captioner(
            job.options, wording(job, host), host.delivery, log, Turns(host.loop), self.counts, Variety()
        )

    async def reports(self) -> AsyncGenerator[Counts, None]:
        """Does the work; yields the counts so far."""
        delivery = self._host.delivery
        repeats = delivery.repeats
        width = OPEN_PER_REQUEST * self._job.engine.concurrency
        queue: Queue = asyncio.Queue(width)
        work = [asyncio.create_task(self._work(queue)) for _ in range(width)]
        work.append(asyncio.create_task(self._fill(queue, width)))
        everything = asyncio.gather(*work)
        try:
            while not everything.done():
                await asyncio.wait([everything], timeout=REPORT_S)
                self.counts.bytes_in = self._feed.bytes_in
                self.counts.repeated = delivery.repeats - repeats
                yield self.counts.copy()
            await everything
            self.counts.add_grounding(self._captioner.variety.sums())
        finally:
            for task in work:  # after an error the others would go on asking
                task.cancel()
            await asyncio.gather(everything, *work, return_exceptions=True)

    @property
    def rows(self) -> list[LedgerRow]:
        """All rows, in input order."""
        return [row for _, row in sorted(self._outcomes.items()) if isinstance(row, LedgerRow)]

    def commit(self) -> None:
        """Writes part, rejects and receipt; from now on the unit is finished."""
        state, steps = State(self._job.out), []
        seen = failures = 0
        with (
            RejectWriter(state.rejects_path(self._task)) as rejects,
            LedgerWriter(self._job.out / part_name(self._task)) as rows,
        ):
            for _, outcome in sorted(self._outcomes.items()):
                seen += 1
                if isinstance(outcome, Reject):
                    failures += counts_as_failure(outcome.code)
                    rejects.add(outcome)
                else:
                    failures += row_failed(outcome)
                    rows.add(outcome)
                if seen % STEP_SAMPLES == 0:
                    steps.append((seen, failures))
        self._feed.keys.commit(state.keys_path(self._task))
        receipt = Receipt(self.counts, part_name(self._task), [*steps, (seen, failures)])
        receipt.commit(state.receipt_path(self._task))

    async def _fill(self, queue: Queue, width: int) -> None:
        at = samples = 0
        async for batch in self._feed.batches():
            for item in batch:
                if isinstance(item, Reject):
                    self._reject(at, item)
                else:
                    await queue.put((at, samples, item))
                    samples += 1
                at += 1
        for _ in range(width):
            await queue.put(None)

    async def _work(self, queue: Queue) -> None:
        while (entry := await queue.get()) is not None:
            at, number, sample = entry
            row = await self._captioner.caption(number, sample)
            self._outcomes[at] = row
            if len(self.examples) < MOST_EXAMPLES:
                self.examples.append((replace(sample, image=b""), row))
            self.counts.seen += 1
            self.counts.add_row(row)

    def _reject(self, at: int, reject: Reject) -> None:
        self._outcomes[at] = reject
        self.counts.seen += 1
        if reject.code == "duplicate_key":
            self.counts.duplicates += 1
        else:
            count(self.counts.rejected_by_code, reject.code)
        self.counts.failures += counts_as_failure(reject.code)


def wording(job: Job, host: Host) -> Wording:
    """What the rows say about the engine."""
    template = job.options.model.template
    digest = template_hash(template) if template != OWN_TEMPLATE else host.backend.template_hash
    return Wording(host.backend.model, host.backend.revision, template, digest)
