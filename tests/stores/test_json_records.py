"""JSON lists of records: whatever is wrong is said with the file's name."""

import gzip
import json
import zipfile

import pytest

from screening.errors import ParseError, TooLargeError
from stores.importers.json_records import json_records
from stores.importers.records import DEFAULT_READ_LIMITS, ReadLimits

RECORDS = [{"a": 1}, {"a": 2}]


def read(path, limits=DEFAULT_READ_LIMITS):
    return json_records(path, limits, "Give the records")


def test_plain_compressed_and_archived_files_are_read_alike(tmp_path):
    data = json.dumps(RECORDS)
    (tmp_path / "a.json").write_text(data)
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(data.encode()))
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("inside/a.json", data)
    assert all(read(tmp_path / f"a{end}") == RECORDS for end in (".json", ".json.gz", ".zip"))


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (None, "cannot be opened"),
        ("[1,", "no JSON"),
        ('{"a": 1}', "no list"),
        ("[1, 2, 3]", "no list"),
    ],
)
def test_the_file_is_named(tmp_path, content, what):
    file = tmp_path / "records.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ParseError, match=what) as refused:
        read(file, ReadLimits(max_structures_per_file=2))
    assert "records.json" in str(refused.value)
    assert "Give the records" in str(refused.value)


def test_an_archive_of_two_lists_and_a_large_file_are_refused_by_name(tmp_path):
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        for name in ("a.json", "b.json"):
            archive.writestr(name, "[]")
    with pytest.raises(ParseError, match=r"two\.zip.* holds 2 JSON files"):
        read(tmp_path / "two.zip")
    (tmp_path / "large.json").write_text(json.dumps(RECORDS))
    with pytest.raises(TooLargeError, match=r"large\.json"):
        read(tmp_path / "large.json", ReadLimits(max_file_bytes=5))
