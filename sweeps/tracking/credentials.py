"""User and password of a tracking server: handed on by the environment, and kept out of every message."""

import base64
import os

from resnet_tl.address import Address, without_secrets

USER, PASSWORD, TOKEN = "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN"
"""Where MLflow's client looks; in an address it would print and store them."""


def hand_over(address: Address | None) -> None:
    """Puts user and password of a server's address where MLflow's client looks. For entry points alone."""
    if address is None or not address.is_http:
        return
    if address.user:
        os.environ[USER] = address.user
    if address.password:
        os.environ[PASSWORD] = address.password


def one_line(error: BaseException) -> str:
    """What a tracker's error says, in one line and without any secret."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = lines[0] if lines else type(error).__name__
    user, password, token = (os.environ.get(name, "") for name in (USER, PASSWORD, TOKEN))
    header = base64.b64encode(f"{user}:{password}".encode()).decode()
    return without_secrets(told, (user, password, token, header)).rstrip(".")
