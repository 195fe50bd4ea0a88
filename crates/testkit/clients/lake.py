"""Reads Parquet files with DuckDB. argv: a folder with tables as folders, and a query in which TABLE(name) is one of them.
Prints each row as a JSON array on a line."""
import json
import re
import sys

import duckdb

folder, query = sys.argv[1:]
source = lambda found: f"read_parquet('{folder}/{found[1]}/*/*.parquet', hive_partitioning = true, union_by_name = true)"
for row in duckdb.sql(re.sub(r"TABLE\((\w+)\)", source, query)).fetchall():
    print(json.dumps(row, default=str))
