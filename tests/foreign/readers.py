"""Other engines read a store and agree; stores that other engines wrote open in `humea`.

    readers.py HUMEA STORE            polars, pyarrow, pandas, DuckDB
    readers.py HUMEA STORE --spark    PySpark beside pyarrow

Every reader computes the same facts with its own means: rows, sums, nulls, list lengths, and for each vector column its
width, how many entities have it, and the sum of its values. They must agree with each other and with `humea inspect`.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import pyarrow
import pyarrow.compute
import pyarrow.parquet

# What `humea inspect --json` says that does not depend on who wrote the file.
COUNTS = ("entities", "left", "right", "relations", "triples", "attributes", "literals", "links")


def vector_columns(store: str) -> list[str]:
    """The columns that hold vectors: lists of one fixed length."""
    return [field.name for field in pyarrow.parquet.read_schema(store) if pyarrow.types.is_fixed_size_list(field.type)]


def with_pyarrow(store: str) -> dict:
    table = pyarrow.parquet.read_table(store)
    compute = pyarrow.compute
    facts = {
        "rows": table.num_rows,
        "ids": compute.sum(table["id"]).as_py(),
        "right": compute.sum(table["side"]).as_py(),
        "uris": compute.count_distinct(table["uri"]).as_py(),
        "labels": table["label"].length() - table["label"].null_count,
        "edges": compute.sum(compute.list_value_length(table["edges"])).as_py(),
        "values": compute.sum(compute.list_value_length(table["attributes"])).as_py(),
        "links": compute.sum(compute.list_value_length(table["links"])).as_py(),
    }
    for name in vector_columns(store):
        values = compute.cast(table[name].combine_chunks().flatten(), "float64")
        facts[name] = (table[name].type.list_size, table.num_rows - table[name].null_count, compute.sum(values).as_py())
    return facts


def with_polars(store: str) -> dict:
    import polars

    frame = polars.read_parquet(store)
    facts = {
        "rows": frame.height,
        "ids": frame["id"].cast(polars.UInt64).sum(),
        "right": int(frame["side"].sum()),
        "uris": frame["uri"].n_unique(),
        "labels": frame["label"].count(),
        "edges": frame["edges"].list.len().sum(),
        "values": frame["attributes"].list.len().sum(),
        "links": frame["links"].list.len().sum(),
    }
    for name in vector_columns(store):
        column = frame[name]
        total = column.drop_nulls().explode().cast(polars.Float64).sum()
        facts[name] = (column.dtype.size, column.count(), total)
    return facts


def with_pandas(store: str) -> dict:
    import numpy
    import pandas

    frame = pandas.read_parquet(store, engine="pyarrow")
    facts = {
        "rows": len(frame),
        "ids": int(frame["id"].astype("uint64").sum()),
        "right": int(frame["side"].sum()),
        "uris": frame["uri"].nunique(),
        "labels": int(frame["label"].count()),
        "edges": int(frame["edges"].map(len).sum()),
        "values": int(frame["attributes"].map(len).sum()),
        "links": int(frame["links"].map(len).sum()),
    }
    for name in vector_columns(store):
        matrix = numpy.stack(frame[name].dropna().to_list())
        facts[name] = (matrix.shape[1], matrix.shape[0], float(matrix.sum(dtype="float64")))
    return facts


def with_duckdb(store: str) -> dict:
    import duckdb

    files = store if Path(store).is_file() else f"{store}/*.parquet"
    table = duckdb.read_parquet(files)
    row = table.aggregate(
        "count(*), sum(id::ubigint), sum(side), count(distinct uri), count(label), sum(len(edges)), "
        "sum(len(attributes)), sum(len(links))"
    ).fetchall()[0]
    facts = dict(zip(("rows", "ids", "right", "uris", "labels", "edges", "values", "links"), map(int, row)))
    for name in vector_columns(store):
        query = f'max(len("{name}")), count("{name}"), sum(list_sum("{name}"::double[]))'
        width, present, total = table.aggregate(query).fetchall()[0]
        facts[name] = (width, present, total)
    return facts


def with_spark(store: str) -> dict:
    from pyspark.sql import SparkSession, functions as f

    session = (SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
               .config("spark.driver.bindAddress", "127.0.0.1").config("spark.driver.host", "127.0.0.1").getOrCreate())
    session.sparkContext.setLogLevel("ERROR")
    table = session.read.parquet(store)
    row = table.agg(f.count("*"), f.sum("id"), f.sum("side"), f.countDistinct("uri"), f.count("label"),
                    f.sum(f.size("edges")), f.sum(f.size("attributes")), f.sum(f.size("links"))).first()
    facts = dict(zip(("rows", "ids", "right", "uris", "labels", "edges", "values", "links"), map(int, row)))
    for name in vector_columns(store):
        summed = f.aggregate(name, f.lit(0.0).cast("double"), lambda total, value: total + value.cast("double"))
        facts[name] = tuple(table.agg(f.max(f.size(name)), f.count(name), f.sum(summed)).first())
    session.stop()
    return facts


def disagreements(expected: dict, found: dict) -> list[str]:
    """What two readers see differently; sums of floats may differ in the last digits, as their order does."""
    wrong = []
    for key in expected.keys() | found.keys():
        one, other = expected.get(key), found.get(key)
        if isinstance(one, tuple) and isinstance(other, tuple):
            same = one[:2] == other[:2] and math.isclose(one[2], other[2], rel_tol=1e-6, abs_tol=1e-3)
        else:
            same = one == other
        if not same:
            wrong.append(f"{key}: {other} instead of {one}")
    return wrong


def write_polars(store: str, target: str) -> None:
    import polars

    polars.read_parquet(store).write_parquet(target)


def write_pyarrow(store: str, target: str) -> None:
    # As people write tables: compressed, dictionaries, several row groups, a changed column order, none of our metadata.
    table = pyarrow.parquet.read_table(store).replace_schema_metadata(None)
    table = table.select(sorted(table.column_names))
    pyarrow.parquet.write_table(table, target, compression="snappy", row_group_size=257)


def write_duckdb(humea: str, store: str, target: str) -> None:
    """DuckDB drops the length of vectors and our metadata, so its file has to be converted."""
    import duckdb

    foreign = f"{target}.foreign"
    duckdb.sql(f"copy (select * from '{store}' order by uri) to '{foreign}' (format parquet)")
    subprocess.run([humea, "--quiet", "store", "convert", foreign, "--out", target], check=True, stdout=subprocess.DEVNULL)


def inspected(humea: str, path: str) -> dict:
    """What `humea inspect --json` says of a file."""
    answer = subprocess.run([humea, "inspect", path, "--json"], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if answer.returncode:
        raise SystemExit(f"humea inspect {path}: code {answer.returncode}: {answer.stderr.strip()}")
    return json.loads(answer.stdout)


def main() -> int:
    humea, store = sys.argv[1:3]
    readers = {"PySpark": with_spark} if "--spark" in sys.argv else \
        {"polars": with_polars, "pandas": with_pandas, "DuckDB": with_duckdb}
    expected = with_pyarrow(store)
    failed = 0
    for name, reader in readers.items():
        wrong = disagreements(expected, reader(store))
        failed += bool(wrong)
        print(f"{name} reads the store as pyarrow does" if not wrong else f"{name} disagrees with pyarrow: {'; '.join(wrong)}")
    ours = inspected(humea, store)
    with tempfile.TemporaryDirectory() as folder:
        for name, writer in {} if "--spark" in sys.argv else \
                {"polars": write_polars, "pyarrow": write_pyarrow, "DuckDB": partial(write_duckdb, humea)}.items():
            target = f"{folder}/{name}.parquet"
            writer(store, target)
            found = inspected(humea, target)
            wrong = [key for key in COUNTS if found[key] != ours[key]]
            failed += bool(wrong)
            print(f"humea opens what {name} wrote" if not wrong else f"humea reads what {name} wrote differently: {wrong}")
    print(f"{len(readers) + (0 if '--spark' in sys.argv else 3) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
