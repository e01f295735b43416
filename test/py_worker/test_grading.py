"""Verdicts of MATH and IFEval: against labels decided by hand, and against a second implementation where it is installed."""

import importlib.util
import json
import random
import subprocess
import sys
import types
from pathlib import Path

import pytest

from py_worker.grading import ifeval
from py_worker.grading.same_value import is_same

ROOT = Path(__file__).parents[2]
PAIRS = ROOT / "test" / "fixtures" / "grading" / "math-pairs.txt"


def pairs():
    lines = [
        line for line in PAIRS.read_text(encoding="utf-8").splitlines() if line and not line.startswith("# ")
    ]
    return [[part.strip() for part in line.split(";;")] for line in lines]


def test_every_answer_of_math_has_the_verdict_that_was_decided_by_hand():
    assert len(pairs()) >= 300
    wrong = [pair for pair in pairs() if is_same(pair[1], pair[0]) is not (pair[2] == "right")]
    assert wrong == []


def grade(items, seconds):
    done = subprocess.run(
        [sys.executable, "-m", "py_worker.grading"],
        input=json.dumps({"items": items, "seconds": seconds}),
        capture_output=True,
        cwd=ROOT,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def test_an_expression_that_hangs_is_ended_and_the_next_one_is_judged():
    endless = r"\binom{100000000}{50000000}"
    pairs = [("1/2", "0.5"), (endless, "3"), ("(" * 500 + "1" + ")" * 500, "2"), ("3", "4")]
    found = grade([{"kind": "math", "answer": answer, "expected": gold} for answer, gold in pairs], 1)
    assert found == {
        "verdicts": [
            {"isRight": True},
            {"failed": "took longer than 1 s"},
            {"isRight": False},
            {"isRight": False},
        ]
    }


# (rule, arguments, texts that follow it, texts that do not)
CASES = [
    ("punctuation:no_comma", {}, ["No comma.", "。"], ["One, two.", ","]),
    ("length_constraints:number_words", {"relation": "at least", "num_words": 3}, ["one two three", "a-b c"], ["one two", "..."]),
    ("length_constraints:number_words", {"relation": "less than", "num_words": 3}, ["one two"], ["one two three"]),
    (
        "length_constraints:number_sentences",
        {"relation": "at least", "num_sentences": 2},
        ["Dr. Smith left. He was tired.", "Yes! No?"],
        ["Dr. Smith left.", "no end"],
    ),
    (
        "length_constraints:number_paragraphs",
        {"num_paragraphs": 2},
        ["a\n***\nb", "***a***b***", "a *** b"],
        ["a\n\nb", "a***b***c", "a*** ***b"],
    ),
    (
        "length_constraints:nth_paragraph_first_word",
        {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "Weekend"},
        ["a\n\nweekend b", "a\n\n'Weekend, b"],
        ["a\n\nb", "weekend\n\na", "a\nweekend", "a\n\nweekends b", "a\n\n\n\nweekend"],
    ),
    ("keywords:existence", {"keywords": ["cat", "Dog"]}, ["CAT and dogs"], ["cat", ""]),
    ("keywords:frequency", {"keyword": "cat", "frequency": 2, "relation": "at least"}, ["cat concatenate"], ["cat"]),
    ("keywords:frequency", {"keyword": "cat", "frequency": 2, "relation": "less than"}, ["cat"], ["cat cat"]),
    ("keywords:forbidden_words", {"forbidden_words": ["cat", "dog"]}, ["cats and dogs"], ["A CAT.", "dog"]),
    ("keywords:letter_frequency", {"letter": "L", "let_frequency": 2, "let_relation": "at least"}, ["hello", "Ll"], ["help"]),
    ("language:response_language", {"language": "de"}, ["Das ist ein ganz gewöhnlicher deutscher Satz.", "123"], ["This is English text."]),
    ("detectable_content:number_placeholders", {"num_placeholders": 2}, ["[a] [b]", "[] []"], ["[a]", "(a) (b)", "[a\nb] [c]"]),
    ("detectable_content:postscript", {"postscript_marker": "P.S."}, ["x\nP.S. y", "p. s. y"], ["PS y", "x"]),
    ("detectable_content:postscript", {"postscript_marker": "P.P.S"}, ["P.P.S y", "p. p. s"], ["P.S. y"]),
    ("detectable_format:number_bullet_lists", {"num_bullets": 2}, ["* a\n* b", "- a\n  - b", "* a\n- b"], ["* a", "* a\n* b\n* c", "**a**\n**b**"]),
    ("detectable_format:constrained_response", {}, ["My answer is yes.", "Well. My answer is maybe."], ["my answer is yes.", "Yes."]),
    ("detectable_format:number_highlighted_sections", {"num_highlights": 2}, ["*a* *b*", "**a** *b*", "*a* **b**"], ["*a*", "* *", "*a\nb* *c*"]),
    ("detectable_format:multiple_sections", {"section_spliter": "Section", "num_sections": 2}, ["Section 1\na\nSection 2\nb"], ["Section 1\na", "Section a Section b"]),
    ("detectable_format:json_format", {}, ['{"a": 1}', '```json\n[1]\n```', "3"], ["{a: 1}", '{"a": 1} done', "```\n```"]),
    ("detectable_format:title", {}, ["<<A title>>\ntext", "x <<a>> y"], ["<A>", "<< >>", "<<a\nb>>"]),
    ("combination:two_responses", {}, ["a\n******\nb", "******a******b"], ["a", "a******a", "a******b******c", "a****** ******b"]),
    ("combination:repeat_prompt", {"prompt_to_repeat": "Say this."}, ["say this. Yes.", " Say this."], ["I say this."]),
    ("startend:end_checker", {"end_phrase": "The end."}, ["x. the END.", '"x The end."'], ["The end. x", ""]),
    ("startend:quotation", {}, ['"a"', ' "a b" '], ["a", '"a', '"', "“a”"]),
    ("change_case:english_capital", {}, ["THIS IS ENGLISH TEXT THAT WAS WRITTEN LARGE."], ["This is English.", "DAS IST EIN DEUTSCHER SATZ ÜBER DAS WETTER."]),
    ("change_case:english_lowercase", {}, ["this is english text that was written small."], ["This is English text.", "das ist ein deutscher satz über das wetter."]),
    (
        "change_case:capital_word_frequency",
        {"capital_frequency": 2, "capital_relation": "at least"},
        ["NASA and FBI", "I AM", "STATE-OF-THE-ART USA"],
        ["NASA only", "STATE-OF-THE-ART"],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "arguments", "right", "wrong"), CASES)
def test_a_rule_of_ifeval(rule, arguments, right, wrong):
    strict = {text: ifeval.verdicts("", [rule], [arguments], text)["strict"] for text in (*right, *wrong)}
    assert strict == {text: [text in right] for text in (*right, *wrong)}


def test_there_is_a_case_for_each_of_the_25_rules():
    assert {rule for rule, *_ in CASES} == set(ifeval.CHECKS)
    assert len(ifeval.CHECKS) == 25


def test_loosely_the_first_or_last_line_and_asterisks_do_not_count():
    quoted = [("startend:quotation", {})]
    for text in ['Sure:\n"a"', '"a"\nDone.', 'Sure:\n"a"\nDone.', '**"a"**', 'Sure:\n*"a"*']:
        found = ifeval.verdicts("", [quoted[0][0]], [quoted[0][1]], text)
        assert found == {"strict": [False], "loose": [True]}, text
    assert ifeval.verdicts("", ["startend:quotation"], [{}], 'a\nb\n"c') == {
        "strict": [False],
        "loose": [False],
    }
    assert ifeval.verdicts("", ["punctuation:no_comma"], [{}], " \n ") == {
        "strict": [False],
        "loose": [False],
    }
    with pytest.raises(ValueError, match="unknown instruction punctuation:none"):
        ifeval.verdicts("", ["punctuation:none"], [{}], "a")


def official():
    """lm-eval's checks without the rest of it; its sentence tokenizer is ours, since NLTK's data cannot be downloaded here."""
    spec = importlib.util.find_spec("lm_eval")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("lm_eval is not installed: tms setup --with lm_eval")
    import nltk

    folder = Path(spec.submodule_search_locations[0])
    for name, path in (
        ("lm_eval", folder),
        ("lm_eval.tasks", folder / "tasks"),
        ("lm_eval.tasks.ifeval", folder / "tasks/ifeval"),
    ):
        package = types.ModuleType(name)
        package.__path__ = [str(path)]
        sys.modules[name] = package
    frozen = types.ModuleType("immutabledict")
    frozen.__dict__["immutabledict"] = dict
    sys.modules.setdefault("immutabledict", frozen)
    nltk.data.find = lambda *_: None
    from lm_eval.tasks.ifeval import instructions_util, utils

    tokenizer = ifeval.sentence_tokenizer()
    instructions_util._get_sentence_tokenizer = lambda: tokenizer
    words = ifeval.word_tokenizer()
    nltk.word_tokenize = lambda text: [
        word for part in tokenizer.tokenize(text) for word in words.tokenize(part)
    ]
    return utils


def test_verdicts_are_those_of_lm_eval_on_random_texts(monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "lm_eval"]:
        monkeypatch.delitem(sys.modules, name)
    utils = official()
    pick = random.Random(0)
    texts = [text for _, _, right, wrong in CASES for text in (*right, *wrong)]
    for _ in range(100):
        chosen = pick.sample(CASES, 3)
        text = pick.choice(["\n", " ", "\n\n", ". "]).join(pick.sample(texts, pick.randint(1, 6)))
        names, arguments = [case[0] for case in chosen], [case[1] for case in chosen]
        asked = utils.InputExample(0, names, "Say this.", arguments)
        found = ifeval.verdicts("Say this.", names, arguments, text)
        assert (
            found["strict"] == utils.test_instruction_following_strict(asked, text).follow_instruction_list
        ), text
        assert (
            found["loose"] == utils.test_instruction_following_loose(asked, text).follow_instruction_list
        ), text
    for name in [name for name in sys.modules if name.split(".")[0] == "lm_eval"]:
        monkeypatch.delitem(sys.modules, name)
