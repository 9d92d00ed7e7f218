"""Logs as their tools write them: numbers in any writing, units by name, and five formats."""

import json
import math

import pytest

from rarrl.errors import InputError
from rarrl_learning.latency.request_logs import LoggedRequest, is_missing, read_number, read_rows

HEAD = "provider,size,ttft_s,e2e_s,in_tokens,out_tokens,error_code\n"
GOOD = LoggedRequest(0.5, 2.5, 101, failed=False)
FAILED = LoggedRequest(0.0, 0.0, 0, failed=True)


def rows(tmp_path, text, name="log.csv"):
    path = tmp_path / name
    path.write_text(text if isinstance(text, str) else json.dumps(text))
    return read_rows(path)


@pytest.mark.parametrize(
    ("written", "number"),
    [
        ("429.0", 429.0),
        ("-100.0", -100.0),
        ("1,234.5", 1234.5),
        ("1,234,567", 1234567.0),
        ("1.2e3", 1200.0),
        (" 0.5 ", 0.5),
        ("+3", 3.0),
        (7, 7.0),
        ("inf", math.inf),
        (10**400, math.inf),
    ],
)
def test_numbers_in_any_writing(written, number):
    assert read_number(written) == number


@pytest.mark.parametrize("written", ["12,34", "1_000", "0x10", "1.2.3", "twelve", "", True, [1], {}])
def test_what_is_no_number(written):
    assert math.isnan(read_number(written))


@pytest.mark.parametrize(("written", "number"), [("0,5", 0.5), ("1.234,5", 1234.5), ("2.5", 2.5)])
def test_a_comma_before_the_decimals(written, number):
    assert read_number(written, decimal_comma=True) == number


@pytest.mark.parametrize("written", ["", " ", "NaN", "null", "None", "N/A", "<NA>", "-", None, math.nan])
def test_what_is_missing(written):
    assert is_missing(written)


@pytest.mark.parametrize(
    ("code", "request_"),
    [
        *((code, GOOD) for code in ("", "0", "0.0", "-100", "-100.0", "-1e2", "None", "nan", "NULL", "200", "False")),
        *((code, FAILED) for code in ("429", "429.0", "4.29e2", "500", " 503 ", "-1", "1", "True")),
    ],
)
def test_error_codes_are_numbers_or_missing_in_any_writing(tmp_path, code, request_):
    (row,) = rows(tmp_path, f"{HEAD}a,7b,0.5,2.5,550,101,{code}\n")
    assert row.request() == request_


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ("0.5,2.5,550,101,slow", "column error_code: 'slow' is not a number, and not empty"),
        ("soon,2.5,550,101,", "column ttft_s: 'soon' is not a number from 0 to 3600"),
        ("inf,2.5,550,101,", "column ttft_s: 'inf'"),
        ("NaN,2.5,550,101,", "column ttft_s: 'NaN'"),
        ("0.5,2.5,550,None,", "column out_tokens: 'None'"),
        ("0.5,2.5,lots,101,", "column in_tokens: 'lots'"),
    ],
)
def test_an_unknown_word_is_a_row_that_is_named(tmp_path, cells, words):
    (row,) = rows(tmp_path, f"{HEAD}a,7b,{cells}\n")
    with pytest.raises(ValueError, match=words):
        row.request()
    assert row.where == "line 2"


@pytest.mark.parametrize(
    "text",
    [
        "ttft_ms,e2e_ms,out_tokens\n500,2500,101\n",
        "ttft_ms;e2e_ms;out_tokens\n500,0;2.500,0;101\n",
        "TTFT (ms),E2E Latency (s),Output Tokens\n500,2.5,101\n",
        "time_to_first_token_ns\ttotal_latency_us\tcompletion_tokens\n5e8\t2.5e6\t101\n",
        'ttft_ms,e2e_ms,out_tokens\n500,"2,500.0",101\n',
        "out_tokens,e2e_s,ttft_s,in_tokens\n101,2.5,0.5,\n",
        "\ufeffttft_s,e2e_s,out_tokens\r\n0.5,2.5,101.0\r\n",
        "ttft_s\te2e_s\tout_tokens\n0,500\t2,500\t101\n",
        'ttft_s,e2e_s,out_tokens\n"0,500","2,500",101\n',
        "ttft_s;e2e_s;out_tokens\n0.500;2.500;101\n",
        "ttft_ms\te2e_ms\tout_tokens\n500,0\t2.500\t101\n",
        "ttft_s,e2e_s,out_tokens\n0.5,2.5,101,,\n",
    ],
)
def test_columns_in_other_units_and_spellings(tmp_path, text):
    (row,) = rows(tmp_path, text)
    assert row.request() == GOOD


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "ttft_s\te2e_s\tout_tokens\n1,500\t2,500\t101\n",
            "line 2, column ttft_s: '1,500' may have decimals, or thous",
        ),
        (
            "ttft_ms;e2e_ms;out_tokens\n980;2.500;101\n",
            "line 2, column e2e_ms: '2.500' may have decimals, or thousands",
        ),
        ("ttft_s\te2e_s\tout_tokens\n0,5\t2.5\t101\n", "'0,5' may have a comma before the decimals, '2.5' a point"),
        ("ttft_s,e2e_s,out_tokens\n0.5,2.5,101\n0,500,2,500,101\n", "line 3: 2 cells more than the header has columns"),
    ],
)
def test_numbers_that_could_mean_two_things_are_refused(tmp_path, text, words):
    with pytest.raises(InputError, match=words):
        rows(tmp_path, text)


def test_thousands_of_tokens_by_the_points_of_a_log_with_decimal_commas(tmp_path):
    (row,) = rows(tmp_path, "ttft_s;e2e_s;out_tokens\n0,350;1,350;1.120\n")
    assert row.request() == LoggedRequest(0.35, 1.35, 1120, failed=False)


@pytest.mark.parametrize("tokens", ["1.9", "1.120", 0.5 + 100])
def test_a_part_of_a_token_is_refused(tmp_path, tokens):
    (row,) = rows(tmp_path, [{"ttft_s": 0.5, "e2e_s": 2.5, "out_tokens": tokens}], "log.json")
    with pytest.raises(ValueError, match="is not a whole number from 1"):
        row.request()


@pytest.mark.parametrize(
    ("column", "value", "failed"),
    [
        ("error_msg", "Rate limit", True),
        ("error_msg", "", False),
        ("error", "timeout", True),
        ("errors", "2", True),
        ("errors", "0", False),
        ("errors", [], False),
        ("errors", ["timeout"], True),
        ("status_code", 500, True),
        ("status_code", "200", False),
        ("status", "failed", True),
        ("status", "Completed", False),
        ("success", False, True),
        ("success", "false", True),
        ("success", True, False),
        ("success", None, False),
    ],
)
def test_failures_in_any_column(tmp_path, column, value, failed):
    entry = {"ttft_s": 0.5, "e2e_s": 2.5, "out_tokens": 101, "error_code": None, column: value}
    read = rows(tmp_path, [entry], "log.json")
    if not isinstance(value, list):
        cell = "" if value is None else value
        read += rows(tmp_path, f"ttft_s,e2e_s,out_tokens,error_code,{column}\n0.5,2.5,101,,{cell}\n")
    assert all(row.request() == (FAILED if failed else GOOD) for row in read)


def test_a_short_answer_of_llmperf_is_an_answer(tmp_path):
    (row,) = rows(tmp_path, "ttft_s,e2e_s,out_tokens,error_code,error_msg\n0.5,2.5,101,-100,too short\n")
    assert row.request() == GOOD


@pytest.mark.parametrize(("column", "value"), [("success", "maybe"), ("status", "half")])
def test_an_unknown_word_about_success_is_named(tmp_path, column, value):
    (row,) = rows(tmp_path, f"ttft_s,e2e_s,out_tokens,{column}\n0.5,2.5,101,{value}\n")
    with pytest.raises(ValueError, match=f"column {column}: '{value}' is n"):
        row.request()


def test_a_request_of_vllm_without_a_token_failed(tmp_path):
    run = {"ttfts": [0.5, 0.0], "itls": [[0.02] * 100, []], "output_lens": [101, 101], "errors": ["", ""]}
    assert [row.request() for row in rows(tmp_path, run, "run.json")] == [GOOD, FAILED]


def test_a_value_out_of_range_is_told_in_the_units_of_the_log(tmp_path):
    (row,) = rows(tmp_path, "ttft_ms,e2e_ms,out_tokens\n500,400,101\n")
    with pytest.raises(ValueError, match=r"column e2e_ms: '400' is not a number from 500 to 3\.6e"):
        row.request()


@pytest.mark.parametrize(
    ("head", "words"),
    [
        ("ttft,e2e_s,out_tokens", "'ttft' names no unit: name times with their unit, such as ttft_s or ttft_ms"),
        ("tttft_s,e2e_s,out_tokens", "column ttft_s is missing .*; did you mean 'tttft_s'?"),
        ("ttft_s,e2e_s", "column out_tokens is missing .*found: ttft_s, e2e_s"),
    ],
)
def test_a_missing_column_is_named_with_what_is_like_it(tmp_path, head, words):
    with pytest.raises(InputError, match=words):
        rows(tmp_path, head + "\n1,2,3\n")


def test_llmperfs_own_responses(tmp_path):
    answered = {
        "error_code": None,
        "error_msg": "",
        "inter_token_latency_s": 0.02,
        "ttft_s": 0.5,
        "end_to_end_latency_s": 2.5,
        "request_output_throughput_token_per_s": 40.4,
        "number_total_tokens": 651,
        "number_output_tokens": 101,
        "number_input_tokens": 550,
    }
    refused = {**answered, "error_code": 429, "error_msg": "too many", "ttft_s": 0, "end_to_end_latency_s": 0}
    read = rows(tmp_path, [answered, refused], "m_550_150_individual_responses.json")
    assert [row.request() for row in read] == [GOOD, FAILED]
    assert [row.where for row in read] == ["request 1", "request 2"]


RUN = {
    "backend": "openai-chat",
    "model_id": "qwen3",
    "completed": 1,
    "input_lens": [550, 550],
    "output_lens": [101, 0],
    "ttfts": [0.5, 0.0],
    "itls": [[0.02] * 100, []],
    "generated_texts": ["text", ""],
    "errors": ["", "Service Unavailable"],
}


def test_a_detailed_result_of_vllm(tmp_path):
    read = rows(tmp_path, RUN, "vllm.json")
    assert read[0].request() == LoggedRequest(0.5, pytest.approx(2.5), 101, failed=False)
    assert read[1].request() == FAILED
    assert (read[0].text("provider"), read[0].text("size")) == ("openai-chat", "qwen3")


def test_results_of_several_runs_one_per_line(tmp_path):
    read = rows(tmp_path, json.dumps(RUN) + "\n" + json.dumps(RUN) + "\n", "runs.jsonl")
    assert [row.request().failed for row in read] == [False, True, False, True]


def test_aiperfs_export(tmp_path):
    metrics = {
        "time_to_first_token": {"value": 500.0, "unit": "ms"},
        "request_latency": {"value": 2500.0, "unit": "ms"},
        "input_sequence_length": {"value": 550, "unit": "tokens"},
        "output_sequence_length": {"value": 101, "unit": "tokens"},
    }
    lines = [
        {"metadata": {"benchmark_phase": "warmup"}, "metrics": metrics, "error": None},
        {"metadata": {"benchmark_phase": "profiling"}, "metrics": metrics, "error": None},
        {"metadata": {}, "metrics": {}, "error": {"code": 499, "type": "RequestCancellationError"}},
        {"metadata": {"was_cancelled": True}, "metrics": metrics},
    ]
    read = rows(tmp_path, "".join(json.dumps(line) + "\n" for line in lines), "profile_export.jsonl")
    assert [row.request() for row in read] == [GOOD, FAILED, FAILED]


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"mean_ttft_ms": 20.1, "completed": 5}, "this is a summary; .*--save-detailed"),
        ({"name": "m", "results": {}}, "this is a summary; .*individual_responses"),
        ({"ttfts": [0.1], "output_lens": [3]}, "key itls is missing; save the result with --save-detailed"),
        ({"ttfts": [0.1], "output_lens": [3, 4], "itls": [[]]}, "key output_lens has 2 entries for 1 requests"),
        ([1, 2], "entry 1: 1 is not an object"),
        ([], "holds no request"),
        ('{"ttft_s": 1\n', "line 1 is not JSON"),
        ("[" * 100_000, "line 1 is not JSON|nested too deeply"),
    ],
)
def test_other_json_is_refused_by_name(tmp_path, document, words):
    with pytest.raises(InputError, match=words):
        rows(tmp_path, document, "log.json")
