"""A set is embedded in its order, once, the same on any number of ranks."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.errors import UserError
from engine.records import Reject
from engine.sources import Unit
from tests.engine.score_kit import make_open_clip
from tests.loaders.ranks_kit import World, run_world
from tests.train.embed_kit import MeanEncoder, SmallSet, embed_both, fail_on_one_rank, picture
from tests.train.run_kit import COMPOSER, ROOT, run
from train.evaluate.cache import FeatureCache, Rows, default_cache, digest_of
from train.evaluate.embed import EmbedOptions, embed_set, embed_texts
from train.evaluate.sets.base import Item


def means(numbers: list[int]) -> NDArray[np.float32]:
    pixels, status = MeanEncoder().decoded([picture(number) for number in numbers])
    assert not status.any()
    return pixels.mean(axis=(2, 3))


def test_images_labels_and_texts_are_in_the_sets_order(tmp_path: Path) -> None:
    found = embed_set(SmallSet((5, 1, 0, 8)), MeanEncoder(), EmbedOptions(4, None), "a set")
    numbers = list(range(14))
    assert np.array_equal(found.image, means(numbers))
    assert found.keys == [f"k{n}" for n in numbers]
    assert found.labels == [f"c{n % 2}" for n in numbers]
    expected = [(n, f"text {n} {i}") for n in numbers for i in range(n % 3)]
    assert list(zip(found.image_of_text.tolist(), found.texts, strict=True)) == expected
    assert found.source_of_text == ["own"] * len(expected)
    assert found.rejects == []


def test_what_cannot_be_used_is_left_out_and_named() -> None:
    images = SmallSet((5, 6), broken=(3, 7), lost=(4,))
    found = embed_set(images, MeanEncoder(), EmbedOptions(4, None, bad_images=3))
    left = [0, 1, 2, 5, 6, 8, 9, 10]
    assert found.keys == [f"k{n}" for n in left]
    assert np.array_equal(found.image, means(left))
    owners = [left[at] for at in found.image_of_text]
    assert [text.split()[1] for text in found.texts] == [str(n) for n in owners]
    assert [(r.key, r.where, r.stage) for r in found.rejects] == [
        ("k3", "file0", "image"),
        ("k4", "file0", "source"),
        ("k7", "file1", "image"),
    ]
    with pytest.raises(UserError, match=r"^a set: 3 images cannot be used, 2 may .*k3 \(file0\): .*k7"):
        embed_set(images, MeanEncoder(), EmbedOptions(4, None, bad_images=2))
    with pytest.raises(UserError, match="a set: no images"):
        embed_set(SmallSet(()), MeanEncoder(), EmbedOptions())


def test_a_set_full_of_broken_images_is_given_up_early() -> None:
    encoder = MeanEncoder()
    with pytest.raises(UserError, match=r"images? cannot be used, 1 may"):
        embed_set(SmallSet((300,), broken=range(300)), encoder, EmbedOptions(10, None, bad_images=1))
    assert sum(encoder.decodes) < 100


def test_a_second_run_computes_nothing_and_an_interrupted_one_goes_on(tmp_path: Path) -> None:
    images, options = SmallSet((5, 33), broken=(2,)), EmbedOptions(4, tmp_path, bad_images=1)
    stopped = MeanEncoder()
    stopped.fail_after = 20
    with pytest.raises(UserError, match="stopped"):
        embed_set(images, stopped, options)
    kept = len(list(tmp_path.rglob("*.features")))
    assert 3 <= kept <= 5
    rest = MeanEncoder()
    whole = embed_set(images, rest, options)
    assert sum(rest.decodes) == 38 - 4 * kept
    again = MeanEncoder()
    known = embed_set(images, again, options)
    assert again.decodes == []
    assert np.array_equal(known.image, whole.image)
    assert known.rejects == whole.rejects != []
    other = MeanEncoder("another model")
    embed_set(images, other, options)
    assert sum(other.decodes) == 38


def test_only_what_changed_is_computed_again(tmp_path: Path) -> None:
    options = EmbedOptions(4, tmp_path)
    before = embed_set(SmallSet((12,)), MeanEncoder(), options)

    class Changed(SmallSet):
        def read(self, unit):  # type: ignore[no-untyped-def]
            for item in super().read(unit):
                yield item if item.key != "k5" else type(item)(item.key, picture(99))

    encoder = MeanEncoder()
    after = embed_set(Changed((12,)), encoder, options)
    assert sum(encoder.decodes) == 4
    assert [at for at in range(12) if not np.array_equal(after.image[at], before.image[at])] == [5]


def test_damaged_and_foreign_files_are_computed_again(tmp_path: Path) -> None:
    options = EmbedOptions(4, tmp_path)
    before = embed_set(SmallSet((16,)), MeanEncoder(), options)
    one, two, three, four = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    data = bytearray(one.read_bytes())
    data[-3] ^= 1
    one.write_bytes(data)
    two.write_bytes(two.read_bytes()[:30])
    three.write_bytes(four.read_bytes())  # sound, but another batch's
    encoder = MeanEncoder()
    after = embed_set(SmallSet((16,)), encoder, options)
    assert sum(encoder.decodes) == 12
    assert np.array_equal(after.image, before.image)


def test_texts_are_computed_once_and_kept(tmp_path: Path) -> None:
    encoder, options = MeanEncoder(), EmbedOptions(1, tmp_path)
    texts = ["a dog", "two cats here", "a dog", "", "a dog", "sea", "two cats here", "\udc80"]
    found = embed_texts(texts, encoder, options)
    assert sorted(encoder.seen_texts) == sorted(set(texts))
    assert np.array_equal(found, MeanEncoder().texts(texts))
    again = MeanEncoder()
    assert np.array_equal(embed_texts(texts, again, options), found)
    assert again.seen_texts == []
    with pytest.raises(UserError, match="no texts"):
        embed_texts([], encoder, options)


def test_the_cache_keeps_to_its_limit_and_drops_what_was_not_used(tmp_path: Path) -> None:
    """What else lies in a folder that a user named is left alone."""
    cache, folder = FeatureCache(tmp_path, "model"), tmp_path / "veclip-features" / "model"
    own = [tmp_path / "data" / "images.tar", tmp_path / "veclip-features" / "model" / "notes"]
    for path in own:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(10_000))
        os.utime(path, (0, 0))
    rows = Rows(np.ones((2, 50), np.float32), np.zeros(2, np.uint8))
    digests = [digest_of("images", [bytes([n])]) for n in range(6)]
    for at, digest in enumerate(digests):
        cache.keep(digest, rows)
        os.utime(folder / f"{digest}.features", (at, at))
    assert cache.find(digests[0], 2) is not None  # used just now
    assert cache.find(digests[1], 3) is None  # of another number of rows
    size = (folder / f"{digests[0]}.features").stat().st_size
    cache.trim(3 * size)
    assert {path.stem for path in folder.glob("*.features")} == {digests[0], *digests[4:]}
    assert all(path.exists() for path in own)


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"features cannot be kept .* give another --cache, or none"):
        embed_set(SmallSet((3,)), MeanEncoder(), EmbedOptions(4, tmp_path / "file"))


def test_where_the_default_cache_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert default_cache() == Path("/somewhere/veclip-engine")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_cache() == Path.home() / ".cache" / "veclip-engine"


def test_two_ranks_see_what_one_sees_bit_for_bit(tmp_path: Path) -> None:
    model = str(make_open_clip(tmp_path / "model"))
    whole, texts = embed_both(model, None)
    assert len(whole.keys) == 19
    for cache in (None, tmp_path / "cache", tmp_path / "cache"):
        for found, found_texts in run_world(World(2), embed_both, model, cache):
            assert np.array_equal(found.image, whole.image)
            assert np.array_equal(found_texts, texts)
            assert (found.keys, found.texts, found.rejects) == (whole.keys, whole.texts, whole.rejects)
            assert np.array_equal(found.image_of_text, whole.image_of_text)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_rank_that_fails_ends_the_other(rank: int) -> None:
    seen = run_world(World(2), fail_on_one_rank, rank)
    assert seen == [f"UserError: rank {rank}: RuntimeError: stopped"] * 2


@pytest.mark.slow
def test_under_composer(tmp_path: Path) -> None:
    model = make_open_clip(tmp_path / "model")
    whole, texts = embed_both(str(model), None)
    run([*COMPOSER, "-m", "tests.train.embed_kit", str(model), str(tmp_path / "seen")])
    assert (ROOT / "tests").is_dir()
    for rank in range(2):
        seen = np.load(tmp_path / f"seen-{rank}.npz")
        assert np.array_equal(seen["image"], whole.image)
        assert np.array_equal(seen["texts"], texts)


@pytest.mark.parametrize("changes", [{"batch_size": 0}, {"batch_size": -1}, {"bad_images": -1}])
def test_numbers_that_cannot_be(changes: dict[str, int]) -> None:
    with pytest.raises(UserError, match=r"--batch-size .*--bad-images .*expected at least 1 and 0"):
        EmbedOptions(**changes)


def test_keys_that_repeat_get_the_name_of_their_unit() -> None:
    class Twice(SmallSet):
        def read(self, unit: Unit) -> Iterator[Item | Reject]:
            for item in super().read(unit):
                assert isinstance(item, Item)
                yield dataclasses.replace(item, key=f"k{int(item.key[1:]) % 3}")

    found = embed_set(Twice((3, 2)), MeanEncoder(), EmbedOptions())
    assert found.keys == ["k0", "k1", "k2", "k0 (u1)", "k1 (u1)"]
