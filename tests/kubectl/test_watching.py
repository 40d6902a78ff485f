"""When a watch is opened, given up and opened again, and what is asked again: seconds are numbers here."""

from __future__ import annotations

import pytest

from airflow_provider_dagconfig.kubectl.errors import TRANSIENT, Fault, KubectlError
from airflow_provider_dagconfig.kubectl.patience import SERVER_SETTLES, Patience, Pauses
from airflow_provider_dagconfig.kubectl.watching import BEGINS, ENDS, Watching

AWAY = KubectlError(Fault.UNREACHABLE, "connection refused", "watch")


def test_the_first_watch_is_opened_at_once_and_no_pod_is_looked_at_before() -> None:
    watching = Watching()
    assert (watching.is_due(0), watching.requests_pod_first) == (True, False)


def test_a_watch_that_begins_with_no_pod_was_opened_after_its_deletion() -> None:
    watching = Watching()
    watching.record_opening(100)
    assert (watching.is_stalled(100 + BEGINS), watching.is_stalled(100 + BEGINS + 1)) == (False, True)
    watching.record_end(111)
    assert watching.requests_pod_first


def test_a_watch_that_the_api_server_does_not_end_is_given_up() -> None:
    """A connection may be lost without a word, and a proxy may keep our end of it open."""
    watching = Watching()
    watching.record_opening(0)
    watching.record_event()
    assert (watching.next_step(), watching.is_stalled(ENDS), watching.is_stalled(ENDS + 1)) == (ENDS, False, True)


def test_a_watch_that_is_never_any_good_is_asked_for_with_growing_pauses() -> None:
    watching, pauses = Watching(), []
    for _ in range(7):
        watching.record_opening(0)
        watching.record_end(0)
        pauses.append(watching.next_step())
    assert [least <= pause <= least * 1.2 for pause, least in zip(pauses, [1, 2, 4, 8, 16, 30, 30], strict=True)] == [True] * 7
    watching.record_event()
    watching.record_end(0)
    assert watching.next_step() <= 1.2


def test_an_api_server_that_is_away_is_asked_within_two_seconds_however_long_it_was_away() -> None:
    watching = Watching()
    watching.record_opening(0)
    for moment in range(50):
        watching.record_failure(AWAY, moment)
        assert moment + 1 <= watching.next_step() <= moment + 2
    assert watching.requests_pod_first


def test_an_api_server_that_is_away_is_said_once_a_minute_and_when_the_reason_changes() -> None:
    watching, other = Watching(), KubectlError(Fault.UNREACHABLE, "unexpected EOF", "watch")
    moments = [(other, 0), (AWAY, 2), (AWAY, 3), (AWAY, 61), (AWAY, 63), (AWAY, 64), (other, 65)]
    said = [moment for error, moment in moments if watching.record_failure(error, moment)]
    assert said == [0, 2, 63, 65]
    watching.record_answer()
    assert "connection refused" in str(watching.record_failure(AWAY, 66))
    assert watching.record_answer()
    assert "connection refused" in str(watching.record_failure(AWAY, 67))


def test_an_api_server_that_is_back_is_said_once() -> None:
    watching = Watching()
    watching.record_failure(AWAY, 0)
    assert watching.trouble is AWAY
    assert (watching.record_answer(), watching.record_answer(), watching.trouble) == (True, False, None)


def test_a_version_that_is_too_old_is_no_trouble() -> None:
    watching = Watching()
    watching.record_opening(0)
    assert watching.record_failure(KubectlError(Fault.EXPIRED, "too old resource version", "watch"), 1) is None
    assert (watching.trouble, watching.requests_pod_first) == (None, True)


# --- whether to ask again ---


@pytest.mark.parametrize("fault", Fault, ids=lambda fault: fault.value)
def test_what_may_be_over_a_moment_later_is_asked_again(fault: Fault) -> None:
    again = fault in TRANSIENT or fault in (Fault.UNAUTHORIZED, Fault.MISCONFIGURED)
    assert Patience().may_retry(KubectlError(fault, "", "get"), 0) is again


def test_credentials_that_are_not_taken_are_read_once_more_for_each_request() -> None:
    patience, refused = Patience(), KubectlError(Fault.UNAUTHORIZED, "", "watch")
    assert [patience.may_retry(refused, 0), patience.may_retry(refused, 0)] == [True, False]
    assert patience.may_retry(KubectlError(Fault.UNAUTHORIZED, "", "log"), 0)
    patience.record_answer("watch")
    assert patience.may_retry(refused, 0)


TORN = KubectlError(Fault.MISCONFIGURED, "error loading config file: yaml: line 4", "watch")


def test_a_kubeconfig_that_cannot_be_read_is_read_once_more() -> None:
    """Another process that renews the credentials may be writing the file."""
    patience = Patience()
    assert [patience.may_retry(TORN, 0), patience.may_retry(TORN, 1)] == [True, False]


def test_a_kubeconfig_that_could_be_read_before_is_waited_for_and_the_log_says_so() -> None:
    patience, watching = Patience(), Watching()
    patience.record_answer("get")
    assert [patience.may_retry(TORN, moment) for moment in (0, 1, 600)] == [True, True, True]
    watching.record_opening(0)
    assert "Kubectl can't make the request, next attempt in" in str(watching.record_failure(TORN, 1))


def test_an_api_server_that_refuses_something_has_shown_that_the_kubeconfig_can_be_read() -> None:
    patience = Patience()
    patience.may_retry(KubectlError(Fault.ALREADY_EXISTS, "", "create"), 0)
    assert [patience.may_retry(TORN, moment) for moment in (0, 1, 600)] == [True, True, True]


def test_an_api_server_that_has_just_come_back_may_forbid_what_it_allows_a_moment_later() -> None:
    patience, forbidden = Patience(), KubectlError(Fault.FORBIDDEN, "", "get")
    assert not patience.may_retry(forbidden, 100)
    patience.may_retry(AWAY, 100)
    assert patience.may_retry(forbidden, 100 + SERVER_SETTLES - 1)
    assert not patience.may_retry(forbidden, 100 + SERVER_SETTLES + 1)


def test_pauses_begin_again_after_a_good_answer() -> None:
    pauses = Pauses(5)
    assert [round(pauses.next() / 1.2 - 0.01) <= longest for longest in (1, 2, 4, 5, 5)] == [True] * 5
    pauses.reset()
    assert pauses.next() <= 1.2
