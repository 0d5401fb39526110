"""ONNX models on ONNX Runtime: its package, what a model's file says, its providers, and the caches of what they build."""
