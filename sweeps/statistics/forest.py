"""A random forest over the trials of a study, fitted in a process of its own while a report goes on.

scikit-learn takes as long to be loaded as many reports take to be made. This file is that process's program too,
and therefore imports nothing of this project.

Axes: D parameters, G values of one of them, T trials.
"""

import contextlib
import json
import subprocess
import sys

import numpy as np
from numpy.typing import NDArray

NUM_TREES = 64
MOST_CODES = 32
"""Values of a parameter at which the forest is asked; between them it is interpolated."""


class Forest:
    """A forest that is being fitted."""

    def __init__(self, inputs_TD: NDArray[np.float64], means_T: NDArray[np.float64]) -> None:
        # -P: the folder of this file holds modules whose names others use too
        self._process = subprocess.Popen(
            [sys.executable, "-P", __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError), self._process.stdin as sent:  # it has ended: `of_parameter` says so
            json.dump([inputs_TD.tolist(), means_T.tolist()], sent)
        self._process.stdin = None  # so that `communicate` does not flush what is closed

    def of_parameter(self) -> list[float]:
        """Waits for it: what each parameter explains alone, as a share of the variance of the forest, [D].

        Raises:
            RuntimeError: the process ended with an error.
        """
        found, error = self._process.communicate()
        if self._process.returncode:
            raise RuntimeError(f"The forest of importances ended with {self._process.returncode}:\n{error}")
        told: list[float] = json.loads(found)
        return told


def _of_parameter(inputs_TD: NDArray[np.float64], means_T: NDArray[np.float64]) -> list[float]:
    """The variance of the forest's mean prediction when a parameter takes each of its values and the others stay."""
    from sklearn.ensemble import RandomForestRegressor

    forest = RandomForestRegressor(n_estimators=NUM_TREES, random_state=0).fit(inputs_TD, means_T)
    total = float(forest.predict(inputs_TD).var())
    found = []
    for column, codes_T in enumerate(inputs_TD.T):
        codes_G = np.unique(codes_T)
        if len(codes_G) > MOST_CODES:
            codes_G = np.quantile(codes_T, np.linspace(0, 1, MOST_CODES))
        changed_GTD = np.repeat(inputs_TD[None], len(codes_G), axis=0)
        changed_GTD[:, :, column] = codes_G[:, None]
        mean_G = forest.predict(changed_GTD.reshape(-1, inputs_TD.shape[1])).reshape(len(codes_G), -1).mean(1)
        found.append(float(np.interp(codes_T, codes_G, mean_G).var()) / total if total else 0.0)
    return found


if __name__ == "__main__":
    inputs, means = json.load(sys.stdin)
    json.dump(_of_parameter(np.array(inputs), np.array(means)), sys.stdout)
