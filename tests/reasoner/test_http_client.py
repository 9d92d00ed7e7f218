"""Server-sent events as servers write them, in pieces of any size. Deadlines and connections: test_openai.py."""

import pytest

from rarrl.reasoner.http_client import events

ONE, TWO = {"a": 1}, {"b": "x\ny"}

STREAMS = {
    "LF": b'data: {"a": 1}\n\ndata: {"b": "x\\ny"}\n\ndata: [DONE]\n\n',
    "CRLF": b'data: {"a": 1}\r\n\r\ndata: {"b": "x\\ny"}\r\n\r\ndata: [DONE]\r\n\r\n',
    "CR": b'data: {"a": 1}\r\rdata: {"b": "x\\ny"}\r\rdata: [DONE]\r\r',
    "no space": b'data:{"a": 1}\n\ndata:{"b": "x\\ny"}\n\ndata:[DONE]\n\n',
    "comments, names": b': hi\nevent: x\nid: 1\ndata: {"a": 1}\n\n:\n\ndata: {"b": "x\\ny"}\n\ndata: [DONE]\n\n',
    "several lines": b'data: {"a":\ndata: 1}\n\ndata: {"b": "x\\ny"}\n\ndata: [DONE]\n\n',
    "no blank lines": b'data: {"a": 1}\ndata: {"b": "x\\ny"}\ndata: [DONE]\n',
    "no line end at the end": b'data: {"a": 1}\n\ndata: {"b": "x\\ny"}\n\ndata: [DONE]',
    "byte order mark": b'\xef\xbb\xbfdata: {"a": 1}\n\ndata: {"b": "x\\ny"}\n\ndata: [DONE]\n\n',
    "empty data": b'data:\n\ndata: {"a": 1}\n\ndata: \n\ndata: {"b": "x\\ny"}\n\ndata: [DONE]\n\n',
}


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
@pytest.mark.parametrize("name", STREAMS)
def test_events(name, size):
    stream = STREAMS[name]
    pieces = (stream[i : i + size] for i in range(0, len(stream), size))
    assert list(events(pieces)) == [ONE, TWO, None]


def test_an_error_is_an_event():
    assert list(events(iter([b'error: {"code": 500}\n\n']))) == [{"error": {"code": 500}}]


def test_what_is_no_json_is_an_error():
    with pytest.raises(ValueError, match="Expecting"):
        list(events(iter([b"data: mug\n\n"])))
