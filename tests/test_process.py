"""The process wrapper: what comes back, what an error says, and what is left running."""

import os
import pathlib
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from infra import process
from network import errors


def alive(pid: int) -> bool:
    """Return whether ``pid`` still runs; a zombie waiting for its parent does not."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until_dead(pid: int) -> None:
    deadline = time.monotonic() + 5
    while alive(pid):
        assert time.monotonic() < deadline, f"process {pid} is still running"
        time.sleep(0.01)


def test_returns_stdout_only() -> None:
    assert process.run("sh", "-c", "echo 組合; echo noise >&2") == "組合\n"


def test_arguments_are_not_read_by_a_shell() -> None:
    assert process.run("echo", "$HOME; `id` *") == "$HOME; `id` *\n"


def test_stdin_is_handed_over_and_empty_by_default() -> None:
    assert process.run("cat", stdin="secret") == "secret"
    assert process.run("cat") == ""


def test_environment_is_laid_over_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUMIAI_TEST_OURS", "ours")
    script = 'echo "$KUMIAI_TEST_OURS $KUMIAI_TEST_THEIRS"'
    assert process.run("sh", "-c", script, env={"KUMIAI_TEST_THEIRS": "theirs"}) == "ours theirs\n"


def test_runs_in_the_given_directory(tmp_path: pathlib.Path) -> None:
    assert process.run("pwd", "-P", cwd=tmp_path).strip() == str(tmp_path.resolve())


def test_failure_names_command_status_and_reason() -> None:
    with pytest.raises(process.CommandError) as caught:
        process.run("sh", "-c", "echo pool is full >&2; exit 7")
    assert isinstance(caught.value, errors.OperationError)
    assert caught.value.exit_code == 1
    assert caught.value.argv == ("sh", "-c", "echo pool is full >&2; exit 7")
    assert caught.value.returncode == 7
    assert str(caught.value) == "sh -c 'echo pool is full >&2; exit 7': exit status 7\n  pool is full"


def test_a_long_stderr_is_cut_to_its_end() -> None:
    with pytest.raises(process.CommandError) as caught:
        process.run("sh", "-c", "seq 1000 >&2; exit 1")
    assert str(caught.value).splitlines()[1:] == [f"  {n}" for n in range(981, 1001)]
    assert caught.value.stderr.startswith("1\n"), "the whole text stays at hand"


def test_redacted_words_do_not_reach_the_error() -> None:
    with pytest.raises(process.CommandError) as caught:
        process.run("sh", "-c", "echo bad key pa55word >&2; exit 1", "pa55", redact=["pa55", "pa55word", ""])
    error = caught.value
    assert "pa55" not in f"{error} {error.argv} {error.stderr}"
    assert "bad key ***" in error.stderr


def test_missing_program_and_missing_directory_are_told_apart(tmp_path: pathlib.Path) -> None:
    with pytest.raises(process.CommandError, match=r"^no-such-program-of-kumiai: command not found \(127\)"):
        process.run("no-such-program-of-kumiai")
    with pytest.raises(process.CommandError, match=r"no such directory: .*gone"):
        process.run("true", cwd=tmp_path / "gone")


def test_file_that_is_no_program(tmp_path: pathlib.Path) -> None:
    (tmp_path / "data").write_text("data")
    with pytest.raises(process.CommandError) as caught:
        process.run(str(tmp_path / "data"))
    assert caught.value.returncode == process.NOT_EXECUTABLE
    assert "Permission denied" in str(caught.value)


def test_timeout_ends_the_program_and_its_children(tmp_path: pathlib.Path) -> None:
    pids = tmp_path / "pids"
    started = time.monotonic()
    with pytest.raises(process.CommandError, match=r"timed out \(124\)\n  no answer in 0\.5 s") as caught:
        process.run("sh", "-c", f"sleep 60 & echo $! > {pids}; echo $$ >> {pids}; wait", timeout_s=0.5)
    assert time.monotonic() - started < 10
    assert caught.value.returncode == process.TIMED_OUT
    child, parent = (int(p) for p in pids.read_text().split())
    wait_until_dead(parent)
    wait_until_dead(child)


@pytest.fixture
def _interruptible() -> Iterator[None]:
    """Ctrl-C as a person's shell sets it: a shell that runs the tests in the background has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_interruptible")
def test_interrupt_ends_the_program(tmp_path: pathlib.Path) -> None:
    ready = tmp_path / "ready"
    os.mkfifo(ready)

    def interrupt_when_ready() -> None:
        ready.read_text()  # returns as soon as the program has opened and closed the pipe
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    helper = threading.Thread(target=interrupt_when_ready)
    helper.start()
    pid = tmp_path / "pid"
    with pytest.raises(KeyboardInterrupt):
        # cat ends when its input is closed: by then the wrapper waits for the program.
        process.run("sh", "-c", f"cat; echo $$ > {pid}; : > {ready}; exec sleep 60", stdin="go on")
    helper.join()
    wait_until_dead(int(pid.read_text()))


def test_probe_returns_failure_instead_of_raising() -> None:
    done = process.probe("sh", "-c", "echo no; exit 3")
    assert (done.ok, done.returncode, done.stdout) == (False, 3, "no\n")
    assert process.probe("true").ok
    assert process.probe("no-such-program-of-kumiai").returncode == process.NOT_FOUND


def test_program_ended_by_a_signal() -> None:
    with pytest.raises(process.CommandError, match="ended by signal 9"):
        process.run("sh", "-c", "kill -9 $$")


def test_broken_utf8_is_no_reason_to_fail() -> None:
    assert process.run("printf", r"\377ok") == "�ok"
