"""A study of images by address is the study of the same images by path."""

import hashlib
import shutil
from pathlib import Path

from sweeps.definition.compose import compose
from sweeps.engine.prepared_study import PreparedStudy, prepare_study
from tests.conftest import write_images
from tests.resnet_tl.data.file_server import Served, serving


def test_where_images_come_from_changes_no_name_and_is_not_recorded(tmp_path: Path) -> None:
    root = write_images(tmp_path / "images")
    content = Path(shutil.make_archive(str(tmp_path / "a"), "gztar", tmp_path, "images")).read_bytes()

    def prepared(*words: str) -> PreparedStudy:
        shared = [f"run.cache={tmp_path / 'cache'}", f"run.out={tmp_path}", "run.device=cpu", "trial.weights=none"]
        return prepare_study(compose(["study=resnet18_heads", *shared, *words, "data.size=32", "data.crop=24"]), None)

    with serving(Served(content, login="me:ge(,heim")) as served:
        url = served.url.replace("://", "://me:ge(,heim@") + "?a=1&token=geheim"
        by_address = prepared(f"data.url={url}", f"data.sha256={hashlib.sha256(content).hexdigest()}")
    by_path = prepared(f"data.root={root}")
    assert [trial.fingerprint for trial in by_address.plan.trials] == [t.fingerprint for t in by_path.plan.trials]
    record = by_address.record("")
    assert record.data.options == by_path.record("").data.options
    assert "heim" not in repr(record)
