"""Plans, runs, remembers and reports hyperparameter studies of `resnet_tl` fine-tuning runs.

    conf/*.yaml -> definition (what is asked for) -> planning (what is to be done) -> engine (making it happen)
    engine -> execution (workers), storage (what is known), tracking (what is shown to others)
    storage -> reporting (what it says), by way of statistics

Imports go downwards only; docs/architecture.md has the map.
"""
