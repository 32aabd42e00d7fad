"""Tables of captions: CSV files, their problems, and the files that they name."""

from data.tables.captions import Row, Table, is_usable, note_odd_captions, read_table
from data.tables.csv_files import csv_text, read_rows, table_bytes, wide_encoding, write_rows
from data.tables.file_index import FileIndex
from data.tables.report import DatasetError, Problem, TableReport, has_words, listed, same_name

__all__ = [
    "DatasetError",
    "FileIndex",
    "Problem",
    "Row",
    "Table",
    "TableReport",
    "csv_text",
    "has_words",
    "is_usable",
    "listed",
    "note_odd_captions",
    "read_rows",
    "read_table",
    "same_name",
    "table_bytes",
    "wide_encoding",
    "write_rows",
]
