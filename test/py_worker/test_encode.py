from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import BOS, CHATML, LLAMA2, PLAIN, START, bpe_tokenizer, char_tokenizer
from tokenizers import processors
from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from py_worker.encode import Encoded, decode, encode
from py_worker.errors import WorkerError
from py_worker.literals import Literals

EOS = 4
SMOLLM2 = Path("/tmp/smollm2")


def user(content: str) -> dict[str, str]:
    return {"role": "user", "content": content}


def assistant(content: str) -> dict[str, str]:
    return {"role": "assistant", "content": content}


def chars(text: str) -> list[int]:
    """Ids of the character tokenizer: specials 0 to 4, newline 5, then ASCII from the space on."""
    return [5 if letter == "\n" else ord(letter) - 32 + 6 for letter in text]


def parts(encoded: Encoded, index: int = 0) -> tuple[list[int], list[int]]:
    """Return the prompt's and the completion's ids of one example."""
    start, end = encoded.offsets[index : index + 2]
    ids = encoded.ids[start:end].tolist()
    return ids[: encoded.prompt_lengths[index]], ids[encoded.prompt_lengths[index] :]


def codes(encoded: Encoded) -> dict[str, tuple[int, int]]:
    return {warning["code"]: (warning["count"], warning["first_index"]) for warning in encoded.warnings}


def refused(tokenizer: PreTrainedTokenizerBase, examples: list[Any], **options: Any) -> WorkerError:
    with pytest.raises(WorkerError) as caught:
        encode(tokenizer, examples, **options)
    assert caught.value.code == "BAD_PARAMS"
    return caught.value


def test_text_gets_the_boundary_after_the_prompt_and_an_eos() -> None:
    encoded = encode(char_tokenizer(), [("ab", "c"), ("x", "yz")])
    assert parts(encoded, 0) == (chars("ab"), [*chars("c"), EOS])
    assert parts(encoded, 1) == (chars("x"), [*chars("yz"), EOS])
    assert encoded.offsets.tolist() == [0, 4, 8]
    assert encoded.warnings == []
    assert {array.dtype for array in (encoded.ids, encoded.offsets, encoded.prompt_lengths)} == {
        np.dtype(np.int32)
    }


def test_a_completion_that_has_its_eos_gets_no_second_one() -> None:
    assert parts(encode(char_tokenizer(), [("a", "b<|im_end|>")])) == (chars("a"), [*chars("b"), EOS])


def test_without_an_eos_token_nothing_is_appended_and_that_is_said() -> None:
    encoded = encode(char_tokenizer(eos=None), [("a", "b")])
    assert parts(encoded) == (chars("a"), chars("b"))
    assert codes(encoded) == {"missing_eos": (1, 0)}


def test_a_prompt_alone_is_all_prompt() -> None:
    encoded = encode(char_tokenizer(), [("abc", None), ([user("q")], None)])
    assert parts(encoded, 0) == (chars("abc"), [])
    begin = [3, *chars("user\nq"), 4, *chars("\n"), 3, *chars("assistant\n")]
    assert parts(encoded, 1) == (begin, [])


def test_the_tokenizer_puts_its_bos_before_text_once() -> None:
    encoded = encode(char_tokenizer(adds_bos=True), [("a", "b"), (f"{BOS}a", "b")])
    assert parts(encoded, 0) == parts(encoded, 1) == ([2, *chars("a")], [*chars("b"), EOS])
    assert codes(encoded) == {"double_bos": (1, 1)}


def test_an_eos_that_the_tokenizer_puts_behind_text_does_not_end_the_prompt() -> None:
    tokenizer = char_tokenizer()
    template = processors.TemplateProcessing(single="$A <|im_end|>", special_tokens=[("<|im_end|>", EOS)])
    tokenizer.backend_tokenizer.post_processor = template
    assert parts(encode(tokenizer, [("ab", "c")])) == (chars("ab"), [*chars("c"), EOS])


def test_an_empty_text_is_a_prompt_where_a_bos_begins_it() -> None:
    assert parts(encode(char_tokenizer(adds_bos=True), [("", "b")])) == ([2], [*chars("b"), EOS])


def test_tokens_across_the_boundary_split_at_the_boundary_and_are_counted() -> None:
    tokenizer = bpe_tokenizer(["abab ab"] * 20)
    whole = tokenizer("abab")["input_ids"]
    assert len(whole) == 1
    encoded = encode(tokenizer, [("x", "y"), ("aba", "b")])
    assert parts(encoded, 1) == (tokenizer("aba")["input_ids"], [*tokenizer("b")["input_ids"], EOS])
    assert codes(encoded) == {"boundary_merge": (1, 1)}


def test_a_completion_keeps_the_tokens_that_it_has_behind_its_prompt() -> None:
    tokenizer = bpe_tokenizer(["word next"] * 20)
    encoded = encode(tokenizer, [("word", " next")])
    prompt, completion = parts(encoded)
    assert prompt + completion == [*tokenizer("word next")["input_ids"], EOS]
    assert encoded.warnings == []


def test_chatml_ends_at_its_end_of_turn_without_the_newline_behind() -> None:
    encoded = encode(char_tokenizer(), [([user("q")], [assistant("answer")]), ([user("q")], "answer")])
    begin = [3, *chars("user\nq"), 4, *chars("\n"), 3, *chars("assistant\n")]
    assert parts(encoded, 0) == parts(encoded, 1) == (begin, [*chars("answer"), EOS])
    assert encoded.warnings == []


def test_an_answer_of_several_turns_is_one_completion() -> None:
    turns = [assistant("a"), user("b"), assistant("c")]
    _, completion = parts(encode(char_tokenizer(), [([user("q")], turns)]))
    middle = [
        *chars("a"),
        4,
        *chars("\n"),
        3,
        *chars("user\nb"),
        4,
        *chars("\n"),
        3,
        *chars("assistant\nc"),
        4,
    ]
    assert completion == middle


def test_a_prompt_that_ends_in_the_assistants_words_is_gone_on_with() -> None:
    encoded = encode(char_tokenizer(), [([user("q"), assistant("He")], [assistant("llo")])])
    prompt, completion = parts(encoded)
    assert prompt[-2:] == chars("He")
    assert completion == [*chars("llo"), EOS]


def test_a_template_that_writes_bos_itself_gives_one_bos() -> None:
    tokenizer = char_tokenizer(chat_template=LLAMA2, adds_bos=True)
    encoded = encode(tokenizer, [([user("q")], [assistant("a")])])
    assert parts(encoded) == ([2, *chars("[INST] q [/INST]")], [*chars(" a "), EOS])
    assert encoded.warnings == []


def test_a_template_that_writes_bos_twice_is_mended_and_counted() -> None:
    tokenizer = char_tokenizer(chat_template="{{ bos_token }}" + LLAMA2, adds_bos=True)
    encoded = encode(tokenizer, [([user("q")], [assistant("a")])])
    assert parts(encoded) == ([2, *chars("[INST] q [/INST]")], [*chars(" a "), EOS])
    assert codes(encoded) == {"double_bos": (1, 0)}


def test_a_template_that_changes_the_answer_is_counted() -> None:
    shouting = CHATML.replace("message.content", "message.content | upper")
    encoded = encode(char_tokenizer(chat_template=shouting), [([user("q")], [assistant("a")])])
    assert parts(encoded)[1] == [*chars("A"), EOS]
    assert codes(encoded) == {"template_rewrites_completion": (1, 0)}


def test_a_template_without_an_end_of_turn_gets_an_eos_and_that_is_said() -> None:
    encoded = encode(char_tokenizer(chat_template=PLAIN), [([user("q")], [assistant("a")])])
    assert parts(encoded) == (chars("user: q\nassistant: "), [*chars("a\n"), EOS])
    assert codes(encoded) == {"missing_eos": (1, 0)}


def test_the_ids_that_end_an_answer_under_the_template_are_named_whatever_the_tokenizer_calls_its_end() -> (
    None
):
    tokenizer = char_tokenizer(eos="<|pad|>")
    encoded = encode(tokenizer, [([user("q")], [assistant("a")]), ([user("q")], None)])
    assert parts(encoded)[1] == [*chars("a"), 4]
    assert (encoded.stop_ids, encoded.warnings) == ([4], [])
    assert encode(tokenizer, [([user("q")], None)]).stop_ids == [4]
    assert encode(tokenizer, [("q", "a")]).stop_ids == []


def test_an_end_of_turn_is_the_token_behind_an_answer_even_where_it_pads_or_is_not_called_special() -> None:
    tokenizer = char_tokenizer(chat_template=CHATML.replace("<|im_end|>", "<|pad|>"))
    assert encode(tokenizer, [([user("q")], None)]).stop_ids == [1]
    tokenizer.add_tokens(["<end>"])
    tokenizer.chat_template = CHATML.replace("<|im_end|>", " <end>")
    assert encode(tokenizer, [([user("q")], None)]).stop_ids == [tokenizer.convert_tokens_to_ids("<end>")]
    tokenizer.chat_template = PLAIN
    assert encode(tokenizer, [([user("q")], None)]).stop_ids == []


def test_a_template_that_takes_no_question_with_an_answer_names_what_its_own_answers_end_with() -> None:
    picky = (
        "{% if messages[0].role != 'system' %}{{ raise_exception('a system message first') }}{% endif %}"
        + CHATML
    )
    tokenizer = char_tokenizer(chat_template=picky, eos=None)
    system = {"role": "system", "content": "s"}
    assert encode(tokenizer, [([system, user("q")], [assistant("a")])]).stop_ids == [4]


def test_a_given_template_and_its_options_are_used() -> None:
    template = "{{ greeting }}{% for m in messages %}{{ m.content }}<|im_end|>{% endfor %}"
    encoded = encode(
        char_tokenizer(chat_template=None),
        [([user("q")], [assistant("a")])],
        chat_template=template,
        template_options={"greeting": "hi "},
    )
    assert parts(encoded) == ([*chars("hi q"), 4], [*chars("a"), EOS])


def test_long_sequences_are_returned_whole_and_counted() -> None:
    encoded = encode(char_tokenizer(), [("a", "b"), ("abc", "def"), ("abcd", "efg")], max_length=6)
    assert codes(encoded) == {"too_long": (2, 1)}
    assert np.diff(encoded.offsets).tolist() == [3, 7, 8]


@pytest.mark.parametrize(
    ("example", "reason"),
    [
        (("", "a"), "empty_prompt"),
        (("a", ""), "empty_completion"),
        (("a", "<|im_end|>"), "empty_completion"),
        (([], [assistant("a")]), "empty_prompt"),
        (([user("q")], []), "empty_completion"),
        (([user("q")], [assistant("")]), "empty_completion"),
        (([user("q")], [{"role": "assistant"}]), "bad_message"),
        (([{"content": "q"}], None), "bad_message"),
        (("q", [assistant("a")]), "mixed_types"),
    ],
)
def test_examples_that_cannot_be_learnt_from_are_refused_by_index(example: tuple, reason: str) -> None:
    error = refused(char_tokenizer(), [("fine", "fine"), example])
    assert error.data is not None
    assert (error.data["reason"], error.data["index"]) == (reason, 1)
    assert "examples[1]" in str(error)


def test_all_empty_examples_are_counted_in_one_error() -> None:
    error = refused(char_tokenizer(), [("", "a"), ("b", "c"), ("", "d")])
    why = "has an empty prompt: it tokenises to nothing"
    problems = [{"index": 0, "message": why}, {"index": 2, "message": why}]
    assert error.data == {"index": 0, "reason": "empty_prompt", "count": 2, "problems": problems}


def test_all_malformed_examples_are_told_in_one_error() -> None:
    chat = [user("q")]
    error = refused(char_tokenizer(), [(chat, [{"role": "assistant"}]), ("a", "b"), (chat, []), (chat, "a")])
    assert error.data is not None
    assert (error.data["reason"], error.data["count"]) == ("bad_message", 2)
    assert [problem["index"] for problem in error.data["problems"]] == [0, 2]


def test_messages_without_a_template_are_refused_with_the_option() -> None:
    error = refused(char_tokenizer(chat_template=None), [([user("q")], None)])
    assert "chat_template" in str(error)


def test_a_template_that_refuses_is_quoted_with_the_example() -> None:
    picky = "{{ raise_exception('no system role here') }}"
    error = refused(char_tokenizer(chat_template=picky), [("a", "b"), ([user("q")], None)])
    assert "examples[1]" in str(error)
    assert "no system role here" in str(error)


def test_text_comes_back_from_its_ids() -> None:
    tokenizer = char_tokenizer()
    encoded = encode(tokenizer, [("Hi ,", " you !"), ("x", None)])
    assert decode(tokenizer, encoded.ids, encoded.offsets, skip_special_tokens=True) == ["Hi , you !", "x"]
    whole = decode(tokenizer, encoded.ids, encoded.offsets, skip_special_tokens=False)
    assert whole == ["Hi , you !<|im_end|>", "x"]


def test_no_examples_give_no_ids() -> None:
    encoded = encode(char_tokenizer(), [])
    assert (encoded.ids.tolist(), encoded.offsets.tolist(), encoded.prompt_lengths.tolist()) == ([], [0], [])


@pytest.mark.skipif(not SMOLLM2.is_dir(), reason="needs the real model of shared/tools/smollm2.py")
def test_a_real_chat_model_is_encoded_as_its_own_template_tokenises() -> None:
    tokenizer: PreTrainedTokenizerFast = AutoTokenizer.from_pretrained(SMOLLM2)
    prompt, completion = [user("Hi\nthere")], [assistant("Hello, you.\n")]
    encoded = encode(tokenizer, [(prompt, completion), (prompt, [assistant("  Hello")])])
    whole = tokenizer.apply_chat_template(prompt + completion, tokenize=True, return_dict=False)
    begin = tokenizer.apply_chat_template(
        prompt, tokenize=True, return_dict=False, add_generation_prompt=True
    )
    assert parts(encoded) == (begin, whole[len(begin) : -1])
    # here the newline before the answer would merge with its spaces
    assert codes(encoded) == {"boundary_merge": (1, 1)}
    assert tokenizer.decode(parts(encoded)[1]) == "Hello, you.\n<|im_end|>"
    assert START in tokenizer.decode(parts(encoded)[0])


def one_row(ids: list[int]) -> tuple[np.ndarray, np.ndarray]:
    return np.array(ids, dtype=np.int32), np.array([0, len(ids)], dtype=np.int32)


def test_a_character_that_the_vocabulary_lacks_is_the_data_s_fault_and_not_ours():
    tokenizer = AutoTokenizer.from_pretrained(Path(__file__).parents[2] / "configs/lab/base")
    assert Literals(tokenizer).ids(["12"], False) == [tokenizer.convert_tokens_to_ids(["1", "2"])]
    with pytest.raises(WorkerError, match="cannot write a text") as caught:
        Literals(tokenizer).ids(["12", "é"], False)
    assert caught.value.code == "BAD_PARAMS"
