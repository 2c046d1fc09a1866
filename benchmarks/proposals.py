"""How long the sampler of a bayes study takes for a proposal, as the study grows; prints one JSON object.

python -m benchmarks.proposals [2000]
"""

import json
import math
import statistics
import sys
import time

from sweeps.definition.compose import compose
from sweeps.definition.space import Params
from sweeps.planning.sampler import Sampler
from sweeps.records import ASK_AHEAD, Result, TrialRecord

WORDS = [
    "study=quickstart", "study.method=bayes", "study.seeds=[0]", "study.tables=[summary]", "study.confirm=null",
    "study.hypotheses=[]", "study.figures=[]", "~trial.head",
    "study.space={lr: {distribution: log_uniform_values, min: 1e-5, max: 0.1}, weight_decay: {min: 0.0, max: 0.1}, "
    "head: {values: [linear, mlp_relu, mlp_leaky_dropout]}, label_smoothing: {min: 0.0, max: 0.3}}",
]  # fmt: skip


def main() -> None:
    """Asks for as many trials as are wanted, each scored by a formula."""
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    made = compose([*WORDS, f"study.trials={wanted}"])
    sampler, results, taken, spent_s = Sampler(made.study, made.space), list[Result](), set[str](), list[float]()
    for number in range(wanted):
        begun = time.perf_counter()
        params = sampler.propose(number, results[: max(0, number + 1 - ASK_AHEAD)], taken, repr).params
        spent_s.append(time.perf_counter() - begun)
        assert params is not None
        taken.add(repr(params))
        trial = TrialRecord(number=number, params=params, config=made.trial(params), fingerprint=repr(params))
        results.append(Result(trial=trial, value=_score(params)))
    last = spent_s[-100:]
    print(
        json.dumps(
            {
                "trials": wanted,
                "median of the first 100, ms": round(1000 * statistics.median(spent_s[:100]), 1),
                "median of the last 100, ms": round(1000 * statistics.median(last), 1),
                "longest of the last 100, ms": round(1000 * max(last), 1),
            }
        )
    )


def _score(params: Params) -> float:
    return math.exp(-((math.log10(params["lr"]) + 3) ** 2)) - params["label_smoothing"] ** 2


if __name__ == "__main__":
    main()
