"""Patch sets: squares cut out of images around marked regions; made by `python -m resnet_tl.patches`."""
