"""Makes what the example runs, in build/vibration/: trains the autoencoder, converts it, and writes a recording to run it on."""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

from converters import convert
from edge_sdk.contract import Contract
from edge_sdk.features import features_from
from edge_sdk.features.settings import FeatureSettings
from edge_sdk.inputs import read_toml
from edge_sdk.window_settings import WindowSettings
from examples.assets.data import Labels, Numbers, heartbeats
from examples.vibration.autoencoder import Autoencoder, Floats

OUT = Path("build/vibration")
_MODEL_TOML = Path(__file__).with_name("model.toml")
_HOLDOUT_FROM = 8_000  # of 10,000 normal readings: what comes before is to train and calibrate on
_TRAINING_HOP = 3  # readings


def main() -> None:
    """Make all of it."""
    OUT.mkdir(parents=True, exist_ok=True)
    normal, _ = heartbeats("TRAIN_NA")
    write_csv(OUT / "normal.csv", normal[:_HOLDOUT_FROM])
    write_csv(OUT / "holdout.csv", normal[_HOLDOUT_FROM:])
    write_csv(OUT / "run.csv", *heartbeats("TEST"))
    write_truth(OUT / "truth.npz", *heartbeats("TRAIN_A"))
    error = train(OUT / "autoencoder.onnx", normal[:_HOLDOUT_FROM])
    bundle = make_bundle(OUT)
    click.echo(f"{bundle}: mean squared error in training {error:.4f}; what it costs is in {bundle.stem}.report.html")


def train(model: Path, signal: Numbers) -> float:
    """Train on the features that the contract states, write the model, and return the mean squared error."""
    window, of_it = input_of_the_model()
    features = features_from(of_it, window)
    windows = np.lib.stride_tricks.sliding_window_view(signal, window.length)[::_TRAINING_HOP]
    inputs: Floats = np.array([features(each[:, None].astype(np.float64)).reshape(-1) for each in windows])
    net = Autoencoder(inputs.shape[1])
    error = net.train(inputs)
    net.write_onnx(model, features.shape)
    return error


def make_bundle(folder: Path) -> Path:
    """Quantize, prove and pack the model; the threshold is measured on the hold-out, the AUC on labelled windows."""
    return convert(
        folder / "autoencoder.onnx",
        config=_MODEL_TOML,
        calibrate=folder / "normal.csv",
        holdout=folder / "holdout.csv",
        evaluate=folder / "truth.npz",
        output=folder / "vibration.edge",
        overwrite=True,
    ).bundle


def input_of_the_model() -> tuple[WindowSettings, FeatureSettings]:
    """As model.toml states it."""
    contract = Contract.model_validate(read_toml(_MODEL_TOML, give="a model.toml")["contract"])
    if contract.window is None or contract.features is None:
        raise SystemExit(
            f"{_MODEL_TOML} lacks [contract.window] or [contract.features], which the autoencoder is made for"
        )
    return contract.window, contract.features


def write_csv(path: Path, signal: Numbers, anomalous: Labels | None = None) -> None:
    """A reading a millisecond, and whether it is anomalous."""
    labels = np.zeros(len(signal), np.int64) if anomalous is None else anomalous
    rows = (f"{t},{x:.6f},{y}" for t, (x, y) in enumerate(zip(signal, labels, strict=True)))
    path.write_text("\n".join(("t_ms,shaking,anomalous", *rows, "")))


def write_truth(path: Path, signal: Numbers, anomalous: Labels) -> None:
    """Windows, and 1 for those of which a quarter or more is anomalous."""
    window, _ = input_of_the_model()
    starts = range(0, len(signal) - window.length + 1, window.hop)
    cut = [slice(start, start + window.length) for start in starts]
    truth = np.array([anomalous[each].mean() >= 0.25 for each in cut], np.int64)
    np.savez(path, inputs=np.array([signal[each, None] for each in cut]), truth=truth)


if __name__ == "__main__":
    main()
