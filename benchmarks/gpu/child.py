"""A measuring process: a task as JSON comes as its argument, a line of JSON with the result goes out."""

from __future__ import annotations

import importlib
import json
import os
import sys

from benchmarks.gpu.task import task_from_json


def main() -> None:
    """Whatever libraries print goes to stderr."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    task = task_from_json(json.loads(sys.argv[1]))
    found = importlib.import_module(f"benchmarks.gpu.{task.kind}").measure(task)
    answers.write(json.dumps(found) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
