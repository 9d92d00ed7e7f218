"""Chat templates: whatever a model file's program does, a conversation is written, or it is refused with a reason."""

import time

import pytest

from rarrl.reasoner.template import MAX_TEXT, ChatTemplate, TemplateRefusedError

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
QWEN3 = CHATML + "{% if not enable_thinking %}<think>\n\n</think>\n\n{% endif %}"
R1 = CHATML + "{% if add_generation_prompt %}<think>\n{% endif %}"
GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}"
    "{% endif %}"
    "{% for message in messages %}{% set role = 'model' if message.role == 'assistant' else message.role %}"
    "{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{'<start_of_turn>model\n'}}{% endif %}"
)
NO_SYSTEM = "{% for m in messages if m.role != 'system' %}[{{ m.role }}] {{ m.content }}\n{% endfor %}[assistant] "
HARMONY = (
    "{% for m in messages %}<|start|>{{ m.role }}<|message|>{{ m.content }}<|end|>{% endfor %}"
    "{# <|channel|>analysis #}{% if add_generation_prompt %}<|start|>assistant{% endif %}"
)
GENERATION = (
    "{% for m in messages %}{%- if m.role == 'assistant' -%}{% generation %}A:{{ m.content }}{% endgeneration %}"
    "{%- else -%}Q:{{ m.content }}{%- endif %}{% endfor %}A:"
)
ASKED = [["system", "Be brief."], ["user", "Where?"]]


@pytest.mark.parametrize(
    ("source", "begins", "ends"),
    [
        (CHATML, "<|im_start|>system\nBe brief.<|im_end|>\n", "<|im_start|>assistant\n"),
        (QWEN3, "<|im_start|>system\nBe brief.", "<think>\n\n</think>\n\n"),
        (R1, "<|im_start|>system\nBe brief.", "<think>\n\n</think>\n\n"),
        (GEMMA, "<s><start_of_turn>user\nBe brief.\n\nWhere?<end_of_turn>\n", "<start_of_turn>model\n"),
        (NO_SYSTEM, "[user] Be brief.\n\nWhere?\n", "[assistant] "),
        (HARMONY, "<|start|>system", "<|start|>assistant<|channel|>final<|message|>"),
        (GENERATION, "Q:Be brief.Q:Where?", "A:"),
        ("{% for m in messages %}{% if loop.index > 9 %}{% break %}{% endif %}{{ m.content }};{% endfor %}", "Be", ";"),
        ("{{ strftime_now('%Y') }}{{ messages | tojson }}", "20", '"content": "Where?"}]'),
        ("{{ tools is none }}{% for m in messages %}{{ m.content.strip() }}{% endfor %}", "True", "Where?"),
    ],
)
def test_the_way_a_family_of_models_is_written_to(source, begins, ends):
    text, end, closing = ChatTemplate(source, bos="<s>").write(ASKED)
    assert text.startswith(begins) and text.endswith(ends)
    assert (end, closing) == ("", "")


@pytest.mark.parametrize(
    ("source", "opened", "end", "closing"),
    [
        (QWEN3, "assistant\n<think>\n", "</think>", "\n</think>\n\n"),
        (R1, "assistant\n<think>\n", "</think>", "\n</think>\n\n"),
        (HARMONY, "<|channel|>analysis<|message|>", "<|end|>", "<|end|><|start|>assistant<|channel|>final<|message|>"),
        (R1.replace("think", "seed:think"), "<seed:think>\n", "</seed:think>", "\n</seed:think>\n\n"),
        (CHATML + "{# [THINK] #}", "assistant\n[THINK]\n", "[/THINK]", "\n[/THINK]\n\n"),
        (CHATML, "assistant\n", "", ""),
    ],
)
def test_thoughts_are_opened_and_it_is_known_what_ends_them(source, opened, end, closing):
    template = ChatTemplate(source)
    written = template.write(ASKED, thinks=True)
    assert written.text.endswith(opened) and (written.end, written.closing) == (end, closing)
    assert template.thinks is bool(end)


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("{{ raise_exception('not for you') }}", "not for you"),
        ("{% for m in messages %}{{ m.content }}", "Jinja"),
        ("nothing of what is said", "leaves messages out"),
        ("{{ 1 / 0 }}", "ZeroDivisionError"),
        ("{{ messages[0].content.__class__.__mro__ }}", "SecurityError"),
        ("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", "more than 0.05 s"),
        ("{% for a in range(99999) %}" + 99 * "x" + "{% endfor %}", f"more than {MAX_TEXT} characters"),
        ("x" * 300_000, "300000 characters"),
        ("{{ messages.append(1) }}", "SecurityError"),
        ("", "leaves messages out"),
    ],
)
def test_a_template_that_cannot_be_used_is_refused_with_its_reason(monkeypatch, source, why):
    monkeypatch.setattr("rarrl.reasoner.template.MAX_CPU_S", 0.05)
    started = time.process_time()
    with pytest.raises(TemplateRefusedError, match=why) as refused:
        ChatTemplate(source)
    assert "\n" not in str(refused.value) and time.process_time() - started < 5.0


def test_llama_cpp_is_asked_where_jinja_fails():
    template = ChatTemplate("{% call of something else %}", builtin=lambda messages: f"built in: {messages}")
    assert template.write(ASKED).text == f"built in: {ASKED}"


def test_a_conversation_that_a_template_refuses_later_is_a_refusal():
    refuse = "{% if m.content == 'Where?' %}{{ raise_exception('no') }}{% endif %}"
    template = ChatTemplate("{% for m in messages %}" + refuse + "{{ m.content }}{% endfor %}")
    with pytest.raises(TemplateRefusedError, match="chat template: TemplateRefusedError: no"):
        template.write(ASKED)
