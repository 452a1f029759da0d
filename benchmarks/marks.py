"""The part of a Markdown file that a benchmark writes; what stands around it stays."""

from __future__ import annotations

from pathlib import Path

from engine.errors import UserError

END = "<!-- end of tables -->"


def put_into(path: Path, tables: str, begin: str) -> None:
    """Replaces what stands between the lines `begin` and END; a file that is not there is made.

    Raises:
        UserError: the file has no such lines.
    """
    text = path.read_text(encoding="utf-8") if path.exists() else f"{begin}\n{END}\n"
    before, found, rest = text.partition(begin)
    _, end, after = rest.partition(END)
    if not (found and end):
        raise UserError(f"{path}: has no lines {begin} and {END}, between which the tables stand")
    path.write_text(f"{before}{begin}\n\n{tables}\n{END}{after}", encoding="utf-8")
