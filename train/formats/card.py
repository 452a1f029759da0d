"""README.md of an exported model: what it is, how it was trained, what it reached, how to load it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from train.formats.model import Exported
from train.keeping.checkpoints import CONFIG, RESULTS, ModelCard

LOADING = {
    "open_clip": """    import open_clip
    model, _, transform = open_clip.create_model_and_transforms("local-dir:{folder}")
    tokenizer = open_clip.get_tokenizer("local-dir:{folder}")
""",
    "huggingface": """    from transformers import AutoTokenizer, CLIPImageProcessor, CLIPModel
    model = CLIPModel.from_pretrained("{folder}")
    tokenizer = AutoTokenizer.from_pretrained("{folder}")
    processor = CLIPImageProcessor.from_pretrained("{folder}")
""",
    "onnx": """    import onnxruntime
    image = onnxruntime.InferenceSession("{folder}/image.onnx")    # image: float32 [N, 3, S, S], normalised
    text = onnxruntime.InferenceSession("{folder}/text.onnx")      # text: int64 [N, context], padded
""",
}


def write_readme(out: Path, model: Exported, kind: str, checkpoint: Path) -> None:
    """Write it, from what lies beside the checkpoint.

    Args:
        out: the exported model's folder.
        model: what was exported.
        kind: a key of LOADING.
        checkpoint: config.yaml and results.json of its run are taken, where they are there.
    """
    parts = [
        f"# {_name(checkpoint)}",
        _sizes(model),
        _data(_recipe(checkpoint)),
        _results(checkpoint.parent / RESULTS),
        "## Loading\n\n" + LOADING[kind].format(folder=out.name),
        _settings(_recipe(checkpoint)),
    ]
    (out / "README.md").write_text("\n\n".join(part for part in parts if part) + "\n", encoding="utf-8")


def _name(checkpoint: Path) -> str:
    return str(_recipe(checkpoint).get("run_name") or checkpoint.parent.name)


def _recipe(checkpoint: Path) -> Mapping[str, Any]:
    path = checkpoint.parent / CONFIG
    return dict(yaml.safe_load(path.read_text(encoding="utf-8")) or {}) if path.exists() else {}


def _sizes(model: Exported) -> str:
    card: ModelCard = model.card
    a, facts = card.architecture, card.tokenizer
    count = sum(parameter.numel() for parameter in model.clip.parameters()) / 1e6
    return (
        f"A CLIP of {count:,.1f} million parameters. Images of {a.image_size} pixels, the shorter side "
        f"resized (bicubic), cut at the centre, normalised by mean {list(card.normalisation.mean)} and "
        f"deviation {list(card.normalisation.std)}. Texts of at most {facts.context_length} tokens of "
        f"`{facts.name}` ({facts.fingerprint[:12]}). Features have {a.embed_dim} numbers."
    )


def _data(recipe: Mapping[str, Any]) -> str:
    data = recipe.get("data")
    if not data:
        return ""
    where = data.get("remote") or data.get("local")
    lines = [f"- data: `{where}`"] if where else []
    for name, stream in (data.get("streams") or {}).items():
        lines.append(f"- data `{name}`, weight {stream.get('weight')}: `{stream.get('local')}`")
    lines += [
        f"- captions: `{json.dumps(data.get('policy'))}`",
        f"- length: {recipe.get('max_duration')}, {recipe.get('global_train_batch_size')} pairs a step",
        f"- loss: `{json.dumps(recipe.get('loss'))}`",
    ]
    return "## Training\n\n" + "\n".join(lines)


def _results(path: Path) -> str:
    if not path.exists():
        return ""
    found = json.loads(path.read_text(encoding="utf-8"))
    rows = [f"| {k} | {v:.4f} |" for k, v in found.items() if isinstance(v, float)]
    if not rows:
        return ""
    return "\n".join(
        [f"## Results at step {found.get('step')}", "", "| metric | value |", "|---|---|", *rows]
    )


def _settings(recipe: Mapping[str, Any]) -> str:
    if not recipe:
        return ""
    text = yaml.safe_dump(dict(recipe), sort_keys=False, allow_unicode=True)
    return "## Recipe\n\n" + "".join(f"    {line}\n" for line in text.splitlines())
