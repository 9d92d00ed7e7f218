"""Import of request logs: derived times by hand, bad rows named and counted, the real log where it is at hand."""

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rarrl.errors import InputError
from rarrl.latency.profile import PROFILE_DIR, dumps_profile
from rarrl_learning.latency.import_logs import ANSWER_MEDIAN_TOKENS, answer_lengths, import_log
from rarrl_learning.latency.request_logs import COLUMNS
from rarrl_learning.latency.ship import PROVIDERS, gpt4o_mini_anchor, shipped_import

HEAD = ",".join(COLUMNS) + "\n"
LOG = Path(__file__).parents[3].parent / "shared" / "data" / "latency" / "llmperf_latency.csv"
needs_log = pytest.mark.skipif(not LOG.is_file(), reason="the llmperf request log is not at hand (see docs)")


def write(tmp_path: Path, rows: str, head: str = HEAD) -> Path:
    path = tmp_path / "log.csv"
    path.write_text(head + rows)
    return path


def refused(path: Path, provider: str = "a", size: str = "7b") -> str:
    with pytest.raises(InputError) as caught:
        import_log(path, provider, size)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_four_aligned_records_a_request_with_times_by_hand(tmp_path: Path) -> None:
    path = write(tmp_path, "a,7b,0.5,2.5,550,101,\nb,7b,9,9,550,5,\na,7b,1.0,1.9,550,10,-100\n")
    records = import_log(path, "a", "7b", seed=4).profile.records or ()
    lengths = answer_lengths(2, seed=4)
    assert [(r.role, r.level) for r in records] == [*ANSWER_MEDIAN_TOKENS] * 2
    for i in range(4):
        assert records[i].total_s == pytest.approx(0.5 + lengths[i, 0] * 2.0 / 100, abs=1e-4)
        assert records[4 + i].total_s == pytest.approx(1.0 + lengths[i, 1] * 0.9 / 9, abs=1e-4)
    assert all(r.ttft_s == 0.5 and r.finish == "stop" for r in records[:4])


def test_failed_requests_stay_as_errors_of_median_first_token_time(tmp_path: Path) -> None:
    path = write(tmp_path, "a,7b,0.2,1,550,9,\na,7b,0,0,550,1,429\na,7b,0.4,1,550,9,\na,7b,0.3,1,550,9,\n")
    result = import_log(path, "a", "7b")
    failed = (result.profile.records or ())[4:8]
    assert [(r.finish, r.total_s, r.tokens_out) for r in failed] == [("error", 0.3, 0)] * 4
    assert any("only 3 of 4 requests" in line for line in result.warnings)


def test_answers_at_the_cap_are_cut_off(tmp_path: Path) -> None:
    records = import_log(write(tmp_path, "a,7b,0.1,1,550,100,\n" * 400), "a", "7b").profile.records or ()
    cut = [r for r in records if r.finish == "length"]
    assert cut and all(r.tokens_out == {1: 256, 2: 512}[r.level] for r in cut)
    assert all(r.tokens_out < {1: 256, 2: 512}[r.level] for r in records if r.finish == "stop")


def test_answer_lengths_have_their_medians_and_are_seeded() -> None:
    lengths = answer_lengths(20_000, seed=0)
    assert np.median(lengths, axis=1) == pytest.approx(list(ANSWER_MEDIAN_TOKENS.values()), rel=0.02)
    assert (lengths == answer_lengths(20_000, seed=0)).all()
    assert (lengths != answer_lengths(20_000, seed=1)).any()


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("a,7b,x,1,550,9,", "line 3: column ttft_s: 'x' is not a number from 0 to 3600"),
        ("a,7b,-1,1,550,9,", "line 3: column ttft_s: '-1'"),
        ("a,7b,nan,1,550,9,", "line 3: column ttft_s: 'nan'"),
        ("a,7b,0.5,inf,550,9,", "line 3: column e2e_s: 'inf' is not a number from 0.5 to 3600"),
        ("a,7b,0.5,0.4,550,9,", "line 3: column e2e_s: '0.4' is not a number from 0.5 to 3600"),
        ("a,7b,0.5,1,550,0,", "line 3: column out_tokens: '0' is not a whole number from 1 to 1e+06"),
        ("a,7b,0.5,1,-5,9,", "line 3: column in_tokens: '-5'"),
        ("a,7b,0.5", "line 3: column e2e_s: ''"),
    ],
)
def test_bad_rows_are_named_skipped_and_counted(tmp_path: Path, row: str, expected: str) -> None:
    result = import_log(write(tmp_path, f"a,7b,0.1,1,550,9,\n{row}\n"), "a", "7b")
    assert len(result.skipped) == 1 and f"log.csv {expected}" in result.skipped[0]
    assert len(result.profile.records or ()) == 4
    assert "1 bad rows" in result.warnings[0]


def test_nothing_valid_is_refused(tmp_path: Path) -> None:
    assert "none of the 1 requests of a 7b is valid; first: log.csv line 2" in refused(write(tmp_path, "a,7b,,,,,\n"))
    assert "is valid (all failed)" in refused(write(tmp_path, "a,7b,0,0,550,1,429\n"))


def test_wrong_files_are_refused_in_one_line(tmp_path: Path) -> None:
    assert "does not exist" in refused(tmp_path / "no.csv")
    assert "is a folder" in refused(tmp_path)
    assert "column e2e_s is missing" in refused(write(tmp_path, "", HEAD.replace("e2e_s", "e2e")))
    assert "column ttft_s is missing" in refused(write(tmp_path, "", ""))
    assert "It has: no rows at all" in refused(write(tmp_path, ""))
    (tmp_path / "log.csv").write_bytes(b"\xff\xfe\xff")
    assert "is not UTF-8 text" in refused(tmp_path / "log.csv")
    assert "field larger than field limit" in refused(write(tmp_path, "a" * 200_000))


def test_what_a_log_does_not_say_need_not_be_said(tmp_path: Path) -> None:
    bare = write(tmp_path, "0.1,1,9\n", "ttft_s,e2e_s,out_tokens\n")
    assert import_log(bare).profile.header.model == "log"
    assert import_log(bare, "acme", "8b").profile.header.model == "acme 8b"
    only = write(tmp_path, "groq,70b,0.1,1,550,9,\n")
    assert import_log(only).profile.header.model == "groq 70b"
    several = write(tmp_path, "groq,70b,0.1,1,550,9,\ngroq,7b,0.1,1,550,9,\n")
    assert import_log(several, size="7b").profile.header.model == "groq 7b"
    with pytest.raises(InputError, match="of several models: groq 70b, groq 7b; choose by --provider and --size"):
        import_log(several, "groq")


def test_unknown_provider_is_told_what_there_is(tmp_path: Path) -> None:
    path = write(tmp_path, "groq,70b,0.1,1,550,9,\nother,7b,0.1,1,550,9,\n")
    assert "no requests of 'grok' '70b'; did you mean groq 70b? It has: groq 70b, other 7b" in refused(
        path, "grok", "70b"
    )


@given(st.text(alphabet='a7b,.0129eE-+\n"nif\r\0\t ', max_size=200))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_is_imported_or_refused(tmp_path: Path, text: str) -> None:
    path = write(tmp_path, "a,7b,0.1,1,550,9,\n" + text)
    try:
        result = import_log(path, "a", "7b")
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert all(record.total_s <= 3600 for record in result.profile.records or ())


@needs_log
def test_shipped_profiles_come_out_of_the_log_again() -> None:
    for profile in [gpt4o_mini_anchor(), *(shipped_import(LOG, provider) for provider in PROVIDERS)]:
        assert dumps_profile(profile) == (PROFILE_DIR / f"{profile.name}.json").read_text(), profile.name


@needs_log
def test_the_measured_end_to_end_times_can_be_derived_again() -> None:
    """Time per token and first token, put together at the measured lengths, give the log's own mean and p95."""
    rows = [row for row in csv.DictReader(LOG.open()) if (row["provider"], row["size"]) == ("groq", "70b")]
    out_tokens = np.array([int(row["out_tokens"]) for row in rows])
    drawn = answer_lengths(len(rows), seed=0)[0]
    records = (import_log(LOG, "groq", "70b").profile.records or ())[::4]
    ttft = np.array([r.ttft_s for r in records])
    per_token = np.array([r.total_s - r.ttft_s for r in records]) / np.minimum(drawn, 256)
    e2e = ttft + (out_tokens - 1) * per_token
    assert e2e.mean() == pytest.approx(0.82, abs=0.005)
    assert np.quantile(e2e, 0.95) == pytest.approx(0.94, abs=0.005)


@needs_log
def test_a_provider_that_mostly_refused_is_importable_with_a_warning_but_not_shipped() -> None:
    assert any("only 20 of 150" in line for line in import_log(LOG, "lepton", "70b").warnings)
    with pytest.raises(InputError, match="too few to ship"):
        shipped_import(LOG, "lepton")
