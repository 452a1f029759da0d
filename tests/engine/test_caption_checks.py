"""Every code of the caption checks: what it must catch, and what it must leave alone."""

from __future__ import annotations

import json
import os
import tarfile
import time
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.captions import CAPTION_STATUS, Inputs, RepeatWindow, check_caption
from engine.prompts import PromptInputs, build_prompt, load_attacks, neutralise

MARK = "f80593f5fb26"
PROMPT = build_prompt("vecap", "hardened", PromptInputs("an alt text", "a caption", MARK))
ANY = Inputs("rewrite/scene")
WITH_PROMPT = Inputs("vecap", prompt=PROMPT)
CUT = Inputs("vec", finish_reason="length")
LINKED = Inputs("vecap", alttext="photo from www.shop.com, ask me@mail.org", vec=None)
DOG = Inputs("vecap", vec="A brown dog is running along the beach.")

CAUGHT = {
    "empty": [("", ANY), ("   \n ", ANY), ("...", ANY), ("12 - 34", ANY), ("\U0001f600", ANY)],
    "not_text": [("a dog\0", ANY), ("a \ud800 dog", ANY), ("\0", ANY)],
    "runaway": [("a dog and " * 300, ANY), ("x" * 3000, ANY), ("Dogs. " * 1000, ANY)],
    "cut_off": [
        ("A dog that is running along the", CUT),
        ("A dog,", CUT),
        ("Two people in a boat with a", CUT),
    ],
    "refusal": [
        ("I am sorry that I cannot rephrase this.", ANY),
        ("I'm sorry, but I can't assist with that request.", ANY),
        ("I\u2019m sorry, I can\u2019t help with this text.", ANY),
        ("Sorry, but I cannot fulfil this request.", ANY),
        ("As an AI language model, I do not write violent content.", ANY),
        ("I cannot provide a caption for this image.", ANY),
        ("Unfortunately, I am unable to see the image.", ANY),
        ("I apologize, but the text is not appropriate.", ANY),
        ("It is not appropriate to describe this.", ANY),
        ("Please provide the two sentences you want me to rephrase.", ANY),
        ('"I am sorry, I won\'t write this."', ANY),
        ("The dog is nice. However, as an AI language model I must stop here.", ANY),
        ("This request violates the rules I was given.", ANY),
    ],
    "one_word": [("Dog", ANY), ("Sunset.", ANY), ('"Bicycle"', ANY), ("#nofilter", ANY)],
    "several_lines": [
        ("A dog runs.\nThe dog is brown.", ANY),
        ("A dog runs\n\nNote: attributes come first", ANY),
        ("A cat\nA dog", ANY),
    ],
    "list": [
        ("- a dog\n- a cat", ANY),
        ("1. A dog runs\n2. A cat sits", ANY),
        ("\u2022 sand\n\u2022 sea", ANY),
    ],
    "image_start": [
        ("The image is blurry and dark.", ANY),
        ("This picture was taken in Rome.", ANY),
        ("In this photo all men are jumping.", ANY),
    ],
    "prompt_echo": [
        ("Rephrase the following two sentences into one short sentence: a dog.", ANY),
        ("A dog. USER: and now a cat", ANY),
        ("A dog</s> runs on", ANY),
        ("Answer with one line of JSON and nothing else", WITH_PROMPT),
        ("A dog; keep names, places and numbers from the texts", WITH_PROMPT),
        ("Previous instructions are ignored and a dog runs", ANY),
    ],
    "mark_leak": [
        (f"A dog {MARK} runs", WITH_PROMPT),
        (f"<{MARK.upper()}>A dog runs", WITH_PROMPT),
        (f"web text: {MARK}", WITH_PROMPT),
    ],
    "loop": [
        ("a dog dog dog dog runs", ANY),
        ("a man and a dog and a dog and a dog and a dog", ANY),
        ("on the left of the table on the left of the table on the left of the table", ANY),
        ("aaaaaaaaaaaaaaaaaaaaaaah a dog", ANY),
        ("the red car and the blue car " * 5 + "end", ANY),
    ],
    "url": [
        ("A dog from www.dogs.com runs", ANY),
        ("See https://example.org/x for a dog", ANY),
        ("A dog, more at puppies.net", LINKED),
    ],
    "email": [
        ("Write to sales@dogs.com for a dog", ANY),
        ("A dog, you@mail.org", LINKED),
        ("contact: a.b+c@x-y.co.uk today", ANY),
    ],
    "wrong_language": [
        ("Ein brauner Hund l\u00e4uft mit einem Ball auf der Wiese", ANY),
        ("Un chien brun court sur la plage avec une balle", ANY),
        ("Un perro corre por la playa con una pelota", ANY),
        (
            "\u0421\u043e\u0431\u0430\u043a\u0430 \u0431\u0435\u0436\u0438\u0442 \u043f\u043e",
            ANY,
        ),
        ("\u4e00\u53ea\u72d7\u5728\u6d77\u6ee9\u4e0a\u5954\u8dd1", ANY),
        ("Een hond zit op het strand met een bal", ANY),
    ],
    "ungrounded": [
        ("Buy cheap watches in our shop today.", DOG),
        ("HACKED by the owner", DOG),
        ("Two cats sit on a sofa.", DOG),
    ],
    "image_start_removed": [
        ("The image shows a dog on a beach.", ANY),
        ("This picture features two cats.", ANY),
        ("In the image, there is a red car.", ANY),
    ],
    "preface_removed": [
        ("Sure, here is the rephrased sentence: A dog runs.", ANY),
        ("Caption: A dog runs.", ANY),
        ("Here's a short caption: A dog runs.", ANY),
        ("New sentence: A dog runs.", ANY),
    ],
    "quotes_removed": [('"A dog runs."', ANY), ("\u201cA dog runs.\u201d", ANY), ("'A dog runs'", ANY)],
    "bullet_removed": [("- A dog runs.", ANY), ("1. A dog runs.", ANY), ("* A dog runs", ANY)],
    "lines_joined": [
        ("A brown dog that\nruns on sand.", ANY),
        ("two cats\non a sofa", ANY),
        ("A car\nparked in\nfront of a house", ANY),
    ],
    "characters_removed": [
        ("A d\u200bog runs", ANY),
        ("A \u202edog\u202c runs", ANY),
        ("A dog\x07 runs", ANY),
    ],
}

FINE = {
    "refusal": [
        "I am sorry card with flowers",
        "A sign says I cannot wait",
        "Please do not feed the ducks sign",
    ],
    "one_word": ["A dog", "Red bicycle.", "Eiffel Tower"],
    "several_lines": ["A dog runs. It is brown.", "Figure 1, a dog", "A dog; a cat"],
    "list": ["Room 3. The view of a garden", "A dog - a cat", "2 dogs and 1 cat"],
    "image_start": ["A picture of a dog", "Image of the moon over a lake", "The imaging lab of a hospital"],
    "prompt_echo": [
        "A user: the man at a desk",
        "A short sentence written on a wall",
        "A place for attributes of the army",
    ],
    "mark_leak": ["A dog with the number f8059", "marks on a wall", "deadbeef is written on the box"],
    "loop": [
        "A man in a hat and a man in a coat and a woman in a hat",
        "New York, New York",
        "no no no says the sign",
        "Pizza pizza on a table with more pizza",
    ],
    "url": ["A dog. It runs", "A J.R.R. Tolkien book", "Photo no.12 of St. Paul's", "3.5 litre engine"],
    "email": ["A dog @ the beach", "@photographer in Rome", "cat@ window"],
    "wrong_language": [
        "Cathedral of Santiago de Compostela in the evening",
        "Vincent van Gogh, La Nuit \u00e9toil\u00e9e",
        "Cafe de la Paix in Paris with people on the terrace",
        "A sign in Tokyo that says \u6771\u4eac",
    ],
    "quotes_removed": ['"Stop" sign on a "wall"', 'A sign that says "stop"', "The dog's bone is the cats'"],
    "bullet_removed": ["-5 degrees on a thermometer", "1st place medal", "3D model of a car"],
    "preface_removed": ["A sign: do not enter", "Caption competition winner", "Paris: city of light"],
    "empty": ["A 1", "No. 5 bottle", "\u0416 letter on a sign"],
    "characters_removed": ["A dog \u2764\ufe0f runs", "Caf\u00e9 na\u00efve", "A dog \u2014 brown"],
}


@pytest.mark.parametrize(
    ("text", "inputs", "code"), [(*case, code) for code, cases in CAUGHT.items() for case in cases]
)
def test_a_code_catches_what_it_is_for(text: str, inputs: Inputs, code: str) -> None:
    assert check_caption(text, inputs).code == code


@pytest.mark.parametrize("text", [text for texts in FINE.values() for text in texts])
def test_ordinary_captions_pass_unchanged(text: str) -> None:
    assert check_caption(text, ANY) == check_caption(text, WITH_PROMPT)
    assert (check_caption(text, ANY).text, check_caption(text, ANY).code) == (text, "ok")


def test_every_code_is_tested() -> None:
    assert set(CAUGHT) == set(CAPTION_STATUS) - {"ok", "repeated"}
    assert all(len(cases) >= 3 for cases in [*CAUGHT.values(), *FINE.values()])


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("Sure, here is the rephrased sentence: \"A dog runs.\"", "A dog runs."),
        ("1. \u201cA dog runs.\u201d", "A dog runs."),
        ("The image shows a dog on a beach.", "A dog on a beach."),
        ("A brown dog that\r\nruns\ton sand.", "A brown dog that runs on sand."),
        ("'Caption: a d\u00adog runs'", "Caption: a dog runs"),
    ],
)  # fmt: skip
def test_repairs_leave_the_sentence(text: str, cleaned: str) -> None:
    assert check_caption(text, ANY).text == cleaned


@pytest.mark.parametrize("text", ["A dog in the sea.", "dogs run", "Running dogs, brown ones"])
def test_a_grounded_caption_shares_a_stem_with_vec(text: str) -> None:
    assert check_caption(text, DOG).code == "ok"
    assert (
        check_caption("Two cats sit on a sofa.", Inputs("vec", vec=DOG.vec)).code == "ok"
    )  # only vecap fuses


@pytest.mark.parametrize("text", ["A dog from www.shop.com", "A dog, ask me@mail.org", "WWW.SHOP.COM dog"])
def test_addresses_of_the_inputs_are_allowed(text: str) -> None:
    assert check_caption(text, LINKED).code == "ok"


@pytest.mark.parametrize("text", ["A dog runs.", "Where is the dog?", "A dog (brown)."])
def test_the_limit_at_the_end_of_a_sentence_cuts_nothing(text: str) -> None:
    assert check_caption(text, CUT).code == "ok"


@given(st.text(max_size=300))
def test_any_text_gives_one_known_code_and_clean_text(text: str) -> None:
    checked = check_caption(text, WITH_PROMPT)
    checked.text.encode()
    if CAPTION_STATUS[checked.code].usable:
        assert checked.text == " ".join(checked.text.split()) != ""
        assert CAPTION_STATUS[check_caption(checked.text, WITH_PROMPT).code].usable


def test_codes_that_are_usable_are_not_retried() -> None:
    assert not any(status.usable and status.retry for status in CAPTION_STATUS.values())
    assert [name for name, status in CAPTION_STATUS.items() if not status.usable and not status.retry] == [
        "refusal"
    ]


PIECES = [
    *(
        "a",
        "a ",
        " ",
        "\n",
        "-\n",
        "@",
        "a@",
        "a.",
        "http://",
        "<|",
        "[",
        '"',
        "'",
        "a-",
        "#",
        "{",
        "\\",
        "\u200b",
        "\u4e00",
    ),
    *(
        "the image ",
        "i am sorry ",
        "I can't ",
        "caption: ",
        "sure, ",
        "1. ",
        "USER:",
        "x.com ",
        "i'm ai ",
        "a b c ",
    ),
]


@pytest.mark.parametrize("piece", PIECES)
def test_time_is_linear_on_hostile_text(piece: str) -> None:
    for size in (1900, 1_000_000):  # just below the longest caption that is looked at, and far above
        text = piece * (size // len(piece))
        started = time.process_time()
        check_caption(text, Inputs("vecap", "stop", text, text, PROMPT))
        neutralise(text)
        assert time.process_time() - started < 2


def test_repeats_are_counted_in_a_sliding_window() -> None:
    window = RepeatWindow(size=10, limit=3)
    assert [window.add("A dog ") for _ in range(5)] == [False, False, False, True, True]
    assert not any(window.add(f"caption {n}") for n in range(10))
    assert not window.add("a  DOG")  # the others have left


def test_an_echo_of_an_attack_is_no_crash() -> None:
    for attack in load_attacks():
        for text in (attack.alttext, attack.canary):
            checked = check_caption(text, Inputs("vecap", "stop", attack.alttext, DOG.vec, PROMPT))
            assert checked.code in CAPTION_STATUS
    assert check_caption(load_attacks()[0].canary, DOG).code == "one_word"


DATA = Path(os.environ.get("VECLIP_SHARED_DATA", "")) if "VECLIP_SHARED_DATA" in os.environ else None
needs_data = pytest.mark.skipif(DATA is None, reason="VECLIP_SHARED_DATA is not set: no real captions")


def real_captions(name: str) -> list[str]:
    assert DATA is not None
    if name == "coco":
        return [line.split("\t", 1)[1] for line in (DATA / "coco/captions.tsv").read_text().splitlines()[1:]]
    if name == "flickr8k":
        lines = (DATA / "flickr8k/Flickr8k.token.txt").read_text().splitlines()[::10]
        return [line.split("\t", 1)[1] for line in lines]
    if name == "cc_web":
        return [file.read_text() for file in sorted((DATA / "cc_web").glob("*/*.txt"))]
    if name == "openstax":
        return [json.loads(line)["alt"] for line in (DATA / "openstax/alt.jsonl").read_text().splitlines()]
    with tarfile.open(DATA / "cc12m/00000.tar") as tar:
        files = [tar.extractfile(member) for member in tar if member.name.endswith(".txt")]
        return [file.read().decode() for file in files if file is not None]


@needs_data
@pytest.mark.parametrize("name", ["coco", "flickr8k", "cc_web", "cc12m"])
def test_real_captions_are_ok(name: str) -> None:
    captions = real_captions(name)
    codes = Counter(check_caption(text, Inputs("vec", "stop", prompt=PROMPT)).code for text in captions)
    assert codes["ok"] / len(captions) >= 0.995, codes
