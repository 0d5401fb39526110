"""KServe: a model repository that Triton and MLServer take, for the Open Inference Protocol v2."""
