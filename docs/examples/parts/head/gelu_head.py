"""`trial.head=gelu`: a hidden layer with the activation of transformers (Hendrycks and Gimpel 2016)."""

from resnet_tl.head_spec import HeadSpec

HEAD = HeadSpec(width=128, activation="gelu_head:gelu", dropout=0.1)


def gelu(values):
    """Any elementwise function of torch; its gradient is torch's own."""
    import torch  # here, since planning reads this module and must not wait for torch

    return torch.nn.functional.gelu(values)
