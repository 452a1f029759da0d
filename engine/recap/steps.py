"""What is asked for one sample: the first thing, and what comes next if that fails.

VeCap: AltText and VeC fused; then VeC alone (VeCLIP, section 3.3: refusals), VeC itself, AltText itself. An
AltText that gives orders to the model is never shown to it where the prompt is hardened. Where there is no
AltText there is nothing to fuse: VeC itself, unasked.
A rewrite: then the AltText itself. VeC: there is nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from math import ceil

from engine.prompts import (
    FittedInputs,
    Pack,
    Prompt,
    PromptInputs,
    build_prompt,
    choose_pairs,
    fit,
    gives_orders,
    key_hash_of,
    load_pack,
    request_mark,
)
from engine.recap.options import EXAMPLE_PAIRS, RecaptionOptions
from engine.tokenizers import Tokenizer, load_tokenizer

_MOST_TOKENS = 32_768


@dataclass(frozen=True)
class Sample:
    """One sample on its way to a row; `image` is ready to be sent, empty where none is."""

    key: str
    content_hash: str
    image: bytes
    alttext: str
    vec: str


@dataclass(frozen=True)
class Step:
    """One thing to ask for; `fallback` is what a row says if it was what gave the text."""

    fallback: str
    prompt: Prompt
    alttext: str
    vec: str


@dataclass(frozen=True)
class Steps:
    """The steps of one sample; `code` says why the usual ones are missing, `last` are texts to end with."""

    steps: tuple[Step, ...]
    last: tuple[tuple[str, str], ...]
    code: str = ""
    alttext_cut: bool = False


def steps_for(options: RecaptionOptions, sample: Sample) -> Steps:
    """What to ask for one sample, in order."""
    if options.stage.kind == "vec":
        return Steps((Step("", build_prompt("vec", options.prompt, PromptInputs()), "", ""),), ())
    if options.stage.kind == "vecap":
        return _vecap(options, sample)
    return _laclip(options, sample)


def shorten(options: RecaptionOptions, sample: Sample, step: Step, share: float | None) -> Step | None:
    """The step with less AltText, so that its prompt keeps `share` of its length; None if none is left.

    Where no share is known, half of the AltText goes.

    The cut is at a sentence or word border, as in `engine.prompts.fit`, counted in characters: that is what
    all tokenizers have in common.
    """
    length, alttext_length = len(step.prompt.user) + len(step.prompt.system or ""), len(step.alttext)
    too_many = alttext_length / 2 if share is None else length * (1 - share)
    keep = alttext_length - max(1, ceil(too_many))
    alttext = fit(step.alttext, "", keep, len).alttext if keep > 0 else None
    if not alttext:
        return None
    mark = request_mark(sample.key, options.seed)
    inputs = PromptInputs(alttext, step.vec or None, mark, _pairs(options, sample))
    return replace(step, prompt=_prompt(options, inputs), alttext=alttext)


def _vecap(options: RecaptionOptions, sample: Sample) -> Steps:
    last = tuple((name, text) for name, text in (("vec", sample.vec), ("alttext", sample.alttext)) if text)
    if not sample.vec:
        return Steps((), last, "no_vec")
    if not sample.alttext:
        return Steps((), last, "no_alttext")
    fitted = _fit(options, sample.alttext, sample.vec)
    if not fitted.fits:
        return Steps((), last, "prompt_too_long")
    mark = request_mark(sample.key, options.seed)
    alone = Step("vec_alone", _prompt(options, PromptInputs(None, sample.vec, mark)), "", sample.vec)
    if not fitted.alttext:
        return Steps((alone,), last, "prompt_too_long", fitted.cut)
    if _gives_orders(options, fitted.alttext):
        return Steps((alone,), last, "alttext_orders", fitted.cut)
    both = _prompt(options, PromptInputs(fitted.alttext, sample.vec, mark))
    return Steps((Step("", both, fitted.alttext, sample.vec), alone), last, alttext_cut=fitted.cut)


def _laclip(options: RecaptionOptions, sample: Sample) -> Steps:
    if not sample.alttext:
        return Steps((), (), "no_alttext")
    fitted = _fit(options, sample.alttext, "")
    if _gives_orders(options, fitted.alttext):
        return Steps((), (("alttext", sample.alttext),), "alttext_orders")
    mark = request_mark(sample.key, options.seed)
    inputs = PromptInputs(fitted.alttext, None, mark, _pairs(options, sample))
    step = Step("", _prompt(options, inputs), fitted.alttext or "", "")
    return Steps((step,), (("alttext", sample.alttext),), alttext_cut=fitted.cut)


def _gives_orders(options: RecaptionOptions, alttext: str | None) -> bool:
    """The papers' prompts have no guard against such a text, and are to stay as they are."""
    return options.prompt == "hardened" and bool(alttext) and gives_orders(alttext or "")


def _pairs(options: RecaptionOptions, sample: Sample) -> tuple[tuple[str, str], ...]:
    if options.stage.kind != "laclip":
        return ()
    return choose_pairs(pack_of(options.stage.pack), key_hash_of(sample.key), options.seed, EXAMPLE_PAIRS)


def _fit(options: RecaptionOptions, alttext: str, vec: str) -> FittedInputs:
    # A token is at least a byte: most texts need no counting.
    if len(alttext.encode()) + len(vec.encode()) <= options.prompt_tokens:
        return FittedInputs(alttext or None, vec, False, True)
    return fit(alttext or None, vec, options.prompt_tokens, count_tokens)


def _prompt(options: RecaptionOptions, inputs: PromptInputs) -> Prompt:
    return build_prompt(options.stage.kind, options.prompt, inputs)


@lru_cache(maxsize=8)
def pack_of(name: str) -> Pack:
    """A pack of example pairs."""
    return load_pack(name)


def count_tokens(text: str) -> int:
    """Tokens as CLIP's vocabulary has them: near enough to any model's to keep texts within a limit."""
    return int(_tokenizer().encode_batch([text])[1][0]) - 2  # without start and end


@lru_cache(maxsize=1)
def _tokenizer() -> Tokenizer:
    return load_tokenizer("clip", _MOST_TOKENS)
