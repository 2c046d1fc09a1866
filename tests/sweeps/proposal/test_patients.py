"""Which names are taken for patients, and which are not."""

from sweeps.proposal.patients import guess

PATIENTS = [f"{patient:05}_{shot}.png" for patient in range(40) for shot in range(1 + patient % 3)]


def test_a_number_before_an_underscore_that_comes_back_is_a_patient() -> None:
    found = guess(PATIENTS, [0, 1] * (len(PATIENTS) // 2) + [0] * (len(PATIENTS) % 2))
    assert found is not None
    assert (found.pattern, found.num_groups, found.missing) == (r"/(\d+)_[^/]*$", 40, 0)
    assert found.largest == 3
    assert found.example == ("00001_0.png", "00001_1.png")


def test_folders_below_the_class_folder_are_patients() -> None:
    names = [f"case {case}/{view}.png" for case in range(30) for view in ("front", "side")]
    found = guess(names, [number // 20 % 2 for number in range(60)])
    assert found is not None
    assert found.num_groups == 30


def test_groups_in_two_classes_are_counted() -> None:
    found = guess(PATIENTS, [number % 2 for number in range(len(PATIENTS))])
    assert found is not None
    assert found.num_torn > 0


def test_names_without_the_pattern_are_counted() -> None:
    found = guess([*PATIENTS, *(f"scan{number}.png" for number in range(10))], [0, 1] * 44 + [0])
    assert found is not None
    assert found.missing == 10


def test_numbered_files_are_no_patients() -> None:
    for names in (
        [f"IMG_{number:04}.jpg" for number in range(80)],  # one beginning for all
        [f"{number:04}_photo.jpg" for number in range(80)],  # each number once
        [f"cat{number % 2}_{number}.jpg" for number in range(80)],  # the class
        [f"{number}.jpg" for number in range(80)],
    ):
        assert guess(names, [number % 2 for number in range(80)]) is None


def test_a_handful_of_long_series_is_no_patients() -> None:
    assert guess([f"{number // 60}_{number}.png" for number in range(420)], [0, 1] * 210) is None


def test_names_of_small_classes_are_no_patients() -> None:
    names = [f"kind{label}_{number}.png" for label in range(6) for number in range(8)]
    assert guess(names, [label for label in range(6) for _ in range(8)]) is None
