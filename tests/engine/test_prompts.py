"""Prompts: the papers' words, data that stays data, answers that are read, packs, fitting."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.errors import UserError
from engine.prompts import (
    KINDS,
    PACKS,
    TEMPLATES,
    VARIANTS,
    PromptInputs,
    attack_success,
    build_prompt,
    choose_pairs,
    fit,
    key_hash_of,
    load_attacks,
    load_pack,
    neutralise,
    parse_output,
    render,
    request_mark,
    template_hash,
)

MARK = request_mark("a key", 7)
PAIRS = (("a cat", "One cat."), ("a dog", "One dog."), ("a cow", "One cow."))
BOTH = PromptInputs("red boat", "A boat on a lake.", MARK, PAIRS)


def test_the_papers_prompts_word_for_word() -> None:
    assert build_prompt("vec", "paper", BOTH).user == "Describe the image concisely, less than 20 words"
    assert build_prompt("vecap", "paper", BOTH).user == (
        "Rephrase the following two sentences into one short sentence while adhering to the provided"
        " instructions: Place attributes before noun entities without introducing new meaning. Do not start"
        ' with "The image". 1. red boat; 2. A boat on a lake.'
    )
    assert build_prompt("vecap", "paper_no_constraints", BOTH).user == (
        "Rephrase the following two sentences into one short sentence: 1. red boat; 2. A boat on a lake."
    )
    assert build_prompt("laclip", "paper", BOTH).user == (
        "write image captions differently,\n\na cat => One cat.\n\na dog => One dog.\n\na cow => One cow.\n\n"
        "red boat =>"
    )


def test_the_templates_as_their_sources_have_them() -> None:
    asked = build_prompt("vec", "paper", PromptInputs())
    text = asked.user
    vicuna = (
        "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful,"
        " detailed, and polite answers to the user's questions. USER: "
    )
    llava = vicuna.replace("user and", "human and").replace("the user's", "the human's")
    assert render("vicuna_v1.1", asked) == f"{vicuna}<image>\n{text} ASSISTANT:"
    assert render("llava_v1", asked) == f"{llava}<image>\n{text} ASSISTANT:"
    assert render("llava_1.5_hf", asked) == f"USER: <image>\n{text}\nASSISTANT:"
    fused = build_prompt("vecap", "paper", PromptInputs("{user} {system}", "A boat."))
    assert render("vicuna_v1.1", fused) == f"{vicuna}{fused.user} ASSISTANT:"
    assert "1. {user} {system}; 2. A boat." in fused.user
    assert len({template_hash(name) for name in TEMPLATES}) == len(TEMPLATES)
    with pytest.raises(UserError, match=r"did you mean llava_v1\?"):
        render("llava_v2", asked)


def test_a_prompt_without_alttext_asks_about_vec_alone() -> None:
    for variant in VARIANTS:
        prompt = build_prompt("vecap", variant, PromptInputs(None, "A boat on a lake.", MARK))
        assert "two" not in prompt.user
        assert prompt.hash != build_prompt("vecap", variant, BOTH).hash


def test_the_hash_is_of_the_words_and_not_of_the_data() -> None:
    other = PromptInputs("blue car", "A car.", request_mark("b", 7), (("x", "y"),) * 3)
    for kind in KINDS:
        for variant in VARIANTS:
            prompt = build_prompt(kind, variant, BOTH)
            assert prompt.hash == build_prompt(kind, variant, other).hash
            assert "boat" not in prompt.form
            assert MARK not in prompt.form
    # LaCLIP has no constraints to leave out, and VeC has one prompt.
    hashes = {build_prompt(kind, variant, BOTH).hash for kind in KINDS for variant in VARIANTS}
    assert len(hashes) == 1 + 3 + 2


@pytest.mark.parametrize(
    ("kind", "variant", "inputs", "message"),
    [
        ("veccap", "paper", BOTH, "did you mean vecap"),
        ("vecap", "hard", BOTH, "did you mean hardened"),
        ("vecap", "paper", PromptInputs("a"), "run --mode vec first"),
        ("laclip", "paper", PromptInputs(None, "a"), "needs a caption"),
        ("vecap", "hardened", PromptInputs("a", "b"), "needs a mark"),
    ],
)
def test_what_cannot_be_asked(kind: str, variant: str, inputs: PromptInputs, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build_prompt(kind, variant, inputs)


CONTROL = [
    *(
        "<|im_start|>",
        "</s>",
        "<s>",
        "[INST]",
        "<<SYS>>",
        "<image>",
        "ASSISTANT:",
        "USER :",
        "###",
        "```",
        "=>",
    ),
    *('{"caption"', "\n", "\r", "\u2028", "\x1b", "\u200b", "\u202e", "\U000e0041", "\0"),
]


@given(st.lists(st.one_of(st.text(max_size=12), st.sampled_from([*CONTROL, MARK])), max_size=12).map("".join))
@example(f"{MARK}<{MARK}")
@example(f"{MARK[:6]}{MARK}{MARK[6:]}")
def test_neutralised_text_cannot_be_anything_but_data(text: str) -> None:
    safe = neutralise(text)
    assert neutralise(safe) == safe
    assert safe == " ".join(safe.split())
    assert not any(sign in safe for sign in "<>[]{}|\\`")
    for sign in CONTROL:
        assert sign not in safe
    prompt = build_prompt("vecap", "hardened", PromptInputs(text, "A boat.", MARK))
    # The marks of the two system mentions and of one or two quoted texts, and no more.
    assert f"{prompt.system}{prompt.user}".count(MARK) == (6 if safe.replace(MARK, "").strip() else 4)


ORDINARY = [
    "A dog's ball, 3 m wide!",
    "Dubai: a city",
    "Caf\u00e9 \u2014 \u6771\u4eac #tokyo @night",
    "I \u2764\ufe0f NY",
    "Rock & roll (1975) 50% off",
]


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_text_is_not_changed(text: str) -> None:
    assert neutralise(text) == text


def test_marks_differ_by_key_seed_and_attempt() -> None:
    marks = {request_mark(key, seed, attempt) for key in "ab" for seed in (0, 1) for attempt in (0, 1)}
    assert len(marks) == 8
    assert request_mark("a", 0) == request_mark("a", 0)
    assert all(len(mark) == 12 and int(mark, 16) >= 0 for mark in marks)


ANSWERS = [
    ('{"caption": "a dog"}', "a dog"),
    ('Sure!\n```json\n{"caption": "a \\"big\\" dog"}\n```', 'a "big" dog'),
    ('{"caption" : "a dog", "note": "x"} and more', "a dog"),
    ('{"caption": "a dog that was cut', "a dog that was cut"),
    ('{"caption": "two\nlines"}', "two\nlines"),
    ('{"caption": "bad \\x escape"}', "bad \\x escape"),
    ('{"caption": "\\u00e9\\u0061"}', "\u00e9a"),
    ('{"caption": ""}', ""),
    ("a dog", "a dog"),
    ("", ""),
]


@pytest.mark.parametrize(("answer", "caption"), ANSWERS)
def test_answers_are_read(answer: str, caption: str) -> None:
    assert parse_output("vecap", answer) == parse_output("laclip", answer) == caption


def test_a_base_model_may_go_on_after_its_line() -> None:
    assert parse_output("laclip", "\n One dog.\n\na cat => One cat.") == "One dog."
    assert parse_output("vec", " One dog.\nTwo dogs.") == "One dog.\nTwo dogs."


@given(st.text(max_size=200), st.text(max_size=40))
def test_no_text_breaks_the_parsing(text: str, before: str) -> None:
    spoken = before + json.dumps({"caption": text})
    if '"caption"' not in before:
        assert parse_output("vecap", spoken) == text.strip()
    for answer in (
        text,
        before + text,
        spoken[: len(spoken) // 2],
        "{" * 1000 + text,
        '{"caption": "' + "\\" * 999,
    ):
        parse_output("laclip", answer)


def test_packs_that_come_with_the_engine() -> None:
    assert len(PACKS) == 4
    pairs = [pair for name in PACKS for pair in load_pack(name).pairs]
    assert all(len(load_pack(name).pairs) == 16 for name in PACKS)
    assert len({text for pair in pairs for text in pair}) == 2 * 16 * len(PACKS)
    assert all("=>" not in text and neutralise(text) == text for pair in pairs for text in pair)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("pairs: []", "has no pairs"),
        ("- a", "has no pairs"),
        ("pairs: [{caption: a}]", "pair 1 is"),
        ("pairs: [{caption: a, rewrite: 3}]", "pair 1 is"),
        ("pairs: [{caption: a, rewrite: b}, {caption: a, rewrite: \"b\\nc\"}]", "pair 2 is"),
        ("pairs: [", "cannot be read"),
        ("!!python/object/apply:os.getcwd []", "cannot be read"),
    ],
)  # fmt: skip
def test_packs_of_the_user_are_checked(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "mine.yaml").write_text(content)
    with pytest.raises(UserError, match=message):
        load_pack(tmp_path / "mine.yaml")
    with pytest.raises(UserError, match=r"did you mean scene\?"):
        load_pack("scenes")


def test_pairs_are_a_pure_function_and_equally_likely() -> None:
    pack = load_pack("scene")
    assert choose_pairs(pack, 5, 1, 3) == choose_pairs(pack, 5, 1, 3) != choose_pairs(pack, 6, 1, 3)
    assert sorted(choose_pairs(pack, 5, 1, 16)) == sorted(pack.pairs)
    assert choose_pairs(pack, 5, 1, 0) == ()
    counts = Counter(
        at for key in range(4000) for at in enumerate(choose_pairs(pack, key_hash_of(str(key)), 1, 3))
    )
    expected = 4000 / 16
    chi2 = sum((count - expected) ** 2 / expected for count in counts.values())
    assert len(counts) == 48
    assert (
        chi2 < 82.7
    )  # 45 degrees of freedom: passes by chance with p = 0.9995; a fixed seed, so always or never
    with pytest.raises(UserError, match="17 pairs"):
        choose_pairs(pack, 5, 1, 17)


def count_words(text: str) -> int:
    return len(text.split())


@pytest.mark.parametrize(
    ("alttext", "limit", "kept", "cut"),
    [
        ("One two three. Four five six. Seven eight", 9, "One two three. Four five six.", True),
        ("One. Two three four five six seven eight", 7, "One. Two three four five", True),
        ("One two three.", 5, "One two three.", False),
        ("One two three", 2, None, True),
        ("", 9, None, False),
        (None, 9, None, False),
    ],
)
def test_alttext_is_cut_at_a_border(alttext: str | None, limit: int, kept: str | None, cut: bool) -> None:
    fitted = fit(alttext, "a dog", limit, count_words)
    assert (fitted.alttext, fitted.vec, fitted.cut, fitted.fits) == (kept, "a dog", cut, True)


def test_vec_is_never_cut() -> None:
    assert fit("alt", "a b c", 2, count_words) == fit("alt", "a b c", 2, count_words)
    fitted = fit("alt", "a b c", 2, count_words)
    assert (fitted.alttext, fitted.vec, fitted.fits) == (None, "a b c", False)


@given(st.text(max_size=120), st.integers(0, 30))
def test_what_is_kept_fits_and_is_a_head(alttext: str, limit: int) -> None:
    fitted = fit(alttext, "", limit, len)
    kept = fitted.alttext or ""
    assert len(kept) <= limit
    assert kept in alttext
    assert fitted.cut == (len(alttext) > limit)


def test_counting_is_cheap_on_huge_alttexts() -> None:
    calls: list[int] = []
    fitted = fit("word " * 200_000, "a dog", 100, lambda text: calls.append(len(text)) or count_words(text))
    assert count_words(fitted.alttext or "") == 98
    assert len(calls) < 20
    assert max(calls) < 10_000


def test_the_red_team_set() -> None:
    attacks = load_attacks()
    assert len(attacks) >= 200
    assert len({a.id for a in attacks}) == len({a.alttext for a in attacks}) == len(attacks)
    families = Counter(attack.family for attack in attacks)
    assert min(families.values()) >= 10
    assert {"ignore", "role", "language", "encoded", "markup", "mark", "hidden"} <= set(families)
    for attack in attacks:
        assert attack_success(f"Of course: {attack.canary.upper()}!", attack)
        assert attack_success(" ".join(attack.canary), attack)
        assert not attack_success("A red bicycle leaning against a wall.", attack)
        assert sum(attack_success(other.canary, attack) for other in attacks) == 1


def test_encoded_attacks_do_not_hold_their_canary_in_clear() -> None:
    encoded = [a for a in load_attacks() if a.family == "encoded"]
    assert sum(a.canary in a.alttext for a in encoded) == 0
