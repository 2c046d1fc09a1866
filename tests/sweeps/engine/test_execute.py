import os
import signal
import time

import pytest

from sweeps.engine.execute import LocalExecutor, WorkerDied, answer


def own_pid(pause_s: float) -> int:
    time.sleep(pause_s)
    return os.getpid()


def test_a_pool_outlives_the_death_of_its_workers_at_any_moment() -> None:
    executor = LocalExecutor(2)
    try:
        for _ in range(3):
            # both die at once, idle or at work, which the library below takes for the end of the pool
            pids = [executor.submit(own_pid, 1.0) for _ in range(2)]
            workers = {answer(future) for future in pids}
            busy = [executor.submit(own_pid, 30.0) for _ in range(2)]
            time.sleep(0.3)
            for pid in workers:
                os.kill(pid, signal.SIGKILL)
            for future in busy:
                with pytest.raises(WorkerDied):
                    answer(future)
            assert answer(executor.submit(own_pid, 0.0)) not in workers
    finally:
        executor.stop()
