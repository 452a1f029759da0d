"""The last step of a source: duplicates of other units left out, totals, and `ledger.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from engine.build.dedup import KeySet, read_keys
from engine.build.finish import REJECTS_NAME
from engine.build.job import Task
from engine.build.rejects import RejectWriter, merge_rejects, read_rejects
from engine.build.state import State
from engine.captions.ledger import LEDGER_FORMAT, LEDGER_NAME, LedgerWriter, read_rows
from engine.captions.parts import describe_part
from engine.errors import UserError
from engine.native import commit_file
from engine.recap.counts import Counts
from engine.recap.earlier import duplicate
from engine.recap.job import Receipt, part_name, read_receipt


def leave_out_duplicates(state: State, task: Task) -> None:
    """Writes a unit's part again without the keys of earlier units; asks no one for anything.

    Args:
        state: of the source.
        task: with `dedupe`; its first part and receipt are there.
    """
    first = Task(task.index, task.unit)
    receipt = read_receipt(state.receipt_path(first))
    assert receipt is not None
    excluded, counts = read_keys(state.excluded(task)), receipt.counts
    with (
        RejectWriter(state.rejects_path(task)) as rejects,
        LedgerWriter(state.out / part_name(task)) as kept,
    ):
        for reject in read_rejects(state.rejects_path(first)):
            rejects.add(reject)
        for row in read_rows(state.out / receipt.part):
            if KeySet.hash_of(row.key) in excluded:
                counts.add_row(row, -1)
                counts.duplicates += 1
                counts.spare += row.attempts
                rejects.add(duplicate(row.key, task))
            else:
                kept.add(row)
    Receipt(counts, part_name(task), receipt.steps).commit(state.receipt_path(task))


def finish(state: State, tasks: Sequence[Task], plan: Mapping[str, Any]) -> Counts:
    """Writes everything beside the parts; `tasks` are in the phase that counts for each unit.

    Raises:
        UserError: the totals do not add up.
    """
    receipts = [_receipt(state, task) for task in tasks]
    total = Counts()
    for receipt in receipts:
        total.add(receipt.counts)
    if total.seen != total.out + total.rejected + total.duplicates:
        raise UserError(
            f"the totals do not add up: {total.seen:,} in, {total.out:,} rows, {total.rejected:,} rejected, "
            f"{total.duplicates:,} duplicates; please report this"
        )
    out, parts = state.out, [receipt.part for receipt in receipts]
    merge_rejects((state.rejects_path(task) for task in tasks), out / REJECTS_NAME)
    for file in [*out.glob("*.parquet"), *out.glob("*.tmp")]:
        if file.name not in (*parts, REJECTS_NAME):
            file.unlink()
    metadata = {
        "format": LEDGER_FORMAT,
        **plan,
        "parts": [describe_part(out / part) for part in parts],
        "counts": total.to_json(),
    }
    commit_file(out / LEDGER_NAME, json.dumps(metadata, indent=1, ensure_ascii=False).encode())
    state.remove()
    return total


def _receipt(state: State, task: Task) -> Receipt:
    receipt = read_receipt(state.receipt_path(task))
    if receipt is None:
        raise UserError(f"{task}: not finished; run the same command again")
    return receipt
