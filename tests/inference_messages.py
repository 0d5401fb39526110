"""The messages of gRPC servers, as protobuf itself makes and reads them from the fields of the public .proto files: the clients' judge."""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_TYPES = {"text": 9, "bytes": 12, "bool": 8, "int32": 5, "int64": 3, "uint32": 13, "uint64": 4, "float": 2, "double": 1}

# name -> fields "name number type", with * for repeated and "map" for a map from text.
V2 = {
    "ServerMetadataRequest": "",
    "ModelReadyRequest": "name 1 text, version 2 text",
    "ModelReadyResponse": "ready 1 bool",
    "ModelMetadataRequest": "name 1 text, version 2 text",
    "TensorMetadata": "name 1 text, datatype 2 text, shape 3 int64*",
    "ModelMetadataResponse": "name 1 text, versions 2 text*, platform 3 text, inputs 4 TensorMetadata*, outputs 5 TensorMetadata*",
    "InferTensorContents": "bool_contents 1 bool*, int_contents 2 int32*, int64_contents 3 int64*, uint_contents 4 uint32*, "
    "uint64_contents 5 uint64*, fp32_contents 6 float*, fp64_contents 7 double*, bytes_contents 8 bytes*",
    "InferInputTensor": "name 1 text, datatype 2 text, shape 3 int64*, contents 5 InferTensorContents",
    "InferRequestedOutputTensor": "name 1 text",
    "ModelInferRequest": "model_name 1 text, model_version 2 text, id 3 text, inputs 5 InferInputTensor*, "
    "outputs 6 InferRequestedOutputTensor*, raw_input_contents 7 bytes*",
    "InferOutputTensor": "name 1 text, datatype 2 text, shape 3 int64*, contents 5 InferTensorContents",
    "ModelInferResponse": "model_name 1 text, model_version 2 text, id 3 text, outputs 5 InferOutputTensor*, raw_output_contents 6 bytes*",
}
TF = {
    "Int64Value": "value 1 int64",
    "ModelSpec": "name 1 text, version 2 Int64Value, signature_name 3 text, version_label 4 text",
    "Dim": "size 1 int64, name 2 text",
    "TensorShapeProto": "dim 2 Dim*, unknown_rank 3 bool",
    "TensorProto": "dtype 1 int32, tensor_shape 2 TensorShapeProto, version_number 3 int32, tensor_content 4 bytes, float_val 5 float*, "
    "double_val 6 double*, int_val 7 int32*, string_val 8 bytes*, int64_val 10 int64*, bool_val 11 bool*, half_val 13 int32*, "
    "uint32_val 16 uint32*, uint64_val 17 uint64*",
    "PredictRequest": "model_spec 1 ModelSpec, inputs 2 map TensorProto, output_filter 3 text*",
    "PredictResponse": "outputs 1 map TensorProto, model_spec 2 ModelSpec",
    "GetModelMetadataRequest": "model_spec 1 ModelSpec, metadata_field 2 text*",
    "Any": "type_url 1 text, value 2 bytes",
    "GetModelMetadataResponse": "model_spec 1 ModelSpec, metadata 2 map Any",
    "TensorInfo": "name 1 text, dtype 2 int32, tensor_shape 3 TensorShapeProto",
    "SignatureDef": "inputs 1 map TensorInfo, outputs 2 map TensorInfo, method_name 3 text",
    "SignatureDefMap": "signature_def 1 map SignatureDef",
    "GetModelStatusRequest": "model_spec 1 ModelSpec",
    "StatusProto": "error_code 1 int32, error_message 2 text",
    "ModelVersionStatus": "version 1 int64, state 2 int32, status 3 StatusProto",
    "GetModelStatusResponse": "model_version_status 1 ModelVersionStatus*",
}


class Messages:
    """The classes of a package, as attributes."""

    def __init__(self, package: str, named: dict[str, str]) -> None:
        file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto3")
        for name, fields in named.items():
            made = file.message_type.add(name=name)
            for field in filter(None, fields.split(", ")):
                _add(made, package, *field.split(" ", 2))
        pool = descriptor_pool.DescriptorPool()
        pool.Add(file) if hasattr(pool, "Add") and not hasattr(pool, "AddSerializedFile") else pool.AddSerializedFile(
            file.SerializeToString()
        )
        self._classes = {
            name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}")) for name in named
        }

    def __getattr__(self, name: str) -> Any:
        return self._classes[name]


def _add(made: Any, package: str, name: str, number: str, kind: str) -> None:
    field = made.field.add(name=name, number=int(number), label=1)
    if kind.startswith("map "):
        entry = f"{''.join(part.capitalize() for part in name.split('_'))}Entry"
        nested = made.nested_type.add(name=entry)
        nested.options.map_entry = True
        _add(nested, package, "key", "1", "text")
        _add(nested, package, "value", "2", kind.removeprefix("map "))
        field.label, field.type, field.type_name = 3, 11, f".{package}.{made.name}.{entry}"
        return
    if kind.endswith("*"):
        field.label, kind = 3, kind[:-1]
    if kind in _TYPES:
        field.type = _TYPES[kind]
    else:
        field.type, field.type_name = 11, f".{package}.{kind}"


v2 = Messages("inference", V2)
tf = Messages("tensorflow.serving", TF)
