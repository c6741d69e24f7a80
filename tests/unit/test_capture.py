"""What a step prints goes to the step's log, and to no other's."""

import io
import sys
import threading
from pathlib import Path

from loopwright.pipeline.capture import Router, StepLog, logged_to, routed


def test_what_is_printed_within_goes_to_the_log_and_outside_to_the_stream(tmp_path: Path) -> None:
    original = io.StringIO()
    streams = sys.stdout, sys.stderr
    sys.stdout = original
    try:
        with routed():
            print("before")
            with logged_to(tmp_path / "deep" / "load.log"):
                print("within", end="")
                print(" and this", file=sys.stderr)
            print("after")
    finally:
        sys.stdout = streams[0]
    assert (sys.stdout, sys.stderr) == streams
    assert original.getvalue() == "before\nafter\n"
    assert (tmp_path / "deep" / "load.log").read_text() == "within and this\n"


def test_threads_write_to_the_logs_of_their_own_steps(tmp_path: Path) -> None:
    meeting = threading.Barrier(3, timeout=20)

    def work(name: str) -> None:
        with logged_to(tmp_path / name):
            for number in range(50):
                meeting.wait()
                print(f"{name} {number}")

    with routed():
        threads = [threading.Thread(target=work, args=(name,)) for name in "abc"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for name in "abc":
        assert (tmp_path / name).read_text().splitlines() == [f"{name} {number}" for number in range(50)]


def test_a_step_that_prints_nothing_makes_no_file(tmp_path: Path) -> None:
    with routed(), logged_to(tmp_path / "none.log"):
        pass
    assert not (tmp_path / "none.log").exists()


def test_a_log_can_be_read_while_it_is_written_and_goes_on_where_it_was(tmp_path: Path) -> None:
    log = StepLog(tmp_path / "load.log")
    log.write("first\n")
    assert log.path.read_text() == "first\n"
    log.close()
    log.write("second \udcff\n")
    log.close()
    assert log.path.read_text() == "first\nsecond \\udcff\n"


def test_a_router_can_do_what_its_stream_can(tmp_path: Path) -> None:
    with (tmp_path / "out").open("w") as stream:
        router = Router(stream)
        assert router.writable()
        assert router.fileno() == stream.fileno()
        assert router.buffer is stream.buffer
        assert not router.isatty()
        router.flush()
