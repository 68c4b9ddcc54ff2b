"""Every transition of an analysis, and that whoever comes second changes nothing."""

from __future__ import annotations

import multiprocessing
import threading

import pytest
import sqlalchemy as sa

from dlc_jupyter.errors import Ambiguous, Conflict, NotFound
from dlc_jupyter.jobs.records import Record, Records, Request, State, iso
from dlc_jupyter.storage.database import Database, analyses, database_url

ERROR = {"type": "Lost", "message": "It was lost.", "hint": ""}


@pytest.fixture
def add(records):
    """Write down `sleep` analyses, a second apart."""
    moments = iter(range(1000, 2000))

    def add(**fields) -> Record:
        return records.create(Request(**{"analysis": "sleep", "parameters": {"time": 1}} | fields), next(moments))

    return add


@pytest.fixture
def claimed(records, add):
    add()
    return records.claim("me", 2000, 30)


@pytest.fixture
def stored(files):
    def stored(content: bytes, **how) -> str:
        incoming = files.receive()
        incoming.append(content)
        return incoming.finish("video.mp4", **how).file_id

    return stored


# -- asked for ---------------------------------------------------------------------------------------------------------


def test_a_new_analysis_is_queued_behind_the_others(add):
    first, second = add(owner="anna"), add()
    assert (first.state, first.position, first.owner, first.created) == (State.QUEUED, 1, "anna", 1000)
    assert second.position == 2
    assert len(first.analysis_id) == 40
    assert first.attempt == 0


def test_the_record_as_json(add):
    assert add().as_json() | {"analysis_id": ""} == {
        "analysis_id": "",
        "analysis": "sleep",
        "file_id": [],
        "parameters": {"time": 1},
        "state": "queued",
        "progress": None,
        "position": 1,
        "created": "1970-01-01T00:16:40.000+00:00",
        "started": None,
        "finished": None,
        "owner": "",
        "attempt": 0,
    }
    assert iso(None) is None


def test_the_order_of_the_videos_is_kept(add, stored):
    ids = [stored(b"b"), stored(b"a"), stored(b"b")]
    assert list(add(file_ids=ids).file_ids) == ids


def test_a_file_that_is_not_there_is_refused_and_nothing_is_written(records, add):
    with pytest.raises(NotFound, match="Upload it first") as refused:
        add(file_ids=["0" * 40])
    assert refused.value.reason == "unknown-file"
    assert records.page() == []


def test_the_same_idempotency_key_gives_the_same_analysis(records, add):
    first = add(idempotency_key="k")
    assert add(idempotency_key="k").analysis_id == first.analysis_id
    assert len(records.page()) == 1


def test_an_idempotency_key_for_a_different_request_is_refused(add):
    add(idempotency_key="k")
    with pytest.raises(Conflict) as refused:
        add(idempotency_key="k", parameters={"time": 2})
    assert refused.value.reason == "idempotency-key-reused"


def test_one_idempotency_key_from_many_threads_makes_one_analysis(records):
    request = Request("sleep", {"time": 1}, idempotency_key="k")
    made: list[str] = []
    threads = [
        threading.Thread(target=lambda: made.append(records.create(request, 1000).analysis_id)) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 8
    assert len(set(made)) == 1


def test_the_same_request_is_answered_with_the_earlier_result(records, add, stored):
    add(request_key="r")
    done = records.claim("me", 2000, 30)
    output = stored(b"rows", origin=done.analysis_id)
    records.succeed(done.analysis_id, "me", 2001, {"csv_file": output}, [output])
    again = add(request_key="r")
    assert (again.state, again.result) == (State.SUCCEEDED, {"csv_file": output})
    assert records.outputs(again.analysis_id) == [output]
    assert records.succeeded("r").result == {"csv_file": output}
    assert records.create(Request("sleep", {"time": 1}, request_key="r"), 3000, reuse=False).state is State.QUEUED


def test_a_result_whose_file_is_gone_is_not_given_again(records, add, stored, files):
    add(request_key="r")
    done = records.claim("me", 2000, 30)
    output = stored(b"rows", origin=done.analysis_id)
    records.succeed(done.analysis_id, "me", 2001, {"csv_file": output}, [output])
    files.delete(output)
    assert add(request_key="r").state is State.QUEUED
    assert records.succeeded("r") is None


@pytest.mark.parametrize("end", ["fail", "cancelled"])
def test_what_did_not_succeed_is_not_given_again(records, add, end):
    add(request_key="r")
    done = records.claim("me", 2000, 30)
    getattr(records, end)(done.analysis_id, "me", 2001, *([ERROR] if end == "fail" else []))
    assert add(request_key="r").state is State.QUEUED


# -- looked at ---------------------------------------------------------------------------------------------------------


def test_the_first_characters_will_do(records, add):
    record = add()
    assert records.find(record.analysis_id[:8].upper()).analysis_id == record.analysis_id


@pytest.mark.parametrize("prefix", ["", "%", "_", "..", "g", "zz", "a" * 41, "0x12", "'", "é"])
def test_what_is_no_id_is_unknown(records, add, prefix):
    add()
    with pytest.raises(NotFound) as refused:
        records.find(prefix)
    assert refused.value.reason == "unknown-analysis-id"


def test_an_ambiguous_prefix_names_the_matches(records, add):
    ids = [add().analysis_id for _ in range(17)]  # two of them begin alike
    first = next(character for character in "0123456789abcdef" if sum(each[0] == character for each in ids) > 1)
    with pytest.raises(Ambiguous) as refused:
        records.find(first)
    assert set(refused.value.fields["matches"]) <= {each for each in ids if each[0] == first}
    assert len(refused.value.fields["matches"]) > 1


def test_pages_are_newest_first_and_meet(records, add):
    ids = [add().analysis_id for _ in range(5)][::-1]
    first = records.page(2)
    second = records.page(2, after=first[-1].analysis_id)
    third = records.page(2, after=second[-1].analysis_id)
    assert [record.analysis_id for page in (first, second, third) for record in page] == ids
    assert records.page(2, after=third[-1].analysis_id) == []


def test_positions_count_the_queued_only(records, add):
    for _ in range(4):
        add()
    records.claim("me", 2000, 30)
    middle = records.page(2, after=records.page(1)[0].analysis_id)
    assert [record.position for record in records.page()] == [3, 2, 1, None]
    assert [record.position for record in middle] == [2, 1]
    assert records.count() == {"queued": 3, "running": 1}


def test_the_next_in_the_queue_is_the_oldest(records, add):
    assert records.next_queued() is None
    first, _ = add(), add()
    assert records.next_queued() == first


# -- worked on ---------------------------------------------------------------------------------------------------------


def test_the_oldest_is_claimed_first(records, add):
    first, second = add(), add()
    claimed = records.claim("me", 2000, 30)
    assert (claimed.analysis_id, claimed.state, claimed.worker) == (first.analysis_id, State.RUNNING, "me")
    assert (claimed.started, claimed.attempt) == (2000, 1)
    assert records.claim("you", 2000, 30).analysis_id == second.analysis_id
    assert records.claim("me", 2000, 30) is None


def _claim_all(url: str, name: str, claimed) -> None:
    records = Records(Database(url))
    while record := records.claim(name, 2000, 30):
        claimed.put((name, record.analysis_id))
    claimed.put((name, None))


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_no_analysis_is_claimed_twice(settings, records, add, kind):
    ids = [add().analysis_id for _ in range(40)]
    context = multiprocessing.get_context("spawn")
    claimed = context.Queue()
    start = threading.Thread if kind == "threads" else context.Process
    url = database_url(settings.root, "")
    claimers = [start(target=_claim_all, args=(url, f"worker-{number}", claimed)) for number in range(3)]
    for claimer in claimers:
        claimer.start()
    got, left = [], len(claimers)
    while left:
        _, analysis_id = claimed.get(timeout=60)
        left -= analysis_id is None
        got += [analysis_id] if analysis_id else []
    for claimer in claimers:
        claimer.join()
    assert sorted(got) == sorted(ids)


def test_a_heartbeat_renews_the_lease_and_writes_the_progress(records, claimed):
    assert records.heartbeat(claimed.analysis_id, "me", 2020, 30, {"done": 1}) is False
    assert records.recover(2049, 3, ERROR) == []
    assert records.find(claimed.analysis_id).progress == {"done": 1}
    assert records.heartbeat(claimed.analysis_id, "me", 2021, 30) is False
    assert records.find(claimed.analysis_id).progress == {"done": 1}


def test_a_heartbeat_hears_of_a_cancel_and_of_a_loss(records, claimed):
    assert records.asked_to_cancel(claimed.analysis_id, "me") is False
    records.cancel(claimed.analysis_id, 2001)
    assert records.heartbeat(claimed.analysis_id, "me", 2002, 30) is True
    assert records.asked_to_cancel(claimed.analysis_id, "me") is True
    assert records.heartbeat(claimed.analysis_id, "you", 2002, 30) is None
    assert records.asked_to_cancel(claimed.analysis_id, "you") is None


def test_success_is_written_once(records, claimed, stored):
    output = stored(b"rows", origin=claimed.analysis_id)
    assert records.succeed(claimed.analysis_id, "me", 2005, {"csv_file": output}, [output])
    done = records.find(claimed.analysis_id)
    assert (done.state, done.finished, done.result, done.worker) == (
        State.SUCCEEDED,
        2005,
        {"csv_file": output},
        None,
    )
    assert not records.succeed(claimed.analysis_id, "me", 2006, {}, [])
    assert not records.fail(claimed.analysis_id, "me", 2006, ERROR)
    assert records.find(claimed.analysis_id) == done


def test_failure_keeps_the_reason(records, claimed):
    assert records.fail(claimed.analysis_id, "me", 2005, ERROR)
    done = records.find(claimed.analysis_id)
    assert (done.state, done.error, done.finished) == (State.FAILED, ERROR, 2005)


@pytest.mark.parametrize(
    "transition",
    [
        lambda records, each: records.succeed(each, "you", 2005, {}, []),
        lambda records, each: records.fail(each, "you", 2005, ERROR),
        lambda records, each: records.cancelled(each, "you", 2005),
        lambda records, each: records.release(each, "you"),
        lambda records, each: records.retry(each, "you", 2005, 3, ERROR),
    ],
)
def test_nobody_else_can_touch_a_running_analysis(records, claimed, transition):
    before = records.find(claimed.analysis_id)
    assert not transition(records, claimed.analysis_id)
    assert records.find(claimed.analysis_id) == before


PROGRESS = {"done": 600, "total": 1000, "unit": "frames", "rate": 24.0, "eta": 16.7}


def test_given_back_no_attempt_is_lost_and_it_is_known_how_far_it_came(records, claimed):
    records.heartbeat(claimed.analysis_id, "me", 2001, 30, PROGRESS)
    assert records.release(claimed.analysis_id, "me")
    back = records.find(claimed.analysis_id)
    assert (back.state, back.attempt, back.position) == (State.QUEUED, 0, 1)
    assert (back.worker, back.started) == (None, None)
    assert back.as_json()["progress"] == {**PROGRESS, "rate": None, "eta": None}  # nothing goes on


@pytest.mark.parametrize("again", ["release", "retry", "recover"])
def test_how_far_the_attempt_before_came_stands_until_the_next_one_tells_its_own(records, claimed, again):
    each = claimed.analysis_id
    records.heartbeat(each, "me", 2001, 30, PROGRESS)
    if again == "release":
        records.release(each, "me")
    elif again == "retry":
        records.retry(each, "me", 2002, 3, ERROR)
    else:
        records.recover(2040, 3, ERROR)
    assert records.find(each).as_json()["progress"]["done"] == 600
    assert records.claim("you", 2041, 30).progress == {**PROGRESS, "rate": None, "eta": None}
    records.heartbeat(each, "you", 2042, 30, PROGRESS | {"done": 598})
    assert records.find(each).as_json()["progress"] == PROGRESS | {"done": 598}


def test_tried_again_it_counts_and_fails_in_the_end(records, claimed):
    each = claimed.analysis_id
    assert records.retry(each, "me", 2001, 2, ERROR) is State.QUEUED
    assert records.claim("me", 2002, 30).attempt == 2
    assert records.retry(each, "me", 2003, 2, ERROR) is State.FAILED
    assert records.find(each).error == ERROR


def test_a_killed_analysis_that_was_to_be_cancelled_is_not_tried_again(records, claimed):
    records.cancel(claimed.analysis_id, 2001)
    assert records.retry(claimed.analysis_id, "me", 2002, 3, ERROR) is State.CANCELLED


def test_an_analysis_whose_lease_has_run_out_is_queued_again(records, claimed):
    assert records.recover(2030, 3, ERROR) == []
    (lost,) = records.recover(2031, 3, ERROR)
    assert (lost.analysis_id, lost.worker, lost.state) == (claimed.analysis_id, "me", State.RUNNING)
    assert records.find(claimed.analysis_id).state is State.QUEUED
    assert records.recover(2031, 3, ERROR) == []


def test_the_analyses_of_dead_workers_are_taken_back_at_once(records, add):
    names = ["host_1/a/1", "host_1/b/1", "hostx1/a/1"]
    ids = {name: add() and records.claim(name, 2000, 30).analysis_id for name in names}
    assert [each.analysis_id for each in records.recover(2001, 3, ERROR, "host_1/a/")] == [ids["host_1/a/1"]]
    assert [records.find(ids[name]).state for name in names] == [State.QUEUED, State.RUNNING, State.RUNNING]


# -- given up ----------------------------------------------------------------------------------------------------------


def test_a_queued_analysis_is_cancelled_at_once(records, add):
    record = add()
    assert records.cancel(record.analysis_id, 2000) is State.CANCELLED
    assert records.find(record.analysis_id).finished == 2000
    assert records.claim("me", 2001, 30) is None


def test_a_running_analysis_is_cancelled_by_its_worker(records, claimed):
    assert records.cancel(claimed.analysis_id, 2001) is State.RUNNING
    assert records.find(claimed.analysis_id).cancel_requested
    assert records.cancelled(claimed.analysis_id, "me", 2002)
    assert records.find(claimed.analysis_id).state is State.CANCELLED


@pytest.mark.parametrize("end", ["succeed", "fail", "cancel"])
def test_what_has_finished_cannot_be_cancelled(records, claimed, end):
    match end:
        case "succeed":
            records.succeed(claimed.analysis_id, "me", 2001, {}, [])
        case "fail":
            records.fail(claimed.analysis_id, "me", 2001, ERROR)
        case "cancel":
            records.cancelled(claimed.analysis_id, "me", 2001)
    with pytest.raises(Conflict) as refused:
        records.cancel(claimed.analysis_id, 2002)
    assert refused.value.reason == "already-finished"


def test_cancelling_and_deleting_the_unknown(records):
    for call in (lambda: records.cancel("0" * 40, 1), lambda: records.delete("0" * 40)):
        with pytest.raises(NotFound):
            call()


def test_an_active_analysis_is_not_deleted(records, add):
    record = add()
    for _ in range(2):
        with pytest.raises(Conflict) as refused:
            records.delete(record.analysis_id)
        assert refused.value.reason == "analysis-active"
        records.claim("me", 2000, 30)


def test_deletion_names_the_files_that_nothing_else_uses(records, add, stored):
    video = stored(b"video")
    add(file_ids=[video], request_key="r")
    done = records.claim("me", 2000, 30)
    mine, shared, uploaded = stored(b"1", origin=done.analysis_id), stored(b"2", origin=done.analysis_id), stored(b"3")
    records.succeed(done.analysis_id, "me", 2001, {}, [mine, shared, uploaded])
    add(file_ids=[shared])
    assert records.delete(done.analysis_id) == [mine]
    with pytest.raises(NotFound):
        records.find(done.analysis_id)


def test_a_result_that_was_given_again_keeps_its_files(records, add, stored):
    add(request_key="r")
    done = records.claim("me", 2000, 30)
    output = stored(b"rows", origin=done.analysis_id)
    records.succeed(done.analysis_id, "me", 2001, {}, [output])
    again = add(request_key="r")
    assert records.delete(done.analysis_id) == []
    assert records.delete(again.analysis_id) == [output]


def test_a_failed_transaction_changes_nothing(database, add):
    record = add()

    def half() -> None:
        with database.write() as connection:
            connection.execute(analyses.update().values(state="failed"))
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        half()
    with database.read() as connection:
        assert connection.scalar(sa.select(analyses.c.state)) == record.state
