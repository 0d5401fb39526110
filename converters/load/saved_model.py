"""Reading SavedModel folders, those of old TensorFlow too. saved_model.pb is inspected here, and the folder opened in a child."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from converters.load.loaded import Loaded, LoadOptions
from converters.load.saved_model_graph import SavedGraph, SignatureOfGraph, read_saved_model
from converters.load.worker import translate
from edge_sdk.errors import ModelError
from edge_sdk.inputs import read_plain_file

_MAX_GRAPH_BYTES = 2 << 30  # a protocol buffer is not larger
_DEFAULT = ("serving_default", "serve")  # TensorFlow's name; what Keras 3 calls its export
_NOT_FOR_CALLS = ("__saved_model_init_op", "__saved_model_train_op")

_WRITES = "writes files"
_REASONS = {
    "runs Python code": "PyFunc PyFuncStateless EagerPyFunc",
    "calls code outside of TensorFlow": "XlaCustomCall XlaCustomCallV2",
    "reads files": """
        ReadFile MatchingFiles MatchingFilesDataset ExperimentalMatchingFilesDataset ImmutableConst FileSystemSetConfiguration
        WholeFileReader WholeFileReaderV2 TextLineReader TextLineReaderV2 LMDBReader TFRecordReader TFRecordReaderV2
        FixedLengthRecordReader FixedLengthRecordReaderV2 FixedLengthRecordDataset FixedLengthRecordDatasetV2 TextLineDataset
        TFRecordDataset TFRecordDatasetV2 LMDBDataset ExperimentalLMDBDataset CSVDataset CSVDatasetV2 ExperimentalCSVDataset
        SqlDataset ExperimentalSqlDataset RecordInput LoadDataset SnapshotChunkDataset ListSnapshotChunksDataset
        SnapshotDatasetReader SnapshotNestedDatasetReader InitializeTableFromTextFile InitializeTableFromTextFileV2
        DecodeProtoV2 EncodeProto GenerateVocabRemapping FixedUnigramCandidateSampler Skipgram LoadAndRemapMatrix""",
    _WRITES: """
        WriteFile Print PrintV2 SaveDataset SaveDatasetV2 CacheDataset CacheDatasetV2 SnapshotDataset SnapshotDatasetV2
        DatasetToTFRecord ExperimentalDatasetToTFRecord DistributedSave DumpTensor CalibrationStatisticsSaver WriteSummary
        WriteScalarSummary WriteHistogramSummary WriteImageSummary WriteAudioSummary WriteGraphSummary WriteRawProtoSummary
        ImportEvent CreateSummaryFileWriter CreateSummaryDbWriter DebugIdentity DebugIdentityV2 DebugIdentityV3 DebugNanCount
        DebugNumericSummary DebugNumericSummaryV2""",
    "opens a connection": """
        DataServiceDataset DataServiceDatasetV2 DataServiceDatasetV3 DataServiceDatasetV4 RegisterDataset RegisterDatasetV2
        RpcCall RpcClient RpcServer RpcServerRegister RpcServerStart RemoteCall BigQueryReader
        GenerateBigQueryReaderPartitions""",
}
_REACHES_OUT = {operator: why for why, operators in _REASONS.items() for operator in operators.split()}
# Every file has these for its own saving, which is not run.
_SAVES = ("Save", "SaveV2", "SaveSlices", "MergeV2Checkpoints")


def read(path: Path, options: LoadOptions) -> Loaded:
    """See ``Reader``."""
    try:
        graphs = read_graphs_of(path)
        graph = next((each for each in graphs if "serve" in each.tags), graphs[0])
        signature = choose_signature(graph, options.signature)
        if not options.trust:
            refuse_reaching_out(graphs)
        refuse_ports(signature)
    except ModelError as exc:
        raise ModelError(f"{path}: {exc}") from exc
    return translate(
        "converters.load.saved_model_child",
        path,
        options,
        key=signature.key,
        tags=list(graph.tags),
        written_by=graph.written_by,
        version_1=graph.version_1,
        shape=None if signature.inputs[0].shape is None else list(signature.inputs[0].shape),
        entry=signature.inputs[0].name,
        outputs=[port.name for port in signature.outputs],
        signatures=len(_callable(graph)),
    )


def read_graphs_of(folder: Path) -> tuple[SavedGraph, ...]:
    """The graphs of a SavedModel folder, after a look whether the folder is whole.

    Raises:
        ModelError: if it is not.
    """
    file = folder / "saved_model.pb"
    if not file.is_file():
        raise ModelError("saved_model.pbtxt, its text form, is not read; save it as saved_model.pb")
    graphs = read_saved_model(read_plain_file(file, ModelError, give="a SavedModel", most_bytes=_MAX_GRAPH_BYTES))
    restores = any(
        operator in ("VarHandleOp", "VariableV2", "Variable") for graph in graphs for operator, _ in graph.operators()
    )
    variables = folder / "variables"
    if restores and not ((variables / "variables.index").is_file() and any(variables.glob("variables.data-*"))):
        raise ModelError(
            "its weights are missing: there is no variables/variables.index with variables.data-* beside saved_model.pb. "
            "Give the whole folder as it was saved"
        )
    return graphs


def choose_signature(graph: SavedGraph, wanted: str | None) -> SignatureOfGraph:
    """The signature that was asked for, else the default one, else the only one.

    Raises:
        ModelError: if there is none or it is open which; the message lists all with their inputs and outputs.
    """
    known = _callable(graph)
    if not known:
        raise ModelError(
            "it has no signature, so nothing says what to call; save it with signatures=, or in Keras 3 by model.export(folder)"
        )
    listed = "".join(f"\n  {signature}" for signature in known.values())
    if wanted is not None:
        if wanted not in known:
            raise ModelError(f"it has no signature {wanted!r}; name one of these by --signature:{listed}")
        return known[wanted]
    chosen = next((known[key] for key in _DEFAULT if key in known), None)
    if chosen is None and len(known) > 1:
        raise ModelError(f"it has several signatures; say which one by --signature:{listed}")
    return chosen or next(iter(known.values()))


def _callable(graph: SavedGraph) -> dict[str, SignatureOfGraph]:
    return {each.key: each for each in graph.signatures if each.key not in _NOT_FOR_CALLS and each.outputs}


def refuse_reaching_out(graphs: Iterable[SavedGraph]) -> None:
    """Raise ModelError, naming the operators, if a graph runs code, or reads or writes outside of itself."""
    found: dict[str, str] = {}
    for graph in graphs:
        for operator, where in graph.operators():
            if operator in _REACHES_OUT:
                found.setdefault(operator, f"{operator} ({where}) {_REACHES_OUT[operator]}")
        for operator, where in graph.reached():
            if operator in _SAVES:
                found.setdefault(operator, f"{operator} ({where}) {_WRITES}")
    if found:
        raise ModelError(
            f"its graph reaches out of the model: {'; '.join(found.values())}. Export the model without; give --trust if you trust it"
        )


def refuse_ports(signature: SignatureOfGraph) -> None:
    """Raise ModelError unless the signature has one floating-point input."""
    if len(signature.inputs) != 1:
        raise ModelError(
            f"signature {signature.key!r} has {len(signature.inputs)} inputs "
            f"({'; '.join(map(str, signature.inputs)) or 'none'}); models of one input are converted"
        )
    entry = signature.inputs[0]
    if entry.dtype != "float32":
        raise ModelError(
            f"input {entry.name!r} is {entry.dtype}; a float model takes float32. Export it with a float32 input"
        )
