"""`trial.backbone=resnet10`: a ResNet with one block in each layer, for small images and quick answers."""

from resnet_tl.architecture import Architecture

RESNET10 = Architecture(num_blocks=(1, 1, 1, 1), expansion=1)
