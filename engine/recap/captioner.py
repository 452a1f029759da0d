"""One sample: attempts, retries with another seed, fallbacks, and the row that comes of it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field

from engine.captions.checks import Checked, Inputs, check_caption
from engine.captions.grounding import Variety, grounding_sums
from engine.captions.ledger import LedgerRow
from engine.captions.status import CAPTION_STATUS
from engine.native import hash_bytes, xxh3_64
from engine.prompts import parse_output
from engine.recap.backends.base import TooLong
from engine.recap.codes import REQUEST_STATUS
from engine.recap.counts import Counts, count
from engine.recap.delivery import Delivery
from engine.recap.log import RequestLog
from engine.recap.options import RecaptionOptions
from engine.recap.requests import Completion, Request, Sampling
from engine.recap.steps import Sample, Step, Steps, shorten, steps_for
from engine.recap.turns import Turns

MOST_RETRIES = 2


@dataclass(frozen=True)
class Wording:
    """What all rows of a run say about the engine."""

    model: str
    revision: str
    template: str
    template_hash: str


@dataclass
class _Tally:
    """What the attempts of one sample came to."""

    attempts: int = 0
    retries: int = 0
    tokens: list[int] = field(default_factory=lambda: [0, 0])
    cut: bool = False
    last: Request | None = None
    finish_reason: str = ""


@dataclass(frozen=True)
class Captioner:
    """Everything that the samples of one unit share."""

    options: RecaptionOptions
    wording: Wording
    delivery: Delivery
    log: RequestLog
    turns: Turns
    counts: Counts
    variety: Variety

    async def caption(self, index: int, sample: Sample) -> LedgerRow:
        """The final row of a sample; `index` is its place in the unit."""
        steps = steps_for(self.options, sample)
        tally, status = _Tally(), steps.code
        for number, step in enumerate(steps.steps):
            checked = await self._try(step, sample, tally)
            if number == 0:
                checked = await self._judge(index, checked, step, sample, tally)
            status = status or checked.code
            if _usable(checked.code):
                self._compare(index, sample, checked.text)
                return self._row(sample, steps, tally, (checked.text, status, step.fallback))
        if not steps.steps:
            self.turns.judge(index, None)
        fallback, text = steps.last[0] if steps.last else ("none", None)
        return self._row(sample, steps, tally, (text, status, fallback))

    async def _judge(
        self, index: int, checked: Checked, step: Step, sample: Sample, tally: _Tally
    ) -> Checked:
        """Another seed for a caption that many samples before had as well."""
        if not await self.turns.judge(index, checked.text if _usable(checked.code) else None):
            return checked
        count(self.counts.answers, "repeated")
        again = checked
        if self._may_retry(tally):
            tally.retries += 1
            again = await self._try(step, sample, tally)
        same = again.text.casefold() == checked.text.casefold()
        return Checked(again.text, "repeated") if same and _usable(again.code) else again

    async def _try(self, step: Step, sample: Sample, tally: _Tally) -> Checked:
        """Attempts of one step until a caption can be used, or another seed would not help."""
        while True:
            try:
                checked = await self._attempt(step, sample, tally)
            except TooLong as error:
                shorter = shorten(self.options, sample, step, error.share)
                if shorter is None:
                    return Checked("", "prompt_too_long")
                step, tally.cut = shorter, True
                continue
            count(self.counts.answers, checked.code)
            if not self._may_retry(tally) or checked.code in REQUEST_STATUS:
                return checked
            if not CAPTION_STATUS[checked.code].retry:
                return checked
            tally.retries += 1

    def _may_retry(self, tally: _Tally) -> bool:
        return tally.retries < MOST_RETRIES and self.options.sampling.temperature > 0

    async def _attempt(self, step: Step, sample: Sample, tally: _Tally) -> Checked:
        request = self._request(step, sample, tally.attempts)
        completion = self.log.find(request.id)
        if completion is None:
            completion = await self.delivery.send(request)
            self.log.append(request.id, completion)
            self.counts.asked += 1
        tally.attempts += 1
        tally.tokens[0] += completion.prompt_tokens
        tally.tokens[1] += completion.completion_tokens
        tally.last, tally.finish_reason = request, completion.finish_reason
        return self._check(completion, step)

    def _check(self, completion: Completion, step: Step) -> Checked:
        if completion.failure:
            return Checked("", completion.failure)
        stage = self.options.stage
        text = parse_output(stage.kind, completion.text)
        return check_caption(
            text,
            Inputs(
                stage.source, completion.finish_reason, step.alttext or None, step.vec or None, step.prompt
            ),
        )

    def _request(self, step: Step, sample: Sample, attempt: int) -> Request:
        options = self.options
        which = [options.seed, options.stage.source, sample.key, step.fallback, attempt]
        seed = xxh3_64(json.dumps(which).encode()) & 0x7FFFFFFF
        asked = [
            *which,
            options.image_px,
            self.wording.model,
            self.wording.revision,
            self.wording.template_hash,
            step.prompt.system,
            step.prompt.user,
            sample.content_hash,
        ]
        request_id = hash_bytes(json.dumps([*asked, *_plain(options.sampling)]).encode(), "xxh3_128")
        image = sample.image if step.prompt.needs_image else None
        return Request(request_id, step.prompt, image, options.sampling, seed)

    def _compare(self, index: int, sample: Sample, text: str) -> None:
        if self.options.stage.kind == "vec":  # was made from neither
            return
        self.counts.add_grounding(grounding_sums(text, sample.alttext, sample.vec))
        if index < Variety.SAMPLES:
            self.variety.add((sample.alttext, sample.vec, text))

    def _row(
        self, sample: Sample, steps: Steps, tally: _Tally, caption: tuple[str | None, str, str]
    ) -> LedgerRow:
        text, status, fallback = caption
        wording, last = self.wording, tally.last
        return LedgerRow(
            key=sample.key,
            content_hash=sample.content_hash,
            source=self.options.stage.source,
            text=text,
            status=status,
            fallback=fallback,
            model=wording.model,
            revision=wording.revision,
            template=wording.template,
            template_hash=wording.template_hash,
            prompt=self.options.prompt,
            prompt_hash=last.prompt.hash if last else "",
            sampling=json.dumps(asdict(self.options.sampling)),
            seed=last.seed if last else 0,
            finish_reason=tally.finish_reason,
            attempts=tally.attempts,
            alttext_cut=steps.alttext_cut or tally.cut,
            prompt_tokens=tally.tokens[0],
            completion_tokens=tally.tokens[1],
        )


def _usable(code: str) -> bool:
    return code in CAPTION_STATUS and CAPTION_STATUS[code].usable


def _plain(sampling: Sampling) -> list[float]:
    return [sampling.temperature, sampling.top_p, sampling.max_tokens]
