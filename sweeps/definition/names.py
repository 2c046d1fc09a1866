"""What other programs call our options, so that a name from elsewhere finds the right one."""

import re
from collections.abc import Iterable

from resnet_tl.config import DataConfig, TrialConfig
from resnet_tl.option_text import nearest
from sweeps.study_trial import PARAMETERS, SHOWN

_ALIKE = {
    "trial.backbone": "arch architecture model model_name model_type model_arch net network backbone_name base_model "
    "encoder encoder_name resnet resnet_depth depth timm_model cnn",
    "trial.weights": "pretrained pretrained_weights pretraining use_pretrained is_pretrained imagenet init_weights "
    "weight_init initial_weights checkpoint",
    "trial.head": "classifier head_type classifier_type",
    "trial.head_width": "hidden_size hidden_dim hidden_units hidden_width hidden_layer_size fc_size fc_dim fc_units "
    "dense_units num_hidden n_hidden hidden",
    "trial.head_activation": "activation activation_fn activation_function",
    "trial.dropout": "drop drop_rate dropout_rate dropout_p dropout_prob dropout_probability p_dropout drop_out",
    "trial.freeze": "frozen freeze_backbone freeze_layers frozen_layers freeze_encoder freeze_fraction frozen_fraction "
    "frozen_stages freeze_base",
    "trial.trainable_blocks": "unfreeze unfrozen_blocks unfreeze_blocks num_trainable_blocks unfrozen_layers "
    "trainable_layers layers_to_train last_layers_to_train",
    "trial.optimizer": "optim opt optimiser optimizer_name optim_name optimizer_type solver",
    "trial.lr": "learning_rate learningrate init_lr initial_lr base_lr lr0 start_lr max_lr peak_lr lr_max lr_init "
    "learn_rate head_lr lr_head init_learning_rate initial_learning_rate base_learning_rate alpha eta",
    "trial.momentum": "mom opt_momentum sgd_momentum momentum_sgd",
    "trial.weight_decay": "wd l2 l2_reg l2_regularization l2_regularisation l2_penalty l2_lambda weightdecay "
    "weight_decay_rate reg_lambda regularization",
    "trial.schedule": "scheduler lr_scheduler lr_schedule sched scheduler_name scheduler_type lr_policy "
    "learning_rate_schedule lr_scheduler_type",
    "trial.warmup_epochs": "warmup lr_warmup_epochs num_warmup_epochs warm_up_epochs n_warmup_epochs",
    "trial.backbone_lr_factor": "lr_factor backbone_lr_multiplier backbone_lr_mult backbone_lr_scale lr_mult",
    "trial.criterion": "loss loss_fn loss_function loss_type objective",
    "trial.label_smoothing": "smoothing label_smooth ls labelsmoothing",
    "trial.epochs": "epoch num_epochs n_epochs nb_epochs max_epochs total_epochs training_epochs train_epochs "
    "num_train_epochs no_epochs number_of_epochs",
    "trial.head_epochs": "freeze_epochs frozen_epochs epochs_frozen probe_epochs probing_epochs linear_probe_epochs "
    "linear_probing_epochs lp_epochs head_warmup_epochs head_only_epochs unfreeze_epoch unfreeze_after",
    "trial.batch_size": "bs batch batchsize train_batch_size batch_size_train per_device_train_batch_size "
    "mini_batch_size minibatch_size train_bs",
    "trial.patience": "early_stopping early_stopping_patience early_stop_patience es_patience early_stop",
    "trial.precision": "amp mixed_precision dtype",
    "trial.augment": "aug augmentation augmentations data_augmentation data_aug augmentation_type transforms",
    "data.size": "img_size image_size imgsize imgsz im_size input_size image_resolution resolution img_dim image_dim "
    "resize_size res",
    "data.crop": "crop_size cropsize center_crop random_crop_size",
    "data.root": "data_dir data_path data_root dataset_path dataset_dir root_dir data_folder image_dir train_dir "
    "img_dir root",
    "data.source": "dataset dataset_name data data_set",
    "data.balanced": "class_weights class_weight balance oversample weighted_sampler weighted_loss",
    "data.val_fraction": "val_split validation_split val_size valid_pct val_ratio val_pct valid_size",
    "data.test_fraction": "test_split test_size test_ratio",
    "data.split_seed": "split_random_state",
    "study.seeds": "seed seeds random_seed random_state manual_seed rng_seed torch_seed seed_value",
    "run.workers": "num_workers n_workers workers n_jobs num_jobs",
    "run.device": "device gpu gpus accelerator",
}
SYNONYMS = {name: option for option, names in _ALIKE.items() for name in names.split()}
"""Names of other programs, in small letters and underscores, and the option that means the same."""

ABSENT = {
    "nesterov": "SGD has classical momentum here, and no Nesterov's: did you mean `momentum`?",
    "beta1": "Adam and AdamW have betas 0.9 and 0.999 here; leave it out.",
    "beta2": "Adam and AdamW have betas 0.9 and 0.999 here; leave it out.",
    "betas": "Adam and AdamW have betas 0.9 and 0.999 here; leave it out.",
    "eps": "Adam and AdamW have the epsilon of torch here; leave it out.",
    "warmup_steps": "warmup is counted in epochs here: did you mean `warmup_epochs`?",
    "gamma": "the step schedule divides by ten here; leave it out.",
    **dict.fromkeys(
        ("num_seeds", "n_seeds", "seed_count", "number_of_seeds"),
        "a study has a list of seeds and not their number: did you mean `study.seeds`, such as study.seeds=[0,1,2]?",
    ),
    "num_classes": "the classes are those of the images; leave it out.",
}
"""What other programs have and this one has not, with what to do."""
_OF_PARENT = ("name", "type", "kind", "class", "_target_", "class_path")
"""Last parts that say nothing by themselves: `optimizer.name` is the optimizer."""


def plain(name: object) -> str:
    """A name in small letters and underscores."""
    return re.sub(r"[\s\-]+", "_", str(name).strip().lstrip("-")).lower()


def last_part(name: object) -> str:
    """Of a dotted name the part that says what it is: `model.lr` is `lr`, `optimizer.name` the optimizer."""
    parts = [part for part in re.split(r"[./]", plain(name)) if part]
    if len(parts) > 1 and parts[-1] in _OF_PARENT:
        return parts[-2]
    return parts[-1] if parts else ""


def meant(name: object) -> str | None:
    """The option that a name from elsewhere means, `trial.lr` for `learning-rate`; None where none is known."""
    last = last_part(name)
    if last in TrialConfig.model_fields:
        return f"trial.{last}"
    if last in SYNONYMS:
        return SYNONYMS[last]
    return f"data.{last}" if last in DataConfig.model_fields else None


def hint(name: object, valid: Iterable[str], *, group: str = "trial") -> str:
    """What to write in place of an unknown name, as the end of an error message.

    Args:
        valid: names that may stand there.
        group: to which they belong, `trial` say.
    """
    last = last_part(name)
    if last in ABSENT:
        return ABSENT[last]
    option = meant(name)
    if option is None or option == f"{group}.{name}":
        return nearest(str(name), valid)
    owner, _, short = option.partition(".")
    return f"did you mean `{short if owner == group else option}`?"


SIDE_BY_SIDE = ("channels", "resize", "bits")
"""Options of the data that leave the test images the ones they are, so that studies may be compared over them."""


def instead(name: object) -> str:
    """What to write in place of a name that is no parameter of a trial, as the end of an error message."""
    option = meant(name)
    if option is None or not option.startswith("data."):
        return hint(name, PARAMETERS)
    if option.removeprefix("data.") in SHOWN:
        return f"did you mean `{option.removeprefix('data.')}`?"
    said = f"`{option}` is the same for all trials of a study. Run one study for each value"
    if option.removeprefix("data.") not in SIDE_BY_SIDE:
        return f"{said}; their test images are not the same, so no table compares them."
    return (
        f"{said}, and put them side by side with  python -m sweeps.report study=[one,other] table=ablation  "
        "(the first one is the base)."
    )
