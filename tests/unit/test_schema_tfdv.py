"""A schema of TensorFlow Data Validation becomes one of ours, and what does not is named."""

from __future__ import annotations

import pytest

from loopwright.data.contradictions import contradictions
from loopwright.data.textproto import Word, parse
from loopwright.data.tfdv import from_tfdv
from loopwright.errors import BadSource

TAXI = """
# As tfdv.write_schema_text() writes it.
feature {
  name: "payment_type"
  value_count { min: 1 max: 1 }
  type: BYTES
  domain: "payment_type"
  presence { min_fraction: 1.0 min_count: 1 }
  distribution_constraints { min_domain_mass: 0.9 }
  drift_comparator { infinity_norm { threshold: 0.01 } }
}
feature {
  name: "fare"
  type: FLOAT
  presence { min_count: 1 }
  float_domain { min: 0 max: 1e3 disallow_nan: true }
  skew_comparator { jensen_shannon_divergence { threshold: 0.05 } }
  annotation { tag: "pii" comment: "In \\"dollars\\"." }
}
feature { name: "trip_seconds" type: INT int_domain { min: 0, max: 86400 } not_in_environment: "SERVING" }
feature { name: "paid" type: INT bool_domain { } unique_constraints { min: 2 max: 2 } }
feature { name: "embedding" type: FLOAT shape { dim { size: 128 } } }
feature { name: "tags" type: BYTES value_count { min: 1 max: 5 } }
feature { name: "picture" type: BYTES image_domain { } lifecycle_stage: DEPRECATED }
feature { name: "place" type: STRUCT struct_domain { feature { name: "x" type: INT } } }
feature: < name: 'tips' 'y' type: FLOAT in_environment: ["TRAINING"] >
string_domain { name: "payment_type" value: "Cash" value: "Caf\\303\\251" }
default_environment: "TRAINING"
default_environment: "SERVING"
dataset_constraints { min_examples_count: 10 num_examples_drift_comparator { min_fraction_threshold: 0.5 } }
tensor_representation_group { key: "" }
"""


def test_all_that_describes_a_table_is_taken() -> None:
    found = from_tfdv(TAXI, label="tipsy").schema
    columns = {column.name: column for column in found.columns}
    payment, fare, seconds = columns["payment_type"], columns["fare"], columns["trip_seconds"]
    assert (payment.values, payment.closed, payment.most_outside) == (("Cash", "Café"), True, 0.1)
    assert (payment.missing, payment.most_missing, payment.drift_limits) == (False, 0.0, {"l_infinity": 0.01})
    assert (fare.least, fare.most, fare.nan, fare.infinite) == (0, 1000.0, False, True)
    assert (fare.skew_limits, fare.tags, fare.description) == ({"jensen_shannon": 0.05}, ("pii",), 'In "dollars".')
    assert (seconds.kind, seconds.most, seconds.absent_in) == ("integer", 86400, ("serving",))
    assert (columns["paid"].kind, columns["paid"].least_distinct) == ("boolean", 2)
    assert (columns["embedding"].kind, columns["embedding"].shortest, columns["embedding"].longest) == (
        "list",
        128,
        128,
    )
    assert (columns["tags"].kind, columns["tags"].longest) == ("list", 5)
    assert not columns["picture"].required
    assert columns["tipsy"].absent_in == ("serving",)
    assert (found.least_rows, found.least_growth, found.label) == (10, 0.5, "tipsy")
    assert contradictions(found) == []


def test_what_has_no_counterpart_is_named() -> None:
    assert from_tfdv(TAXI).left_out == (
        "picture: image_domain",
        "place: type STRUCT, taken for text",
        "place: struct_domain",
        "tensor_representation_group",
    )


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ('feature { name: "x"\n type: FLOAT ', "line 2"),
        ('feature {\n name: "x }', "line 2"),
        ("feature {\n\n name }", "line 3"),
        ("feature { ? }", "line 1"),
        ("", "schema.pbtxt"),
        ("feature { type: INT }", "schema.pbtxt"),
        ("feature: 3", "schema.pbtxt"),
        ("feature { a: [1, 2", "line 1"),
        ("a {" * 100, "line 1"),
    ],
)
def test_text_that_is_no_schema_is_refused_with_its_line(text: str, where: str) -> None:
    with pytest.raises(BadSource) as told:
        from_tfdv(text)
    assert told.value.where == where


def test_the_text_format_is_read_whole() -> None:
    found = parse("a: -1.5e3 b: 0x1F c: [1, 2] d < e: inf; f: NAME > g: 'it\\'s' h { } i: true i: 2f")
    assert found == {
        "a": [-1500.0], "b": [31], "c": [1, 2], "d": [{"e": [float("inf")], "f": [Word("NAME")]}], "g": ["it's"],
        "h": [{}], "i": [True, 2.0],
    }  # fmt: skip
