"""Named chat templates: a prompt as the one string that a completion endpoint takes.

Vicuna's and LLaVA's tokenizers ship no chat template of their own, so the strings are written here. Sources:
FastChat (vicuna_v1.1), LLaVA's conv_llava_v1, and the form that llava-hf models are used with.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.errors import UserError
from engine.native import hash_bytes
from engine.nearest import nearest
from engine.prompts.types import Prompt


@dataclass(frozen=True)
class _Template:
    text: str  # {system} and {user} are filled in; {system} with the separator behind it
    system: str
    separator: str
    image: str = "<image>\n"


_VICUNA = (
    "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful,"
    " detailed, and polite answers to the user's questions."
)
_LLAVA = (
    "A chat between a curious human and an artificial intelligence assistant. The assistant gives helpful,"
    " detailed, and polite answers to the human's questions."
)
_TEMPLATES = {
    "vicuna_v1.1": _Template("{system}USER: {user} ASSISTANT:", _VICUNA, " "),
    "llava_v1": _Template("{system}USER: {user} ASSISTANT:", _LLAVA, " "),
    "llava_1.5_hf": _Template("{system}USER: {user}\nASSISTANT:", "", "\n"),
    "plain": _Template("{system}{user}", "", "\n\n"),
}
TEMPLATES = tuple(_TEMPLATES)
"""Names for `render`; `plain` is the text alone, for base models."""


def render(template: str, prompt: Prompt) -> str:
    """The prompt in a template; a prompt's own system sentence takes the place of the template's.

    Raises:
        UserError: there is no such template.
    """
    found = _find(template)
    system = found.system if prompt.system is None else prompt.system
    user = (found.image if prompt.needs_image else "") + prompt.user
    # Data may hold braces: pieces are joined, never formatted twice.
    before, after = found.text.removeprefix("{system}").split("{user}")
    return (system + found.separator if system else "") + before + user + after


def template_hash(template: str) -> str:
    """xxh3_128 of everything the template adds, in hex.

    Raises:
        UserError: there is no such template.
    """
    found = _find(template)
    return hash_bytes(
        "\0".join((found.text, found.system, found.separator, found.image)).encode(), "xxh3_128"
    )


def _find(name: str) -> _Template:
    if name not in _TEMPLATES:
        raise UserError(f"template {name}: expected {', '.join(TEMPLATES)}{nearest(name, TEMPLATES)}")
    return _TEMPLATES[name]
