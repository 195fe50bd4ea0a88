"""Writes a Parquet file with DuckDB. argv: the file, a query, options of COPY, and a key to encrypt with (may be empty)."""
import sys

import duckdb

file, query, options, key = sys.argv[1:]
database = duckdb.connect()
database.sql("SET TimeZone = 'America/New_York'")
if key:
    # DuckDB's wheel has no encryption of its own that it calls safe; what is tested is that the file is recognised.
    database.sql("SET force_mbedtls_unsafe = true")
    database.sql(f"PRAGMA add_parquet_key('footer', '{key}')")
    options += ", ENCRYPTION_CONFIG {footer_key: 'footer'}"
database.sql(f"COPY ({query}) TO '{file}' (FORMAT parquet, {options})")
