"""The bundle: one ``.edge`` file with everything a device must know of a model."""

from edge_sdk.bundle.manifest import Manifest, Variant
from edge_sdk.bundle.read import Bundle
from edge_sdk.bundle.write import write_bundle

__all__ = ["Bundle", "Manifest", "Variant", "write_bundle"]
