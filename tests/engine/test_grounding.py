"""The grounding report: what a caption keeps of its inputs, and what it adds."""

from __future__ import annotations

import pytest

from engine.captions import Variety, ground
from engine.captions.grounding import grounding_sums
from engine.captions.nouns import find_nouns
from engine.captions.words import stem

# Original sentences with the nouns and names that a person marks in them.
LABELLED = {
    "A brown dog jumps over a wooden fence near the river": "dog fence river",
    "two women in red dresses dancing on a stage": "woman dress stage",
    "Maria Santos at the opening of the new library in Lisbon": "maria santos library lisbon opening",
    "an old man with a grey beard reads the newspaper": "man beard newspaper",
    "the building behind the church is covered with scaffolding": "building church",
    "Freshly baked bread, cheese and olives on a wooden board": "bread cheese olive board",
    "children are playing football on the sandy beach at sunset": "children football beach sunset",
    "a carelessly painted yellow bicycle leans against the wall": "bicycle wall",
    "blue ceramic vase with dried flowers, handmade in Portugal": "vase flower portugal",
    "A surfer rides a big wave while people are watching": "surfer wave people",
    "several boats are tied to the pier in the early morning": "boat pier morning",
    "The cat's bowl is empty": "cat bowl",
}


def test_nouns_are_found_as_a_person_marks_them() -> None:
    right = found = marked = 0
    for text, nouns in LABELLED.items():
        wanted = {stem(noun) for noun in nouns.split()}
        guessed = find_nouns(text)
        right, found, marked = right + len(guessed & wanted), found + len(guessed), marked + len(wanted)
    assert right / found >= 0.9
    assert right / marked >= 0.9


FORMS = ["boats boat", "boat's boat", "cities city", "dresses dress", "running run", "boxes box"]


@pytest.mark.parametrize("forms", FORMS)
def test_forms_of_a_word_have_one_stem(forms: str) -> None:
    assert len({stem(form) for form in forms.split()}) == 1


@pytest.mark.parametrize("word", ["glass", "bus", "this", "ring", "red", "tennis"])
def test_short_and_latin_words_keep_their_ends(word: str) -> None:
    assert stem(word) == word


def test_one_caption_against_its_inputs() -> None:
    one = ground("A red boat and a dragon in Porto", "boat trip Porto", "A red boat floats on a river.")
    assert (one.kept_alttext, one.all_alttext) == (2, 3)
    assert (one.kept_vec, one.all_vec) == (1, 2)
    assert one.new == ("dragon",)
    assert one.words == 8


def test_any_word_of_the_inputs_excuses_a_noun() -> None:
    assert ground("The painting of a boat", "painted boat", None).new == ()
    assert ground("The painting of a boat", "boat", None).new == ("paint",)
    assert ground("The running of a race", "a man runs in a race", None).new == ()


def test_sums_of_one_caption() -> None:
    sums = grounding_sums("a boat and a dragon on a river", "red boat", "A river.")
    assert sums == {
        "captions": 1, "words": 8, "alttext_words": 2, "vec_words": 2, "nouns": 3, "new_nouns": 1,
        "captions_with_new_nouns": 1, "alttext_nouns": 1, "alttext_nouns_kept": 1, "vec_nouns": 1,
        "vec_nouns_kept": 1,
    }  # fmt: skip


def test_distinct_ngrams_before_and_after() -> None:
    variety = Variety()
    variety.add(("boat", "river", "a boat on a river"))
    variety.add(("Boat", "", "a boat on a river"))
    sums = variety.sums()
    assert (sums["alttext_1grams"], sums["alttext_1grams_distinct"]) == (2, 1)
    assert (sums["vec_1grams"], sums["vec_1grams_distinct"]) == (1, 1)
    assert (sums["caption_1grams"], sums["caption_1grams_distinct"]) == (10, 4)
    assert (sums["caption_2grams"], sums["caption_2grams_distinct"]) == (8, 4)
    assert (sums["caption_3grams"], sums["caption_3grams_distinct"]) == (6, 3)
    assert (sums["alttext_2grams"], sums["alttext_2grams_distinct"]) == (0, 0)
