"""Our kernel in the loader's place: what the loader could reach if all around decoding were free."""

from __future__ import annotations

from benchmarks.loader.peers import ours

IMPORTS = {"loader": ("engine.native",)}
loader = ours.kernel
crop = ours.crop
