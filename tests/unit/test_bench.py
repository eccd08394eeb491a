"""What the benchmark concludes from what it saw."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from bench.asides import ASIDES
from bench.clocks import Core, Process, Reading, disturbance
from bench.load import Counts, LoadFailed, Request
from bench.machine import Machine, Revision
from bench.peers.alone import work
from bench.report import Figure, Report, figure, promises
from bench.rows import BOOK_100, ROWS, Row, Target
from bench.run import Measured, Round, Settings, Slice, handled_requests, measure_until_clean
from bench.servers import SERVERS

SECOND = 1_000_000_000
SERVER, OTHER, KERNEL = 10, 20, 30


def reading(
    at_ns: int, *, server: int, other: int, kernel: int, idle: tuple[float, float], stolen: float
) -> Reading:
    return Reading(
        at_ns=at_ns,
        processes={
            SERVER: Process(server, 0, is_kernel=False),
            OTHER: Process(other, 1, is_kernel=False),
            KERNEL: Process(kernel, 1, is_kernel=True),
        },
        cores={0: Core(idle[0], stolen), 1: Core(idle[1], 0), 2: Core(0, 0)},
    )


BEFORE = reading(0, server=5 * SECOND, other=0, kernel=0, idle=(7, 7), stolen=0)
# Ten seconds later: nine of the server on one core, four of the load generator on the other.
QUIET = reading(10 * SECOND, server=14 * SECOND, other=0, kernel=0, idle=(8, 13), stolen=0)
OURS = {SERVER: 9 * SECOND, -1: 4 * SECOND}


def disturbed_by(after: Reading) -> str | None:
    return disturbance(BEFORE, after, cores={0, 1}, ours=OURS)


def test_a_quiet_slice_is_not_disturbed() -> None:
    assert disturbed_by(QUIET) is None


def test_other_processes_disturb() -> None:
    busy = Process(SECOND, 1, is_kernel=False)
    after = replace(QUIET, processes={**QUIET.processes, OTHER: busy})
    assert disturbed_by(after) == "other processes took 10% of a core"


def test_a_process_that_began_meanwhile_disturbs() -> None:
    after = replace(QUIET, processes={**QUIET.processes, 40: Process(SECOND, 0, is_kernel=False)})
    assert disturbed_by(after) == "other processes took 10% of a core"


def test_another_core_is_of_no_concern() -> None:
    after = replace(QUIET, processes={**QUIET.processes, 40: Process(SECOND, 2, is_kernel=False)})
    assert disturbed_by(after) is None


def test_the_kernel_syncs_our_files() -> None:
    busy = Process(SECOND, 1, is_kernel=True)
    after = replace(QUIET, processes={**QUIET.processes, KERNEL: busy})
    assert disturbed_by(after) is None


def test_steal_disturbs() -> None:
    after = replace(QUIET, cores={**QUIET.cores, 0: Core(8, 0.5)})
    assert disturbed_by(after) == "the hypervisor took 5% of a core"


def test_what_came_and_went_disturbs() -> None:
    after = replace(QUIET, cores={**QUIET.cores, 1: Core(10, 0)})
    assert disturbed_by(after) == "something short-lived took 30% of a core"


def a_slice(cpu_us: float = 20, disturbed_by: str | None = None) -> Slice:
    return Slice(
        answers=1000,
        requests_per_second=500,
        cpu_us_per_request=cpu_us,
        p50_ms=1,
        p99_ms=2,
        load_share=0.5,
        disturbed_by=disturbed_by,
    )


CLEAN = Round(subject=a_slice(30), yardstick=a_slice())
DISTURBED = Round(subject=a_slice(90), yardstick=a_slice(disturbed_by="a neighbour"))
SETTINGS = Settings(
    rounds=2,
    most_rounds=4,
    seconds=1,
    patience=0,
    warm_up=False,
    server_core=0,
    load_core=1,
)


def measured(*rounds: Round) -> Measured:
    upcoming = iter(rounds)
    return measure_until_clean(ROWS[0], lambda: next(upcoming), SETTINGS, lambda _: None)


def test_disturbed_rounds_are_taken_again_and_do_not_count() -> None:
    found = measured(CLEAN, DISTURBED, CLEAN, CLEAN)
    assert found.rounds == [CLEAN, DISTURBED, CLEAN]
    assert found.kept == [CLEAN, CLEAN]


def test_a_restless_machine_gets_no_further_rounds() -> None:
    assert measured(*3 * [DISTURBED], CLEAN, CLEAN).kept == [CLEAN]


def test_where_all_are_disturbed_all_count() -> None:
    found = measured(*4 * [DISTURBED])
    assert found.kept == 4 * [DISTURBED]
    assert not found.is_clean


MACHINE = Machine(
    processor="a processor",
    cores=2,
    memory_gib=8,
    virtualized=False,
    kernel="a kernel",
    python="a Python",
    packages={},
    sqlite="3",
    wrk="4",
    file_system="ext4",
    sync_us=200,
    wakeful=True,
    load_average=0,
)
COUNTS = Counts(answers=10, microseconds=1, p50_us=1, p99_us=1, max_us=1, cpu_ns=1)
BATCHES = Row(title="batches", request=BOOK_100, connections=2, yardstick="hello")


def test_what_was_under_way_at_the_end_counts_as_handled() -> None:
    assert handled_requests(BATCHES, COUNTS, booked=1150) == 11.5


@pytest.mark.parametrize("booked", [999, 1201])
def test_acknowledged_and_booked_must_agree(booked: int) -> None:
    """Ten batches of 100, with two more under way at most."""
    with pytest.raises(LoadFailed, match="1000 events were acknowledged"):
        handled_requests(BATCHES, COUNTS, booked=booked)


def test_a_figure_is_the_median_with_its_middle_half() -> None:
    assert figure([5, 1, 4, 2, 3]) == Figure(median=3, low=2, high=4)
    assert figure([7]) == Figure(median=7, low=7, high=7)


def test_bodies_leave_room_for_ids() -> None:
    event = '{"id":"ID","credits":1}'
    single = Request(path="/", event=event, events=1)
    batch = Request(path="/", event=event, events=2, is_batch=True)
    atomic = replace(batch, is_atomic=True)
    booked = '{"id":"x-############","credits":1}'
    assert single.body("x-") == booked
    assert batch.body("x-") == f'{{"events":[{booked},{booked}]}}'
    assert atomic.body("x-") == f'{{"events":[{booked},{booked}],"atomic":true}}'


def test_every_row_names_servers_that_there_are() -> None:
    assert {name for row in ROWS for name in (row.subject, row.yardstick)} <= set(SERVERS)


def test_what_is_promised_and_not_measured_is_told() -> None:
    """By every row with a target, whatever a run has left out."""
    found = Report(
        taken_at=datetime(2026, 11, 22, tzinfo=UTC),
        is_quick=False,
        machine=MACHINE,
        revision=Revision(commit="c0ffee", is_changed=False),
        settings=SETTINGS,
        measured=[Measured(row=row, rounds=[CLEAN]) for row in ROWS if not row.is_long],
    )
    lines = list(promises(found))
    for row in ROWS:
        [*told] = (line for line in lines if line.startswith(f"| {row.title} |"))
        assert len(told) >= (row.target is not None)
        assert not row.target or ("takes `--long`" in told[-1]) == row.is_long
    for aside in ASIDES:
        assert f"| {aside.title} |  |  | {aside.promised} |  | not measured: left out |" in lines


def test_a_cost_has_an_upper_bound_and_a_rate_a_lower_one() -> None:
    cost = Target(figure="cpu_us_per_request", bound=0.5)
    rate = Target(figure="requests_per_second", bound=10)
    assert [cost.is_met(ratio) for ratio in (0.4, 0.5, 0.6)] == [True, True, False]
    assert [rate.is_met(ratio) for ratio in (9, 10, 11)] == [False, True, True]


def test_who_works_alone_is_timed_by_what_it_says() -> None:
    """Steps of a fifth of a second each, whatever the clock on the wall says."""
    told = work(iter([200_000_000] * 5).__next__, seconds=1)
    assert told["answers"] == 5
    assert told["microseconds"] == 1_000_000
    assert told["p50_us"] == 200_000
