"""LogLines: every line once and in order, whatever happens to the requests that bring them."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_dagconfig.kubectl.logs import GAP, LogLines, Remark

START = datetime(2026, 11, 23, 2, 14, 5, tzinfo=timezone.utc)


def stamp(milliseconds: float) -> bytes:
    return (START + timedelta(milliseconds=milliseconds)).isoformat(timespec="microseconds").replace("+00:00", "Z ").encode()


def read(log: LogLines, *chunks: bytes) -> list[str]:
    log.begin()
    return [line for chunk in chunks for line in log.feed(chunk)]


def test_lines_come_without_their_times() -> None:
    assert read(LogLines(), stamp(0) + b"one\n" + stamp(1) + b"\n" + stamp(2) + b"three\n") == ["one", "", "three"]


def test_bytes_that_are_no_utf_8_are_shown_and_nothing_is_lost() -> None:
    assert read(LogLines(), stamp(0) + b"caf\xc3\xa9 \xff\xfe\n") == [r"café \xff\xfe"]


def test_a_last_line_without_an_end_comes_at_the_end_of_the_log() -> None:
    log = LogLines()
    assert read(log, stamp(0) + b"one\n" + stamp(1) + b"two") == ["one"]
    assert list(log.end()) == ["two"]


def test_half_a_line_of_a_broken_request_is_dropped_since_it_comes_again_in_whole() -> None:
    log = LogLines()
    assert read(log, stamp(0) + b"one\n" + stamp(1) + b"tw") == ["one"]
    assert read(log, stamp(0) + b"one\n" + stamp(1) + b"two\n") == ["two"]


def carried(log: LogLines) -> LogLines:
    """The state of reading, as another process restores it."""
    return LogLines(json.loads(json.dumps(log.position)))


def test_another_process_continues_where_one_ended() -> None:
    first = LogLines()
    lines = [stamp(number) + b"line %d\n" % number for number in range(20)]
    assert len(read(first, *lines[:10], lines[10][:-1])) == 10
    second = carried(first)
    assert second.since == first.since
    assert read(second, *lines) == [f"line {number}" for number in range(10, 20)]
    assert read(carried(carried(second)), *lines) == []
    assert LogLines().position is None


def test_of_more_lines_than_are_carried_none_comes_twice() -> None:
    first = LogLines()
    lines = [stamp(number) + b"line %d\n" % number for number in range(2000)]
    read(first, *lines[:1999])
    assert len(json.dumps(first.position)) < 20_000
    assert read(carried(first), *lines) == ["line 1999"]


NOT_FOUND = 'rpc error: code = NotFound desc = an error occurred when try to find container "5f": not found'


def test_a_sentence_of_the_kubelet_or_the_runtime_is_said_to_be_no_line_of_the_job() -> None:
    log = LogLines()
    assert read(log, stamp(0) + b"one\n" + NOT_FOUND.encode()) == ["one"]
    [said] = log.end()
    assert said == f"[Not from the job: {NOT_FOUND}]"
    assert isinstance(said, Remark)


def test_a_sentence_that_comes_with_each_request_is_said_once() -> None:
    log, sentence = LogLines(), b"unable to retrieve container logs for containerd://5f\n"
    said = [line for _ in range(3) for line in read(log, sentence)]
    assert said == ["[Not from the job: unable to retrieve container logs for containerd://5f]"]


def test_what_the_job_writes_about_rpc_errors_is_the_jobs() -> None:
    [line] = read(LogLines(), stamp(0) + NOT_FOUND.encode() + b"\n")
    assert line == NOT_FOUND
    assert not isinstance(line, Remark)


@pytest.mark.parametrize("size", [16 * 1024, 8 * 1024], ids=["containerd", "CRI-O"])
@pytest.mark.parametrize("length", [1_000_000, 16 * 1024, 32 * 1024, 16 * 1024 + 1, 10])
def test_a_long_line_in_stamped_pieces_is_one_line(size: int, length: int) -> None:
    text = bytes(ord("a") + i % 26 for i in range(length))
    pieces = [text[i : i + size] for i in range(0, length, size)]
    assert read(LogLines(), b"".join(stamp(i) + piece for i, piece in enumerate(pieces)) + b"\n") == [text.decode()]


def test_a_time_in_a_line_of_the_program_stays() -> None:
    text = "the job began at 2026-11-23T02:14:05Z and went on"
    assert read(LogLines(), stamp(0) + text.encode() + b"\n") == [text]


def test_equal_lines_at_the_same_moment_are_as_many_as_were_written() -> None:
    log = LogLines()
    same = stamp(0) + b"tick\n"
    assert read(log, same * 3) == ["tick"] * 3
    assert read(log, same * 5) == ["tick"] * 2


def test_a_log_that_was_rotated_meanwhile_says_where_lines_may_be_missing() -> None:
    log = LogLines()
    read(log, stamp(0) + b"one\n")
    assert read(log, stamp(9_000) + b"far\n" + stamp(9_001) + b"on\n") == [GAP, "far", "on"]
    assert read(log, stamp(9_001) + b"on\n" + stamp(9_002) + b"again\n") == ["again"]


def test_the_next_request_asks_from_before_the_newest_line() -> None:
    log = LogLines()
    assert log.since is None
    read(log, stamp(7_900) + b"one\n")
    assert log.since == "2026-11-23T02:14:07Z"


@st.composite
def logs_and_cuts(draw: st.DrawFn) -> tuple[list[tuple[float, str]], list[int], int]:
    """Lines with times that are out of order by less than a second, places where requests break, and a chunk size."""
    steps = draw(st.lists(st.integers(0, 3000), min_size=1, max_size=60))
    jitters = draw(st.lists(st.integers(0, 900), min_size=len(steps), max_size=len(steps)))
    words = draw(st.lists(st.sampled_from(["a", "b", ""]), min_size=len(steps), max_size=len(steps)))
    now, lines = 0, []
    for step, jitter, word in zip(steps, jitters, words, strict=True):
        now += step
        lines.append((now + jitter, word))
    cuts = draw(st.lists(st.integers(0, 60 * 32), max_size=6))
    return lines, sorted(cuts), draw(st.integers(1, 200))


@given(logs_and_cuts())
def test_every_line_comes_once_and_in_order_however_often_the_request_breaks(
    case: tuple[list[tuple[float, str]], list[int], int],
) -> None:
    lines, cuts, size = case
    log, delivered = LogLines(), []
    for cut in [*cuts, None]:
        # As the kubelet does: whole lines from the asked moment on.
        since = datetime.fromisoformat(log.since.replace("Z", "+00:00")) if log.since else None
        wanted = [(t, text) for t, text in lines if since is None or START + timedelta(milliseconds=t) >= since]
        answer = b"".join(stamp(t) + text.encode() + b"\n" for t, text in wanted)[:cut]
        delivered += read(log, *(answer[i : i + size] for i in range(0, len(answer), size)))
    assert delivered == [text for _, text in lines]
