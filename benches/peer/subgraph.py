"""Cuts a store down to the entities of its first links: `subgraph.py STORE OUT --links 3450` keeps 6,900 of them."""

from __future__ import annotations

import argparse

import numpy
import pyarrow
import pyarrow.parquet


def kept(table: pyarrow.Table, links: int) -> numpy.ndarray:
    """The ids of both ends of the first `links` links of the left graph, in id order."""
    chosen: set[int] = set()
    for entity, side, others in zip(*(table[name].to_pylist() for name in ("id", "side", "links"))):
        if side == 0 and others and len(chosen) < 2 * links:
            chosen |= {entity, *others}
    return numpy.array(sorted(chosen), dtype=numpy.uint32)


def cut(table: pyarrow.Table, ids: numpy.ndarray) -> pyarrow.Table:
    """Those rows, renumbered; edges and links that leave them are dropped."""
    number = {int(old): new for new, old in enumerate(ids)}
    part = table.take(pyarrow.array(ids))
    edges = [[edge | {"tail": number[edge["tail"]]} for edge in row if edge["tail"] in number] for row in part["edges"].to_pylist()]
    both = [[(number[other], at) for other, at in zip(others, order) if other in number]
            for others, order in zip(part["links"].to_pylist(), part["link_order"].to_pylist())]
    # Positions in the source's list of links, closed up where links were dropped.
    place = {at: new for new, at in enumerate(sorted({at for row in both for _, at in row}))}
    columns = {"id": range(len(ids)), "edges": edges, "links": [[other for other, _ in row] for row in both],
               "link_order": [[place[at] for _, at in row] for row in both]}
    for name, values in columns.items():
        index = part.schema.get_field_index(name)
        field = part.schema.field(index)
        part = part.set_column(index, field, pyarrow.array(values, field.type))
    return part


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("store")
    arguments.add_argument("out")
    arguments.add_argument("--links", type=int, default=3450)
    given = arguments.parse_args()
    table = pyarrow.parquet.read_table(given.store)
    part = cut(table, kept(table, given.links))
    # Vectors plain and uncompressed, so that they can be mapped.
    plain = [name for name in part.column_names if pyarrow.types.is_fixed_size_list(part.schema.field(name).type)]
    text = [name for name in part.column_names if name not in plain]
    pyarrow.parquet.write_table(part, given.out, row_group_size=len(part), use_dictionary=text,
                                compression={name: "none" if name in plain else "zstd" for name in part.column_names})
    print(f"{len(part)} entities in {given.out}")


if __name__ == "__main__":
    main()
