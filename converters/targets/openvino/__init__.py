"""OpenVINO: the int8 model as its intermediate representation, for Intel's processors, GPUs and NPUs."""
