"""The papers' prompts, word for word.

Sources: VeCLIP (Lai et al., ECCV 2024), sections 3.2 and 3.3; LaCLIP (Fan et al., NeurIPS 2023) and its
released script. Data stands in them as it came.
"""

from __future__ import annotations

from engine.prompts.types import PromptInputs

_VEC = "Describe the image concisely, less than 20 words"
_TASK = "Rephrase the following two sentences into one short sentence"
_TASK_VEC_ALONE = "Rephrase the following sentence into one short sentence"
_CONSTRAINTS = (
    " while adhering to the provided instructions: Place attributes before noun entities without introducing"
    ' new meaning. Do not start with "The image".'
)
# The released script indents the lines as its own code is indented; that is not repeated here.
_REWRITE_HEAD = "write image captions differently,"


def vec() -> str:
    """VeCLIP's prompt for VeC; it does not show the AltText."""
    return _VEC


def vecap(inputs: PromptInputs, constraints: bool) -> str:
    """VeCLIP's prompt for VeCap; without AltText, for one sentence (the paper gives no words for it)."""
    task = _TASK if inputs.alttext else _TASK_VEC_ALONE
    head = task + (_CONSTRAINTS if constraints else ":")
    sentence = (inputs.vec or "").rstrip().removesuffix(".")
    if not inputs.alttext:
        return f"{head} 1. {sentence}."
    return f"{head} 1. {inputs.alttext}; 2. {sentence}."


def laclip(inputs: PromptInputs) -> str:
    """LaCLIP's in-context prompt: a header, pairs as `caption => rewrite`, and the caption to rewrite."""
    pairs = [f"{source} => {target}" for source, target in inputs.examples]
    # The script removes line ends from the caption: the parsing counts lines.
    asked = f"{(inputs.alttext or '').replace(chr(10), '')} =>"
    return "\n\n".join([_REWRITE_HEAD, *pairs, asked])
