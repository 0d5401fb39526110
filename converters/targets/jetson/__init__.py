"""Jetson: ONNX for TensorRT, int8 as QuantizeLinear and DequantizeLinear, and float16."""
