"""What a build adds to the captions of its input: those of ledgers, their scores, and which are kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.build.options import BuildOptions
from engine.captions.index import IndexCounts
from engine.captions.join import JoinedSource
from engine.captions.scored import ScoredSource
from engine.captions.scores import open_scores
from engine.captions.selection import SelectedSource
from engine.captions.share import thresholds
from engine.errors import UserError
from engine.sources import Source


@dataclass(frozen=True)
class Captioned:
    """The samples of a build, with `joined` and `scored` where ledgers have captions and scores.

    `shares` are the scores that the rules of `top_share` stand for.
    """

    source: Source
    joined: JoinedSource | None
    scored: ScoredSource | None
    shares: dict[str, float]

    @property
    def has_scores(self) -> bool:
        """Whether captions come with scores, from ledgers or from the input."""
        return self.scored is not None or bool(self.source.assembler.scores)

    @property
    def scorer(self) -> dict[str, Any] | None:
        """The model whose scores the ledgers have."""
        return self.scored.describe()[0]["scorer"] if self.scored else None

    def describe(self) -> dict[str, Any]:
        """What a build must have again to go on."""
        found: dict[str, Any] = {}
        if self.joined:
            found["ledgers"] = self.joined.describe()
        if self.scored:
            found["score_runs"] = self.scored.describe()
        if self.shares:
            found["top_share_scores"] = self.shares
        return found

    def build(self) -> dict[str, IndexCounts]:
        """Writes the lookup tables; counts by ledger source."""
        if self.scored:
            self.scored.build()
        return self.joined.build() if self.joined else {}


def caption(source: Source, options: BuildOptions, folder: Path) -> Captioned:
    """Adds to a source what the options say.

    Args:
        source: the input.
        options: of the build.
        folder: for lookup tables, made by `Captioned.build`.

    Raises:
        UserError: a ledger cannot be opened, or there are no scores for what was asked.
    """
    ledgers = [Path(name) for name in options.ledgers]
    joined = scored = None
    if ledgers:
        source = joined = JoinedSource(source, ledgers, folder)
    elif options.scorer:
        raise UserError("--scorer: chooses among the scores of ledgers; name them with --captions")
    if runs := open_scores(ledgers, options.scorer):
        source = scored = ScoredSource(source, runs, folder / "scores")
    selection, shares = options.selection, {}
    if selection:
        option = next(selection.rules())[0]
        if scored is None and not source.assembler.scores:
            raise UserError(
                f"{option}: needs scores; make them with python -m engine.score and name its ledger with "
                "--captions, or name a column with --score"
            )
        if scored is None and selection.top_share:
            raise UserError("--top-share: needs the scores of a ledger (python -m engine.score)")
        shares = thresholds(runs, selection.top_share)
        source = SelectedSource(source, selection, shares)
    return Captioned(source, joined, scored, shares)
