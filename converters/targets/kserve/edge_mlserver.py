"""MLServer's runtime for a variant; the version folder beside it has the model."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.errors import InferenceError
from mlserver.types import InferenceRequest, InferenceResponse


class EdgeModel(MLModel):  # type: ignore[misc] # MLServer's classes are untyped here
    """Runs the variant in the folder that ``parameters.uri`` of model-settings.json names."""

    async def load(self) -> bool:
        """Read the model."""
        folder = Path(self.settings.parameters.uri)
        if not folder.is_absolute():
            folder = Path(self.settings._source or ".").parent / folder
        sys.path.insert(0, str(folder))
        from edge_variant import Variant

        self._variant = Variant(folder)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """The outputs for the inputs of a request."""
        try:
            inputs = {each.name: NumpyCodec.decode_input(each) for each in payload.inputs}
            outputs = await asyncio.to_thread(self._variant.run, inputs)
        except (ValueError, TypeError, OverflowError) as exc:  # RequestError among them
            raise InferenceError(f"the request does not fit the model: {exc}") from exc
        made = [NumpyCodec.encode_output(name, array) for name, array in outputs.items()]
        return InferenceResponse(model_name=self.name, model_version=self.version, outputs=made)
