"""Real models of every format through the converter, with TFLiteConverter's own quantization beside it."""
