"""Plans, runs, remembers and reports hyperparameter studies of `resnet_tl` fine-tuning runs.

    conf/*.yaml -> definition (what a study is) -> engine (making it happen) -> ledger (what is known)
    ledger -> reporting (what it says)

Imports go one way: run -> engine -> definition, ledger -> resnet_tl; reporting -> ledger only.
"""
