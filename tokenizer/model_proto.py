"""The messages of SentencePiece's model files, as classes of protobuf.

The wheel of sentencepiece carries generated code for them that asks for a newer protobuf than Apache Beam allows, so
the fields that are read or written here are declared here. Other fields of a file are kept unchanged.

Source: sentencepiece_model.proto of sentencepiece 0.2.3.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_TYPES = descriptor_pb2.FieldDescriptorProto
_STRING, _BYTES, _BOOL, _INT32 = _TYPES.TYPE_STRING, _TYPES.TYPE_BYTES, _TYPES.TYPE_BOOL, _TYPES.TYPE_INT32
_FLOAT, _MESSAGE = _TYPES.TYPE_FLOAT, _TYPES.TYPE_MESSAGE

_Field = tuple[int, str, int, str]
"""Number, name, type, default (empty: none)."""

# Enumerations are declared as numbers: both are written alike.
_TRAINER: tuple[_Field, ...] = (
    (3, "model_type", _INT32, "1"),
    (4, "vocab_size", _INT32, "8000"),
    (22, "split_by_whitespace", _BOOL, "true"),
    (24, "treat_whitespace_as_suffix", _BOOL, "false"),
    (31, "user_defined_symbols", _STRING, "repeated"),
    (35, "byte_fallback", _BOOL, "false"),
    (40, "unk_id", _INT32, "0"),
    (41, "bos_id", _INT32, "1"),
    (42, "eos_id", _INT32, "2"),
    (43, "pad_id", _INT32, "-1"),
)
_NORMALISER: tuple[_Field, ...] = (
    (1, "name", _STRING, ""),
    (2, "precompiled_charsmap", _BYTES, ""),
    (3, "add_dummy_prefix", _BOOL, "true"),
    (4, "remove_extra_whitespaces", _BOOL, "true"),
    (5, "escape_whitespaces", _BOOL, "true"),
)
_PIECE: tuple[_Field, ...] = ((1, "piece", _STRING, ""), (2, "score", _FLOAT, ""), (3, "type", _INT32, "1"))


def _declare(message: Any, name: str, fields: tuple[_Field, ...]) -> None:
    message.name = name
    for number, field_name, kind, default in fields:
        field = message.field.add(name=field_name, number=number, type=kind, label=_TYPES.LABEL_OPTIONAL)
        if default == "repeated":
            field.label = _TYPES.LABEL_REPEATED
        elif default:
            field.default_value = default


def _model_class() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="xlmr/sentencepiece_model.proto", package="sentencepiece")
    _declare(file.message_type.add(), "TrainerSpec", _TRAINER)
    _declare(file.message_type.add(), "NormalizerSpec", _NORMALISER)
    _declare(file.message_type.add(), "SentencePiece", _PIECE)
    model = file.message_type.add(name="ModelProto")
    for number, name, of in (
        (1, "pieces", "SentencePiece"),
        (2, "trainer_spec", "TrainerSpec"),
        (3, "normalizer_spec", "NormalizerSpec"),
    ):
        label = _TYPES.LABEL_REPEATED if name == "pieces" else _TYPES.LABEL_OPTIONAL
        model.field.add(name=name, number=number, type=_MESSAGE, label=label, type_name=f".sentencepiece.{of}")
    pool = descriptor_pool.DescriptorPool()  # its own: the default one may hold the messages of transformers
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("sentencepiece.ModelProto"))


ModelProto: Any = _model_class()
"""A model file: ``ModelProto.FromString(data)``, ``.pieces``, ``.trainer_spec``, ``.normalizer_spec``."""
