"""What goes on the page: a dataset, a ledger, or a dataset with ledgers beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.build.inspection import choose, find_keys
from engine.captions.ledger import LedgerSource, open_ledger
from engine.captions.scores import all_scores
from engine.errors import UserError
from engine.page.dataset import dataset_samples, dataset_sources
from engine.page.ledger import find_captions, ledger_keys, ledger_samples, with_ledger
from engine.page.write import write_page
from engine.shards.reader import MdsDataset


@dataclass(frozen=True)
class Choice:
    """Which samples: these keys, or `count` from `first` on, or `count` drawn with `seed`."""

    keys: Sequence[str] = ()
    first: int = 0
    count: int = 1000
    seed: int | None = None


def dataset_page(path: Path, dataset: MdsDataset, ledgers: Sequence[Path], choice: Choice) -> int:
    """Writes the page of a dataset; returns the samples on it.

    Raises:
        UserError: there is no such sample, or a ledger cannot be read.
    """
    if choice.keys:
        indices = find_keys(dataset, choice.keys)
    else:
        indices = choose(len(dataset), choice.first, choice.count, choice.seed)
    samples = list(dataset_samples(dataset, indices))
    sources = _opened(ledgers)
    found = find_captions(sources, all_scores(ledgers), {sample.key for sample in samples})
    names = _ordered([*dataset_sources(dataset), *(source.name for source in sources)])
    return write_page(path, str(dataset.directory), with_ledger(samples, found), names)


def ledger_page(path: Path, ledgers: Sequence[Path], choice: Choice) -> int:
    """Writes the page of ledgers alone; returns the samples on it.

    Raises:
        UserError: there is no such sample, or a ledger cannot be read.
    """
    sources = _opened(ledgers)
    if not sources:
        raise UserError(
            f"{ledgers[0]}: holds scores alone; give the ledger with their captions too (--captions)"
        )
    there = ledger_keys(sources)
    keys = list(choice.keys)
    if not keys:
        keys = [there[at] for at in choose(len(there), choice.first, choice.count, choice.seed)]
    elif missing := set(keys) - set(there):
        raise UserError(f"--key {min(missing)}: no row of {ledgers[0]} has this key")
    names = _ordered([source.name for source in sources])
    found = find_captions(sources, all_scores(ledgers), keys)
    return write_page(path, str(ledgers[0]), ledger_samples(keys, found), names)


def _opened(ledgers: Sequence[Path]) -> list[LedgerSource]:
    return [source for ledger in ledgers for source in open_ledger(ledger)]


def _ordered(names: Sequence[str]) -> list[str]:
    """Each once: AltText, VeC and VeCap first, in this order; then as they come."""
    field = ("alttext", "vec", "vecap")
    return [name for name in field if name in names] + [n for n in dict.fromkeys(names) if n not in field]
