"""Templates render as in transformers, and a hostile one is refused within its bounds."""

import resource
import signal
import threading
from typing import Any

import pytest
from builders import CHATML, LLAMA2, PLAIN, THINKING, char_tokenizer
from transformers import PreTrainedTokenizerFast

from py_worker import template as bounded
from py_worker.encode import encode
from py_worker.errors import WorkerError
from py_worker.template import Clock, TemplateLimit, apply_template

MESSAGES: list[dict[str, Any]] = [
    {"role": "system", "content": "Be <b>short</b> & 'kind'."},
    {"role": "user", "content": "1 < 2? \n"},
    {
        "role": "assistant",
        "content": "Yes.\tÜ",
        "tool_calls": [{"name": "f", "arguments": {"b": 1, "a": [None]}}],
    },
    {"role": "user", "content": "  why "},
]
BLOCKS = """{%- set ns = namespace(total=0, system='') -%}
{%- macro head(role, width=3) -%}<|im_start|>{{ role | upper | center(width * 4) }}{{ '-' * width }}{%- endmacro -%}
{%- if messages[0].role == 'system' %}{% set ns.system = messages[0]['content'] %}{% endif -%}
{%- for message in messages if message.role != 'system' -%}
    {%- if loop.index0 > 7 %}{% break %}{% endif -%}
    {%- if not message.content %}{% continue %}{% endif -%}
    {%- set ns.total = ns.total + 2 ** loop.index % 5 -%}
    {{ head(message.role) }}
    {%- if message.role == 'assistant' -%}
        {%- generation %}{{ message.content | trim }}{% endgeneration -%}
        {%- for call in message.tool_calls or [] -%}
            {{ call | tojson(indent=2) }}{{ call.arguments | tojson }}{{ call.arguments.items() | list | length }}
        {%- endfor -%}
    {%- else -%}
        {{ message.content.strip() ~ '!' }}{{ message['content'][::-1] | replace('y', 'Y') }}
    {%- endif -%}
    {{ '%s/%03d' | format(ns.system, ns.total) }}{{ range(0, 6, 2) | join(',') }}{{ loop.last }}
{% endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant{{ enable_thinking | default('none') }}{% endif %}"""
TODAY = "{{ strftime_now('%Y') }}{% for message in messages %}{{ message.content }}{% endfor %}"
GUARD = "{% if messages[0].role != 'user' %}{{ raise_exception('a question comes first, not ' ~ messages[0].role) }}{% endif %}ok"


def tokenizer(template: str) -> PreTrainedTokenizerFast:
    return char_tokenizer(chat_template=template)


@pytest.mark.parametrize("template", [CHATML, LLAMA2, THINKING, PLAIN, BLOCKS, TODAY])
@pytest.mark.parametrize(
    "options",
    [{}, {"add_generation_prompt": True, "enable_thinking": False}, {"continue_final_message": True}],
)
def test_a_template_renders_as_in_transformers(template: str, options: dict[str, Any]) -> None:
    own = tokenizer(template)
    expected = own.apply_chat_template(MESSAGES, tokenize=False, **options)
    assert apply_template(own, MESSAGES, None, options) == expected
    own.chat_template = PLAIN
    assert apply_template(own, MESSAGES, template, options) == expected


def test_a_template_takes_the_date_that_it_is_given_and_is_known_to_read_it() -> None:
    dated = (
        "{{ strftime_now('%d %b %Y %H:%M') if messages[0].role == 'user' and strftime_now is defined }} "
        + PLAIN
    )
    clock = Clock("2026-02-03")
    assert apply_template(tokenizer(dated), MESSAGES[1:2], None, {}, clock).startswith("03 Feb 2026 00:00 ")
    assert clock.was_read
    asks, tells = [{"role": "user", "content": "q"}], [{"role": "system", "content": "s"}]
    encoded = [
        encode(tokenizer(template), [(messages, None)], date=date)
        for template, messages, date in (
            (dated, asks, "2026-02-03"),
            (dated, asks, "2026-02-04"),
            (dated, tells, "2026-02-03"),
            (dated, tells, None),
            (PLAIN, asks, "2026-02-03"),
        )
    ]
    ids = [one.ids.tolist() for one in encoded]
    assert [one.reads_date for one in encoded] == [True, True, True, True, False]
    assert ids[0] != ids[1]
    assert ids[2] == ids[3]


def test_a_text_asks_no_template_for_the_date() -> None:
    assert not encode(tokenizer(TODAY), [("1 + 1", "2")], date="2026-02-03").reads_date


@pytest.mark.parametrize("date", ["today", "2026-2-3", "20260203", "2026-02-30", "2026-02-03T10:00", ""])
def test_what_is_no_day_is_refused(date: str) -> None:
    with pytest.raises(WorkerError, match="give a day such as 2026-11-26") as caught:
        encode(tokenizer(TODAY), [(MESSAGES, None)], date=date)
    assert caught.value.code == "BAD_PARAMS"


def test_a_template_that_raises_gives_its_own_words() -> None:
    with pytest.raises(WorkerError, match=r"examples\[0\]: .*a question comes first, not system") as caught:
        encode(tokenizer(GUARD), [(MESSAGES, None)])
    assert caught.value.data is not None
    assert (caught.value.data["index"], caught.value.data["reason"]) == (0, "template_failed")


HOSTILE = {
    "repeats a text": "{{ 'x' * 10 ** 10 }}",
    "repeats from the left": "{{ 10 ** 10 * 'x' }}",
    "repeats a list": "{% set y = [0] * 10 ** 9 %}",
    "a tower of powers": "{{ 9 ** (9 ** 9) }}",
    "squares in a loop": "{% set n = namespace(x=9) %}{% for i in range(40) %}{% set n.x = n.x * n.x %}{% endfor %}",
    "doubles a text": "{% set n = namespace(x='x') %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
    "doubles a list": "{% set n = namespace(x=[0]) %}{% for i in range(60) %}{% set n.x = n.x + n.x %}{% endfor %}",
    "pads by a method": "{{ 'x'.ljust(10 ** 10) }}",
    "pads by less than the machine has": "{{ 'x'.ljust(3 * 10 ** 9) | length }}",
    "pads by a filter": "{{ 'x' | center(10 ** 10) }}",
    "pads by a format": "{{ '%9999999999d' % 1 }}",
    "pads by a format method": "{{ '{:9999999999}'.format(1) }}",
    "indents": "{{ [1] | tojson(indent=10 ** 10) }}",
    "writes without end": "{% for i in range(99999) %}{% for j in range(99999) %}0123456789{% endfor %}{% endfor %}",
    "loops without end": "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "a range too long": "{% for i in range(10 ** 9) %}{% endfor %}",
    "recursion": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "deep nesting": "{% if 1 %}" * 3000 + "{% endif %}" * 3000,
    "division by zero": "{{ 1 // 0 }}",
    "no template": "{% for %}",
    "an attribute of Python": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "no such message": "{{ messages[99].content.x }}",
    "changes the messages": "{{ messages.append(1) }}",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_template_is_refused_in_bounded_time_and_memory(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded, "SECONDS", 0.5)
    limit, before = resource.getrlimit(resource.RLIMIT_AS), peak_bytes()
    with pytest.raises(
        WorkerError, match=r"examples\[0\]: the chat template refuses the messages: "
    ) as caught:
        encode(tokenizer(HOSTILE[name]), [(MESSAGES, None)])
    assert caught.value.code == "BAD_PARAMS"
    assert caught.value.data is not None
    assert (caught.value.data["index"], caught.value.data["reason"]) == (0, "template_failed")
    assert peak_bytes() - before < 1.5 * bounded.MEMORY_BYTES
    assert resource.getrlimit(resource.RLIMIT_AS) == limit
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0.0, 0.0)
    monkeypatch.undo()  # a good one has the whole time: right after gigabytes were freed it may need it
    assert apply_template(tokenizer(CHATML), MESSAGES[:1], None, {}).startswith("<|im_start|>system")


def test_a_limit_that_the_process_has_already_stays() -> None:
    def render() -> None:
        assert apply_template(tokenizer(CHATML), MESSAGES[:1], None, {})

    thread = threading.Thread(target=render)  # where no signal arrives
    thread.start()
    thread.join()
    with pytest.raises(TemplateLimit, match="repeats 1 items 10000000000 times"):
        apply_template(tokenizer(HOSTILE["repeats a text"]), MESSAGES[:1], None, {})


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
