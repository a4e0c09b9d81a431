"""The record of a conversion, and the names of operators that lead to it."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeloop_shared.conversions import Node, names_of, read_conversion, record_path, write_conversion

NODES = {"conv1": Node("/stem/Conv", "Conv")}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "small.mnn"
    path.write_bytes(b"a model")
    write_conversion(path, "small.onnx", NODES)
    return path


@pytest.mark.parametrize(
    ("operator", "names"),
    [
        ("conv1", ["conv1"]),
        ("conv1_raster_0", ["conv1_raster_0", "conv1"]),
        ("conv1__before_tr_raster_12", ["conv1__before_tr_raster_12", "conv1"]),
        ("", [""]),
    ],
)
def test_what_mnn_adds_to_a_name_is_taken_off_again(operator: str, names: list[str]) -> None:
    assert list(names_of(operator)) == names


def test_an_operator_leads_to_its_node(model: Path) -> None:
    conversion = read_conversion(model)
    assert conversion is not None
    assert (conversion.source, str(conversion.find("conv1_raster_0"))) == ("small.onnx", "/stem/Conv (Conv)")
    assert conversion.find("unheard") is None


def test_a_record_of_another_model_is_none(model: Path) -> None:
    model.write_bytes(b"a longer model")
    assert read_conversion(model) is None


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]", b'{"source": "a", "model_bytes": 7, "nodes": {"x": 3}}', b"\xff"]
)
def test_a_record_that_cannot_be_read_is_none(model: Path, content: bytes) -> None:
    record_path(model).write_bytes(content)
    assert read_conversion(model) is None


def test_a_model_without_known_nodes_has_no_record(model: Path) -> None:
    write_conversion(model, "small.onnx", {})
    assert not record_path(model).exists()
