"""The result file, written after every measurement: what was done, what failed and why, what was dropped."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.gpu.settings import Settings
from engine.errors import UserError

DONE, FAILED, DROPPED = "done", "failed", "dropped"
Row = dict[str, Any]


class Board:
    """OUT.json.

    Attributes:
        facts: machine, card and versions.
        rows: by measurement, in the order they were made; `status` of each, `result` if done, else `reason`.
    """

    def __init__(self, path: Path, settings: Settings, facts: dict[str, Any]) -> None:
        """Start with nothing measured."""
        self.path, self.settings, self.facts = path, settings, facts
        self.rows: dict[str, Row] = {}

    def take_over(self) -> None:
        """Go on with what the file holds; measurements that failed or were dropped are made again.

        Raises:
            UserError: it was made with other settings or on another card.
        """
        if not self.path.exists():
            return
        found = json.loads(self.path.read_text(encoding="utf-8"))
        # What JSON makes of it: lists, no tuples.
        own = json.loads(json.dumps({"settings": asdict(self.settings), "card": self.facts.get("card")}))
        theirs = {"settings": found["settings"], "card": found["facts"].get("card")}
        for name, given in own.items():
            if given != theirs[name]:
                raise UserError(
                    f"{self.path}: was made with {name} {theirs[name]}, this run has {given}; give another "
                    "--out, or --fresh to begin anew"
                )
        self.rows = {name: row for name, row in found["rows"].items() if row["status"] == DONE}

    def put(self, name: str, row: Row) -> None:
        """Add a row and write the file whole."""
        self.rows[name] = row
        content = {"facts": self.facts, "settings": asdict(self.settings), "rows": self.rows}
        partial = self.path.with_name(self.path.name + ".partial")
        partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        os.replace(partial, self.path)

    def done(self, name: str) -> bool:
        """Whether a measurement needs no other run."""
        return self.rows.get(name, {}).get("status") == DONE
