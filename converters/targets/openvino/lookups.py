"""Look-ups that stay inside their table.

Functions without an int8 kernel are tables in the int8 model (``converters.quantize.tables``), and what is looked up in one of 16 bits has
gone through an int16 tensor, whose ends bound it. OpenVINO drops quantization of 16 bits ("QDQ stripping"), and with it these ends; behind
the end of a table its Gather gives zeros. So places are bounded by the table itself. LiteRT's kernel takes no others.
"""

from __future__ import annotations

from typing import Any


def bound_places(model: Any) -> int:
    """Do so for every look-up of computed places along one axis; how many there are.

    Args:
        model: an ``openvino.Model``, which is changed.
    """
    from openvino import opset8

    bounded = 0
    for node in model.get_ordered_ops():
        if node.get_type_name() != "Gather" or node.input_value(1).get_node().get_type_name() == "Constant":
            continue
        axis = node.input_value(2).get_node()
        if axis.get_type_name() != "Constant":
            continue
        size = node.input_value(0).partial_shape[int(axis.data.item())].get_length()
        inside = opset8.clamp(node.input_value(1), 0, size - 1)
        node.input(1).replace_source_output(inside.output(0))
        bounded += 1
    return bounded
