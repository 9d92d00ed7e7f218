#!/usr/bin/env bash
# llama-cpp-python 0.3.36: bounds of numbers in a JSON schema do not reach the grammar, and nothing says so.
#
# Guess:    "minimum" and "maximum" of an integer bind what the model may write, as they do in llama.cpp's own server;
#           those of a number perhaps not, but then there is an error or a warning.
# Seen:     json_schema_to_gbnf, which response_format and LlamaGrammar.from_json_schema go through, makes the same
#           grammar with and without the bounds, of integers and of numbers, alone and inside of objects and arrays. No
#           error, no warning. xllamacpp 2026.10.11549, a build of llama.cpp with llguidance, hands the whole schema on.
# So what:  a robot's {"speed_mps": {"type": "number", "minimum": 0, "maximum": 0.5}} allows 12e9 here. Check numbers
#           after parsing, or write the allowed ones as an enum, which is kept.
#
# Exits with 0 while this holds, with 1 when it has changed. Compiles llama.cpp unless pip has the wheel: minutes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet "llama-cpp-python==0.3.36" "xllamacpp==2026.10.11549"

cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import json
import re
import sys
import warnings

from llama_cpp.llama_grammar import json_schema_to_gbnf
from xllamacpp import json_schema_to_grammar

warnings.simplefilter("error", UserWarning)

BOUNDED = {
    "an integer": {"type": "integer", "minimum": 1, "maximum": 15},
    "an integer, bounds not included": {"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 16},
    "a number": {"type": "number", "minimum": 0, "maximum": 0.5},
    "a number of steps": {"type": "number", "multipleOf": 0.25},
}
KEYWORDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")


def within(schema):
    yield "alone", schema
    yield "in an object", {"type": "object", "properties": {"x": schema}, "required": ["x"]}
    yield "in an array", {"type": "array", "items": schema, "minItems": 2, "maxItems": 2}


changed = 0
for name, schema in BOUNDED.items():
    free = {key: value for key, value in schema.items() if key not in KEYWORDS}
    for (where, bounded), (_, unbounded) in zip(within(schema), within(free), strict=True):
        same = json_schema_to_gbnf(json.dumps(bounded)) == json_schema_to_gbnf(json.dumps(unbounded))
        kept = all(re.search(rf'"{key}"', json_schema_to_grammar(bounded)) for key in KEYWORDS if key in schema)
        changed += not (same and kept)
        print(f"{name}, {where}: llama-cpp-python {'loses' if same else 'keeps'} the bounds, xllamacpp "
              f"{'keeps' if kept else 'loses'} them")

changed += json_schema_to_gbnf('{"enum": [0.25, 0.5]}') == json_schema_to_gbnf('{"type": "number"}')
sys.exit(changed > 0)
PYTHON
