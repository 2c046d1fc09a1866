"""The network: a torchvision ResNet backbone, its starting weights, a head, and what of it is frozen."""
