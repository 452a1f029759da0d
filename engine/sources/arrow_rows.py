"""Arrow rows as Python values, whatever bytes stand in their text columns."""

from __future__ import annotations

from typing import Any

import pyarrow as pa


def rows_of(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    """The rows of a batch; text that is not UTF-8 (parquet readers do not check) comes as bytes."""
    try:
        rows: list[dict[str, Any]] = batch.to_pylist()
        return rows
    except UnicodeDecodeError:
        columns = list(zip(batch.schema.names, batch.columns, strict=True))
        return [{name: _value(column[row]) for name, column in columns} for row in range(batch.num_rows)]


def _value(scalar: pa.Scalar) -> Any:
    try:
        return scalar.as_py()
    except UnicodeDecodeError:
        if isinstance(scalar, pa.DictionaryScalar):
            return _value(scalar.value)
        if isinstance(scalar, pa.StructScalar):
            return {name: _value(entry) for name, entry in scalar.items()}
        if isinstance(scalar, (pa.ListScalar, pa.LargeListScalar)):
            return [_value(entry) for entry in scalar.values]
        return scalar.as_buffer().to_pybytes()
