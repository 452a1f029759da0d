"""Which caption of a sample is trained on: the mixing rules of VeCLIP and LaCLIP, as one policy.

A policy is plain YAML (`data.policy` in a recipe). The rows of the papers' ablations, from the same shards:

    policy: {weights: uniform}                                     # mix ~ Uniform (VeCLIP, section 3)
    policy: {weights: {alttext: 1}}                                # AltText, one of them at random
    policy: {weights: {alttext: 1}, within: hcs}                   # AltText, highest CLIP score
    policy: {weights: {alttext: 1}, within: first}                 # AltText, the first one
    policy: {weights: {vec: 1}, missing: alttext}                  # VeC only
    policy: {weights: {vecap: 1}, missing: alttext}                # VeCap only
    policy: {weights: {alttext: 1, vecap: 1}, within: hcs}         # HCS & mixed
    policy: {weights: {alttext: 1, vecap: 1}, within: random}      # random & mixed
    policy: {weights: {alttext: 1, vecap: 3}}                      # any ratio, here 25 % to 75 %
    policy: {weights: {alttext: 1, rewrite/a: 1, rewrite/b: 1}}    # LaCLIP: K rewrites, a source each
    policy: {weights: {alttext: 1, rewrite: 4}}                    # LaCLIP: the K = 4 rewrites in one source

Weights may move over a run: all AltText at first, a fifth of it from 90 % of the run on:

    policy: {weights: {alttext: 1}, ramp: {to: {alttext: 1, vecap: 4}, begin: 0.1dur, end: 0.9dur}}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from engine.errors import UserError
from engine.nearest import nearest
from loaders.ramp import Names, Ramp, Weights, bind_ramp, check_weights
from loaders.recipe.strict import SettingError
from loaders.recipe.times import RunLength

UNIFORM = "uniform"
WITHIN_RULES = ("random", "first", "hcs")
MISSING_RULES = ("renormalise", "error")


class MissingCaptionError(UserError):
    """A sample lacks the captions its policy asks for; `row` is its place in the batch."""

    def __init__(self, row: int, message: str) -> None:
        """Keep the row, so that the caller can name the sample."""
        super().__init__(message)
        self.row = row


@dataclass(frozen=True)
class CaptionPolicy:
    """How a caption is drawn for a sample.

    Attributes:
        weights: `uniform` over all sources of the dataset, or a weight per source; sources not named weigh
            nothing.
        within: which caption of the drawn source: `random`, `first`, or `hcs` (highest CLIP score; ties go to
            the first caption, unknown scores come last).
        missing: what to do when a sample has no caption in a source. `renormalise`: share that source's
            weight among the others; `error`: stop; the name of a source: take that one whenever the drawn one
            is empty.
        ramp: other weights that these move to over the run, or None.
    """

    weights: Mapping[str, float] | str = UNIFORM
    within: str = "random"
    missing: str = "renormalise"
    ramp: Ramp | None = None

    def __post_init__(self) -> None:
        """Refuse what no dataset could satisfy.

        Raises:
            SettingError: for a rule or weight that means nothing.
        """
        if self.within not in WITHIN_RULES:
            raise SettingError(
                "within",
                f"{self.within!r} given; expected one of {', '.join(WITHIN_RULES)}"
                + nearest(self.within, WITHIN_RULES),
            )
        if not isinstance(self.weights, str):
            check_weights("weights", self.weights)
        elif self.weights != UNIFORM:
            raise SettingError(
                "weights",
                f"{self.weights!r} given; expected `uniform` or a weight per "
                "source, such as {alttext: 1, vecap: 1}",
            )

    def bind(
        self,
        sources: Sequence[str],
        has_scores: bool,
        setting: str = "data.policy",
        run: RunLength | None = None,
    ) -> BoundPolicy:
        """Resolve names into the dataset's source numbers, and a ramp's times into steps.

        Args:
            sources: dataset.json's `sources`, in order.
            has_scores: whether the dataset stores CLIP scores.
            setting: where the policy stands in the recipe.
            run: how long the run is, for a ramp.

        Raises:
            UserError: for a source the dataset does not have, `hcs` without scores, or a ramp that this run
                cannot follow.
        """
        names = Names("source", "this dataset", tuple(sources))
        weights = (1.0,) * len(sources)
        if not isinstance(self.weights, str):
            weights = names.weights(f"{setting}.weights", self.weights)
        moving = bind_ramp(weights, self.ramp, names, run, f"{setting}.ramp")
        fallback = None
        if self.missing not in MISSING_RULES:
            names.check(f"{setting}.missing ({self.missing})", self.missing, MISSING_RULES)
            fallback = names.known.index(self.missing)
        if self.within == "hcs" and not has_scores:
            raise UserError(
                f"{setting}.within: hcs needs CLIP scores and this dataset has none; make them with "
                "python -m engine.score and shard again with --captions LEDGER, or use within: random"
            )
        return BoundPolicy(
            names.known, weights, self.within, self.missing == "error", fallback, setting, moving
        )


@dataclass(frozen=True)
class BoundPolicy:
    """A policy with names resolved to source numbers (see `CaptionPolicy.bind`).

    `weights` are those of the step that `at` was asked for; `moving` are those of every step.
    """

    sources: tuple[str, ...]
    weights: tuple[float, ...]
    within: str
    strict: bool
    fallback: int | None
    setting: str
    moving: Weights

    def at(self, step: int) -> BoundPolicy:
        """Return the policy as it is at a step of the run."""
        weights = self.moving.at(step)
        return self if weights == self.weights else replace(self, weights=weights)


def choose(
    policy: BoundPolicy,
    counts: NDArray[np.uint16],
    scores: NDArray[np.float32] | None,
    words: NDArray[np.uint32],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw one caption for each sample of a batch; a pure function of its arguments.

    Args:
        policy: from `CaptionPolicy.bind`.
        counts: uint16 [N, sources], captions each sample has in each source.
        scores: float32 [N, most captions], CLIP scores in the order sources, then captions; NaN where unknown
            or past the sample's last caption. Only `hcs` looks at it.
        words: uint32 [N, 4], the caption draws of docs/architecture.md: word 0 the source, word 1 the
            caption.

    Returns:
        Source int64 [N] and caption within that source int64 [N].

    Raises:
        MissingCaptionError: when the missing-source rule leaves a sample without a caption.
    """
    source = _draw_source(policy, counts, words[:, 0])
    available = np.take_along_axis(counts.astype(np.int64), source[:, None], axis=1)[:, 0]
    if policy.within == "random":
        return source, (words[:, 1].astype(np.int64) * available) >> 32
    if policy.within == "first" or scores is None:
        return source, np.zeros_like(source)
    return source, _highest_score(counts, scores, source, available)


def _draw_source(
    policy: BoundPolicy, counts: NDArray[np.uint16], word: NDArray[np.uint32]
) -> NDArray[np.int64]:
    """Invert the cumulative weights at word * 2^-32; with equal weights this is (word * n) >> 32 exactly."""
    present = counts > 0
    weights = np.broadcast_to(np.asarray(policy.weights, np.float64), counts.shape)
    if policy.strict:
        _refuse(policy, (~present & (weights > 0)).any(axis=1), "`missing: error` is set")
    if policy.fallback is None:
        weights = weights * present
        _refuse(policy, weights.sum(axis=1) == 0, "set `missing` to the name of a source that has one")
    cumulative = np.cumsum(weights, axis=1)
    point = word.astype(np.float64) * 2.0**-32 * cumulative[:, -1]
    source: NDArray[np.int64] = (cumulative <= point[:, None]).sum(axis=1)
    if policy.fallback is not None:
        empty = ~np.take_along_axis(present, source[:, None], axis=1)[:, 0]
        _refuse(policy, empty & ~present[:, policy.fallback], "and neither has the fallback source")
        source = np.where(empty, policy.fallback, source)
    return source


def _highest_score(
    counts: NDArray[np.uint16],
    scores: NDArray[np.float32],
    source: NDArray[np.int64],
    available: NDArray[np.int64],
) -> NDArray[np.int64]:
    ends = np.cumsum(counts.astype(np.int64), axis=1)
    start = np.take_along_axis(ends, source[:, None], axis=1)[:, 0] - available
    column = np.arange(scores.shape[1])
    inside = (column >= start[:, None]) & (column < (start + available)[:, None])
    ranked = np.where(inside & ~np.isnan(scores), scores, -np.inf)
    best = ranked.argmax(axis=1) - start
    # With no known score inside, argmax may point outside the source: the first caption then.
    return np.where((best >= 0) & (best < available), best, 0)


def _refuse(policy: BoundPolicy, rows: NDArray[np.bool_], advice: str) -> None:
    if rows.any():
        wanted = ", ".join(n for n, w in zip(policy.sources, policy.weights, strict=True) if w > 0)
        raise MissingCaptionError(
            int(rows.argmax()),
            f"no caption in a source that {policy.setting}.weights asks for ({wanted}); {advice}",
        )
