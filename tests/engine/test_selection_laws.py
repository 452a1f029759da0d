"""Whatever the rules of a selection: every caption is kept or has a code, and none is kept against a rule."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.captions.selection import ALL, SELECTION_CODES, SelectedSource, Selection
from engine.records import Caption, Record, Reject
from engine.sources import Source, SourceOptions, Unit
from engine.sources.assemble import Assembler


class _Given(Source):
    """Records as they are."""

    def __init__(self, records: Sequence[Record]) -> None:
        super().__init__(Assembler(SourceOptions(()), {}, None))
        self.format, self._records = "given", records

    @property
    def caption_sources(self) -> tuple[str, ...]:
        return ("a", "b")

    def units(self) -> list[Unit]:
        return [Unit("u", "u", None)]

    def read(self, unit: Unit) -> Iterator[Record | Reject]:
        yield from self._records


CAPTIONS = st.lists(st.one_of(st.none(), st.integers(-2, 2)), max_size=4)
RULES = st.dictionaries(st.sampled_from([ALL, "a", "b"]), st.integers(-2, 3), max_size=2)
TOPS = st.dictionaries(st.sampled_from([ALL, "a", "b"]), st.integers(1, 4), max_size=2)


def captions_of(scores: Sequence[int | None], source: str) -> tuple[Caption, ...]:
    return tuple(Caption(f"{source}{at}", score) for at, score in enumerate(scores))


@settings(max_examples=300, deadline=None)
@given(CAPTIONS, CAPTIONS, RULES, TOPS, RULES)
def test_whatever_the_rules_everything_is_kept_or_has_a_code(
    a: list[int | None],
    b: list[int | None],
    least: Mapping[str, int],
    top: Mapping[str, int],
    sample: Mapping[str, int],
) -> None:
    record = Record("k", b"", {"a": captions_of(a, "a"), "b": captions_of(b, "b")})
    rules = Selection(min_score=dict(least), keep_top=dict(top), min_sample_score=dict(sample))
    source = SelectedSource(_Given([record]), rules, {})
    (item,) = source.read(source.units()[0])
    everything = [*record.captions["a"], *record.captions["b"]]
    if isinstance(item, Reject):
        assert item.code in (*SELECTION_CODES, "sample_low_score", "sample_no_score", "no_caption")
        assert item.code != "no_caption" or not everything
        return
    kept = [*item.captions["a"], *item.captions["b"]]
    assert len(kept) + len(item.dropped) == len(everything)
    assert {drop.code for drop in item.dropped} <= set(SELECTION_CODES)
    assert [caption for caption in everything if caption in kept] == kept, "in their order"
    for name, own in item.captions.items():
        bound = least.get(name, least.get(ALL))
        assert bound is None or all(c.score is not None and c.score >= bound for c in own)
        assert len(own) <= top.get(name, 99)
    assert len(kept) <= top.get(ALL, 99)
    for name, bound in sample.items():
        own = everything if name == ALL else record.captions[name]
        assert max(c.score for c in own if c.score is not None) >= bound
    if set(top) == {ALL} and not least:  # nothing better was left out
        gone = [-9 if c.score is None else c.score for c in everything if c not in kept]
        assert min(-9 if c.score is None else c.score for c in kept) >= max(gone, default=-9)
