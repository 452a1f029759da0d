"""Texts that ask for a class: templates filled with its name."""

from __future__ import annotations

from collections.abc import Callable

# VeCLIP, section 4.3.
SINGLE = "A photo of a {}."
# Sets of templates: the paper's one, open_clip's 7, the 80 of CLIP's authors.
TEMPLATE_SETS = ("single", "ens7", "ens80")

Filler = Callable[[str], str]


def filler(template: str) -> Filler:
    """Return what puts a class's name where the template has {}."""
    # Not str.format: a brace elsewhere in a template is a brace.
    return lambda name: template.replace("{}", name)


def template_set(name: str) -> tuple[Filler, ...]:
    """Return ImageNet's templates by the name of the set, one of `TEMPLATE_SETS`."""
    import open_clip

    if name == "single":
        return (filler(SINGLE),)
    return tuple(
        open_clip.OPENAI_IMAGENET_TEMPLATES if name == "ens80" else open_clip.SIMPLE_IMAGENET_TEMPLATES
    )
