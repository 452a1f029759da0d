"""What models are asked, and how their answers are read."""

from engine.prompts.build import build_prompt
from engine.prompts.fit import FittedInputs, fit
from engine.prompts.orders import gives_orders
from engine.prompts.output import parse_output
from engine.prompts.packs import PACKS, Pack, choose_pairs, load_pack
from engine.prompts.redteam import PARTS, Attack, attack_success, load_attacks
from engine.prompts.templates import TEMPLATES, render, template_hash
from engine.prompts.text import key_hash_of, neutralise, remove_invisible, request_mark
from engine.prompts.types import KINDS, VARIANTS, Prompt, PromptInputs

__all__ = [
    "KINDS",
    "PACKS",
    "PARTS",
    "TEMPLATES",
    "VARIANTS",
    "Attack",
    "FittedInputs",
    "Pack",
    "Prompt",
    "PromptInputs",
    "attack_success",
    "build_prompt",
    "choose_pairs",
    "fit",
    "gives_orders",
    "key_hash_of",
    "load_attacks",
    "load_pack",
    "neutralise",
    "parse_output",
    "remove_invisible",
    "render",
    "request_mark",
    "template_hash",
]
