"""The prompts: the papers' words, and ours that keep data apart from instructions."""

from __future__ import annotations

from functools import lru_cache

from engine.errors import UserError
from engine.native import hash_bytes
from engine.nearest import nearest
from engine.prompts.hardened import hardened_laclip, hardened_vecap
from engine.prompts.paper import laclip, vec, vecap
from engine.prompts.text import neutralise
from engine.prompts.types import KINDS, VARIANTS, Prompt, PromptInputs


def build_prompt(kind: str, variant: str, inputs: PromptInputs) -> Prompt:
    """The prompt of one request.

    Args:
        kind: `vec`, `vecap` or `laclip`.
        variant: `hardened`, `paper` or `paper_no_constraints`. `vec` has one prompt only, the paper's: it
            holds no data, so there is nothing to harden.
        inputs: What it is about; hardened prompts neutralise it.

    Raises:
        UserError: unknown kind or variant, or an input that the kind needs is missing.
    """
    _check(kind, variant, inputs)
    system, user = _texts(kind, variant, _safe(inputs) if variant == "hardened" else inputs)
    form = _form(kind, variant, bool(inputs.alttext), bool(inputs.vec), len(inputs.examples))
    mark = inputs.mark if variant == "hardened" else ""
    return Prompt(system, user, kind == "vec", form, _hash(form), mark)


def _texts(kind: str, variant: str, inputs: PromptInputs) -> tuple[str | None, str]:
    if kind == "vec":
        return None, vec()
    if variant == "hardened":
        return hardened_vecap(inputs) if kind == "vecap" else hardened_laclip(inputs)
    if kind == "vecap":
        return None, vecap(inputs, constraints=variant == "paper")
    return None, laclip(inputs)


def _safe(inputs: PromptInputs) -> PromptInputs:
    def safe(text: str | None) -> str | None:
        # A space instead: what is left must neither join to another mark nor be a text of nothing.
        return " ".join(neutralise(text).replace(inputs.mark, " ").split()) if text else text

    return PromptInputs(safe(inputs.alttext), safe(inputs.vec), inputs.mark, inputs.examples)


@lru_cache(maxsize=256)
def _form(kind: str, variant: str, alttext: bool, vec_there: bool, examples: int) -> str:
    pairs = tuple((f"(caption {n})", f"(rewrite {n})") for n in range(1, examples + 1))
    holes = PromptInputs(
        "(AltText)" if alttext else None, "(VeC)" if vec_there else None, "(mark)", examples=pairs
    )
    system, user = _texts(kind, variant, holes)
    return f"{system}\n{user}" if system else user


@lru_cache(maxsize=256)
def _hash(form: str) -> str:
    return hash_bytes(form.encode(), "xxh3_128")


def _check(kind: str, variant: str, inputs: PromptInputs) -> None:
    if kind not in KINDS:
        raise UserError(f"prompt kind {kind}: expected {', '.join(KINDS)}{nearest(kind, KINDS)}")
    if variant not in VARIANTS:
        raise UserError(f"--prompt {variant}: expected {', '.join(VARIANTS)}{nearest(variant, VARIANTS)}")
    if kind == "vecap" and not inputs.vec:
        raise UserError("prompt vecap: needs VeC, none given; run --mode vec first")
    if kind == "laclip" and not inputs.alttext:
        raise UserError("prompt laclip: needs a caption to rewrite, none given")
    if kind != "vec" and variant == "hardened" and not inputs.mark:
        raise UserError("prompt hardened: needs a mark, none given; use request_mark")
