"""What ``edgetpu_compiler`` prints, written anew in the form of public reports, for several versions and for every way to fail.

Names and numbers are made up; each text says which report has its form.
"""

from __future__ import annotations

_PARTLY = (
    "Model successfully compiled but not all operations are supported by the Edge TPU. A percentage of the model will instead run on the "
    "CPU, which is slower. If possible, consider updating your model to use only operations supported by the Edge TPU. For details, visit "
    "g.co/coral/model-reqs."
)

# google-coral/edgetpu#671, #708: version 16 with --show_operations, and its timer
V16 = f"""Edge TPU Compiler version 16.0.384591198
Started a compilation timeout timer of 180 seconds.

Model compiled successfully in 742 ms.

Input model: net.tflite
Input size: 4.41MiB
Output model: net_edgetpu.tflite
Output size: 5.49MiB
On-chip memory used for caching model parameters: 3.33MiB
On-chip memory remaining for caching model parameters: 1.75KiB
Off-chip memory used for streaming uncached model parameters: 64.25KiB
Number of Edge TPU subgraphs: 1
Total number of operations: 72
Operation log: net_edgetpu.log

{_PARTLY}
Number of operations that will run on Edge TPU: 64
Number of operations that will run on CPU: 8

Operator                       Count      Status

RESIZE_BILINEAR                3          Operation is otherwise supported, but not mapped due to some unspecified limitation
QUANTIZE                       1          More than one subgraph is not supported
CONCATENATION                  1          More than one subgraph is not supported
ADD                            10         Mapped to Edge TPU
CONV_2D                        37         Mapped to Edge TPU
CONV_2D                        2          More than one subgraph is not supported
DEPTHWISE_CONV_2D              17         Mapped to Edge TPU
ARG_MAX                        1          Operation is working on an unsupported data type
Compilation child process completed within timeout period.
Compilation succeeded!
"""

# google-coral/edgetpu#75: version 2.1, no timer, whole model in parts
V2 = f"""Edge TPU Compiler version 2.1.302470888

Model compiled successfully in 347 ms.

Input model: models/net.tflite
Input size: 28.19KiB
Output model: net_edgetpu.tflite
Output size: 116.78KiB
On-chip memory used for caching model parameters: 60.00KiB
On-chip memory remaining for caching model parameters: 7.96MiB
Off-chip memory used for streaming uncached model parameters: 0.00B
Number of Edge TPU subgraphs: 1
Total number of operations: 24
Operation log: net_edgetpu.log

{_PARTLY}
Number of operations that will run on Edge TPU: 6
Number of operations that will run on CPU: 18
See the operation log file for individual operation details.
"""

# google-coral/edgetpu#708: nothing maps
NOTHING = f"""Edge TPU Compiler version 16.0.384591198
Started a compilation timeout timer of 180 seconds.

Model compiled successfully in 17 ms.

Input model: float.tflite
Input size: 10.97MiB
Output model: float_edgetpu.tflite
Output size: 10.97MiB
On-chip memory used for caching model parameters: 0.00B
On-chip memory remaining for caching model parameters: 0.00B
Off-chip memory used for streaming uncached model parameters: 0.00B
Number of Edge TPU subgraphs: 0
Total number of operations: 14
Operation log: float_edgetpu.log

{_PARTLY}
Number of operations that will run on Edge TPU: 0
Number of operations that will run on CPU: 14

Operator                       Count      Status

RESHAPE                        10         Operation is working on an unsupported data type
RESHAPE                        4          Tensor has unsupported rank (up to 3 innermost dimensions mapped)
Compilation child process completed within timeout period.
Compilation succeeded!
"""

# google-coral/edgetpu#458: two models compiled together
TOGETHER = """Edge TPU Compiler version 16.0.384591198
Started a compilation timeout timer of 180 seconds.

Models compiled successfully in 524 ms.

Input model: one.tflite
Input size: 1.91MiB
Output model: out/one_edgetpu.tflite
Output size: 2.52MiB
On-chip memory used for caching model parameters: 2.27MiB
On-chip memory remaining for caching model parameters: 1.07MiB
Off-chip memory used for streaming uncached model parameters: 0.00B
Number of Edge TPU subgraphs: 1
Total number of operations: 57
Operation log: out/one_edgetpu.log
See the operation log file for individual operation details.

Input model: two.tflite
Input size: 1.87MiB
Output model: out/two_edgetpu.tflite
Output size: 2.06MiB
On-chip memory used for caching model parameters: 2.00MiB
On-chip memory remaining for caching model parameters: 1.07MiB
Off-chip memory used for streaming uncached model parameters: 0.00B
Number of Edge TPU subgraphs: 1
Total number of operations: 6
Operation log: out/two_edgetpu.log
See the operation log file for individual operation details.
Compilation child process completed within timeout period.
Compilation succeeded!
"""

# the .log file that lies beside a compiled model
LOG_FILE = """Edge TPU Compiler version 15.0.340273435
Input: two.tflite
Output: two_edgetpu.tflite

Operator                       Count      Status

RESHAPE                        1          Mapped to Edge TPU
CONV_2D                        2          Mapped to Edge TPU
QUANTIZE                       1          Operation is otherwise supported, but not mapped due to some unspecified limitation
DEQUANTIZE                     1          Operation version not supported
LEAKY_RELU                     1          Operation not supported
"""

FAILED = {
    # google-coral/edgetpu#168
    "Model not quantized": "Edge TPU Compiler version 14.1.317412892\nInvalid model: net.tflite\nModel not quantized\n",
    # google-coral/edgetpu#47
    "Internal compiler error. Aborting!": "Edge TPU Compiler version 2.0.291256449\n\nInternal compiler error. Aborting! \n",
    # google-coral/edgetpu#4
    "terminating with uncaught exception of type std::out_of_range: vector": "Edge TPU Compiler version 2.0.267685300\n"
    "terminating with uncaught exception of type std::out_of_range: vector\n\nInternal compiler error. Aborting!\n",
    # google-coral/edgetpu#829
    "ERROR: Attempting to use a delegate that only supports static-sized tensors with a graph that has dynamic-sized tensors.": "Edge TPU "
    "Compiler version 16.0.384591198\nStarted a compilation timeout timer of 180 seconds.\nERROR: Attempting to use a delegate that only "
    "supports static-sized tensors with a graph that has dynamic-sized tensors.\nCompilation failed: Model failed in Tflite interpreter. "
    "Please ensure model can be loaded/run in Tflite interpreter.\nCompilation child process completed within timeout period.\n"
    "Compilation failed! \n",
}
