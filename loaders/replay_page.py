"""What a run saw, as one HTML file: images as cropped (PNG: without loss), caption, source, key and box."""

from __future__ import annotations

import base64
import html
import io
from collections import Counter
from collections.abc import Sequence

from loaders.replayer import Seen

STYLE = """
:root { color-scheme: light dark;
  --ground: #f6f7f9; --card: #fff; --text: #1c2430; --quiet: #667080; --line: #dde2e8; }
@media (prefers-color-scheme: dark) {
  :root { --ground: #14181d; --card: #1d232b; --text: #e6eaf0; --quiet: #93a0b0; --line: #2f3842; } }
* { box-sizing: border-box; }
body { margin: 0; padding: 28px; font: 15px/1.45 system-ui, sans-serif;
  background: var(--ground); color: var(--text); }
h1 { margin: 0 0 4px; font-size: 22px; }
header p { margin: 0 0 6px; color: var(--quiet); }
main { display: grid; gap: 16px; margin-top: 20px;
  grid-template-columns: repeat(auto-fill, minmax(228px, 1fr)); }
figure { margin: 0; overflow: hidden;
  background: var(--card); border: 1px solid var(--line); border-radius: 10px; }
figure img { display: block; width: 100%; background: #000; }
figcaption { padding: 10px 12px 12px; }
.caption { margin: 0 0 8px; }
.facts { margin: 0; color: var(--quiet); font-size: 12px; overflow-wrap: anywhere; }
.facts code { font: 12px ui-monospace, monospace; color: var(--text); }
.source { display: inline-block; padding: 1px 8px; margin-bottom: 6px;
  border-radius: 9px; font-size: 12px; color: #fff; }
.bad { color: #c0392b; }
"""
COLOURS = ("#2f6fde", "#1f8a5b", "#b5541c", "#8244b8", "#a3324f", "#4a6572")


def page(title: str, lines: Sequence[str], seen: Sequence[Seen], sources: Sequence[str]) -> str:
    """Return the whole file; `lines` stand below the title, `sources` are dataset.json's, in order."""
    drawn = Counter(sample.source for sample in seen)
    shares = ", ".join(f"{name} {drawn[name]}" for name in sources if drawn[name])
    about = "".join(f"<p>{html.escape(line)}</p>" for line in [*lines, f"captions by source: {shares}"])
    colours = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(sources)}
    cards = "\n".join(_card(sample, colours[sample.source]) for sample in seen)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{STYLE}</style></head>\n"
        f"<body><header><h1>{html.escape(title)}</h1>{about}</header>\n<main>\n{cards}\n</main></body></html>\n"
    )


def _card(sample: Seen, colour: str) -> str:
    left, top, width, height = sample.box
    stream = f"{html.escape(sample.stream)} " if sample.stream else ""
    instead = ""
    if sample.instead_of is not None:
        instead = f'<br><span class="bad">in place of <code>{html.escape(sample.instead_of)}</code></span>'
    return (
        f'<figure><img src="{_png(sample)}" alt="{html.escape(sample.caption, quote=True)}"><figcaption>'
        f'<span class="source" style="background:{colour}">{html.escape(sample.source)} #{sample.number}'
        "</span>"
        f'<p class="caption">{html.escape(sample.caption)}</p>'
        f'<p class="facts"><code>{html.escape(sample.key)}</code>{instead}<br>'
        f"step {sample.step} · {stream}epoch {sample.epoch} · slot {sample.slot}<br>"
        f"crop {width} x {height} at ({left}, {top}) of {sample.size[0]} x {sample.size[1]}</p>"
        "</figcaption></figure>"
    )


def _png(sample: Seen) -> str:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(sample.image.transpose(1, 2, 0)).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")
