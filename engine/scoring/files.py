"""Which files a model is made of: a folder, a name on the Hub, or a name of open_clip's with weights."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import UserError
from engine.native import hash_file
from engine.nearest import nearest
from engine.scoring.options import ModelChoice

OPEN_CLIP_CONFIG = "open_clip_config.json"
HF_CONFIG = "config.json"
WEIGHTS = (".safetensors", ".bin", ".pt", ".pth")
_TEXT = (".json", ".txt", ".model")
INSTALL = "pip install 'veclip-engine[score]'"


@dataclass(frozen=True)
class ModelFiles:
    """A model on this machine.

    Attributes:
        kind: `open_clip` or `huggingface`.
        name: what a user knows it by.
        revision: of the Hub, empty elsewhere.
        folder: with config and weights; None for an architecture of open_clip's.
        weights: the file, for an architecture of open_clip's.
        tag: open_clip's name of these weights, for their own image transform.
    """

    kind: str
    name: str
    revision: str = ""
    folder: Path | None = None
    weights: Path | None = None
    tag: str | None = None

    def hashes(self) -> dict[str, str]:
        """xxh3_128 of every file that decides a feature, by name."""
        files = [self.weights] if self.weights else _deciding(self.folder) if self.folder else []
        return {path.name: hash_file(path, "xxh3_128") for path in sorted(files)}


def find_model(choice: ModelChoice) -> ModelFiles:
    """Looks the model up; fetches a name on the Hub.

    Raises:
        UserError: there is no such model, it has no weights, or a package is missing.
    """
    folder = Path(choice.model).expanduser()
    if folder.is_dir():
        return _in_folder(folder, folder.resolve().name)
    if choice.pretrained is not None or "/" not in choice.model:
        return _architecture(choice)
    if choice.model.count("/") != 1 or choice.model.startswith((".", "/", "~")):
        raise UserError(f"model {choice.model}: no such folder")
    return _on_the_hub(choice)


def require(package: str, what: str) -> None:
    """Makes sure that a package is there.

    Raises:
        UserError: it is not; says how to install it.
    """
    if importlib.util.find_spec(package) is None:
        raise UserError(f"{what} needs {package}, which is not installed: {INSTALL}")


def _in_folder(folder: Path, name: str, revision: str = "") -> ModelFiles:
    found = {path.name for path in folder.iterdir()}
    kinds = [("open_clip", OPEN_CLIP_CONFIG), ("huggingface", HF_CONFIG)]
    kind = next((kind for kind, config in kinds if config in found), None)
    if kind is None:
        raise UserError(
            f"model {folder}: holds neither {OPEN_CLIP_CONFIG} (open_clip) nor {HF_CONFIG} (Hugging Face)"
        )
    if not any(name.endswith(WEIGHTS) for name in found):
        raise UserError(f"model {folder}: has no weights; expected a file *.safetensors, *.bin or *.pt")
    return ModelFiles(kind, name, revision, folder)


def _architecture(choice: ModelChoice) -> ModelFiles:
    require("open_clip", f"model {choice.model}")
    import open_clip

    known = open_clip.list_models()
    if choice.model not in known:
        raise UserError(
            f"model {choice.model}: no folder, and no model of open_clip{nearest(choice.model, known)}"
        )
    tags = open_clip.list_pretrained_tags_by_model(choice.model)
    if choice.pretrained is None:
        raise UserError(
            f"model {choice.model}: needs --pretrained, a file with weights or one of {', '.join(tags)}"
        )
    file = Path(choice.pretrained).expanduser()
    if file.is_file():
        return ModelFiles("open_clip", choice.model, weights=file)
    if choice.pretrained not in tags:
        raise UserError(
            f"--pretrained {choice.pretrained}: no file, and open_clip has no such weights of {choice.model}"
            f"{nearest(choice.pretrained, tags)}"
        )
    _refuse_other_gelu(choice.model, choice.pretrained)
    return _tagged(choice.model, choice.pretrained)


def _refuse_other_gelu(model: str, tag: str) -> None:
    """open_clip only warns when weights meet an architecture with another activation than they had."""
    import open_clip

    theirs = bool((open_clip.get_pretrained_cfg(model, tag) or {}).get("quick_gelu", False))
    ours = bool((open_clip.get_model_config(model) or {}).get("quick_gelu", False))
    if theirs != ours:
        had, other = (
            ("with", f"{model}-quickgelu") if theirs else ("without", model.removesuffix("-quickgelu"))
        )
        raise UserError(
            f"--pretrained {tag}: was trained {had} QuickGELU, unlike {model}; the architecture is {other}"
        )


def _tagged(model: str, tag: str) -> ModelFiles:
    import open_clip

    try:
        file = open_clip.download_pretrained(open_clip.get_pretrained_cfg(model, tag))
    except Exception as error:  # hub, network and disk errors of many kinds
        raise UserError(f"--pretrained {tag}: cannot be fetched ({error})") from error
    return ModelFiles("open_clip", model, tag, weights=Path(file), tag=tag)


def _on_the_hub(choice: ModelChoice) -> ModelFiles:
    require("huggingface_hub", f"model {choice.model}")
    from huggingface_hub import snapshot_download

    wanted: Sequence[str] = [f"*{suffix}" for suffix in (*WEIGHTS, *_TEXT)]
    try:
        folder = Path(snapshot_download(choice.model, revision=choice.revision, allow_patterns=list(wanted)))
    except Exception as error:  # hub, network and disk errors of many kinds
        raise UserError(
            f"model {choice.model}: no such folder, and it cannot be fetched from the Hub ({error})"
        ) from error
    return _in_folder(folder, choice.model, revision=folder.name)


def _deciding(folder: Path) -> list[Path]:
    files = [path for path in folder.iterdir() if path.is_file()]
    weights = [path for path in files if path.suffix in WEIGHTS]
    # Both libraries take safetensors where there are any.
    safe = [path for path in weights if path.suffix == ".safetensors"]
    return [path for path in files if path.suffix in _TEXT] + (safe or weights)


def text_of(error: BaseException) -> str:
    """The first line of a library's error: some have pages."""
    lines: list[Any] = str(error).strip().splitlines() or [type(error).__name__]
    return str(lines[0])[:300]
