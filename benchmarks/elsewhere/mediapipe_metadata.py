"""Packs what MediaPipe's ImageClassifier reads into a .tflite, in place; run by benchmarks/models.py in an environment that has MediaPipe.

``python mediapipe_metadata.py MODEL LABELS``. The form is that of mediapipe/tasks/metadata/metadata_schema.fbs: a buffer named
TFLITE_METADATA in the model, and the labels in a zip behind it. MediaPipe's own writer is not used, because it cannot be imported from
its 1.x wheels (they lack ``_pywrap_metadata_version``).
"""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import flatbuffers
from mediapipe.tasks.metadata import metadata_schema_py_generated as meta
from mediapipe.tasks.metadata import schema_py_generated as schema

_BUFFER_NAME = b"TFLITE_METADATA"


def main(model: Path, labels: Path) -> None:
    """Pack."""
    stored = schema.ModelT.InitFromObj(schema.Model.GetRootAs(model.read_bytes(), 0))
    entry, buffer = schema.MetadataT(), schema.BufferT()
    buffer.data = _packed(_describe(labels.name), b"M001")
    entry.name, entry.buffer = _BUFFER_NAME, len(stored.buffers)
    stored.buffers.append(buffer)
    stored.metadata = [*(stored.metadata or []), entry]
    model.write_bytes(_packed(stored, b"TFL3"))
    with zipfile.ZipFile(model, "a") as behind:
        behind.writestr(zipfile.ZipInfo(labels.name), labels.read_bytes())


def _describe(labels: str) -> meta.ModelMetadataT:
    """An RGB image without normalisation (the uint8 model takes bytes as they are) in, one score a label out."""
    described, graph = meta.ModelMetadataT(), meta.SubGraphMetadataT()
    graph.inputTensorMetadata, graph.outputTensorMetadata = [_image()], [_scores(labels)]
    described.name, described.subgraphMetadata, described.minParserVersion = "classifier", [graph], "1.0.0"
    return described


def _image() -> meta.TensorMetadataT:
    image, properties, unit = meta.TensorMetadataT(), meta.ImagePropertiesT(), meta.ProcessUnitT()
    properties.colorSpace = meta.ColorSpaceType.RGB
    image.content = meta.ContentT()
    image.content.contentPropertiesType, image.content.contentProperties = (
        meta.ContentProperties.ImageProperties,
        properties,
    )
    normalise = meta.NormalizationOptionsT()
    normalise.mean, normalise.std = [0.0], [1.0]
    unit.optionsType, unit.options = meta.ProcessUnitOptions.NormalizationOptions, normalise
    image.name, image.processUnits = "image", [unit]
    return image


def _scores(labels: str) -> meta.TensorMetadataT:
    scores, file = meta.TensorMetadataT(), meta.AssociatedFileT()
    file.name, file.type = labels, meta.AssociatedFileType.TENSOR_AXIS_LABELS
    scores.name, scores.associatedFiles = "probability", [file]
    return scores


def _packed(table: schema.ModelT | meta.ModelMetadataT, identifier: bytes) -> bytes:
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(table.Pack(builder), identifier)
    return bytes(builder.Output())


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
