"""Names of images, and of files that are made of them."""

from pathlib import Path

from resnet_tl.inference.pictures import Pictures, file_names, of_files


def test_file_names_never_lead_out_of_their_folder_and_are_never_equal() -> None:
    root = Path("/data/new")
    below = ["a/x.png", "a__x.png", "A/X.png", ".hidden/y.png", "odd\n:name?.png", "é" * 150 + ".png", "..a"]
    names = file_names(Pictures(pictures=of_files([root / name for name in below]), root=root))
    assert names[:5] == ["a__x.png", "a__x.png-2", "A__X.png-3", "_hidden__y.png", "odd__name_.png"]
    assert len(names[5].encode()) <= 200
    assert names[5].endswith("é.png")
    assert names[6] == "_.a"
    cut = file_names(Pictures(pictures=of_files([root / ("a" * 10 + "." + "b" * 199)]), root=root))
    assert not cut[0].startswith("."), "what is left after cutting is not hidden"
    loose = ["../../etc/passwd", "/etc/passwd", "x/..", "~root"]
    names = file_names(Pictures(pictures=of_files([Path(name) for name in loose])))
    assert names == ["passwd", "passwd-2", "_.", "_root"]
    for name in names:
        assert (Path("/out") / f"{name}.gradcam.png").resolve().parent == Path("/out")
