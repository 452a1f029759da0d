"""`python -m open_clip_train.main` beside a webdataset newer than open_clip 3.3 asks for (at most 0.2.86).

A newer one puts a mark without a file behind each tar, on which open_clip stops; it is left out here. Nothing
else of open_clip's trainer is touched.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from open_clip_train import data, main

_expand = data.tar_file_expander


def _files(*arguments: Any, **options: Any) -> Iterator[dict[str, Any]]:
    return (file for file in _expand(*arguments, **options) if "fname" in file)


if __name__ == "__main__":
    data.tar_file_expander = _files
    sys.exit(main.main(sys.argv[1:]))
