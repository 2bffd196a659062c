#!/usr/bin/env python3
"""Makes tests/data/torch: files of torch.save, sound and hostile, and cases.json with what a reader must find in them. Also makes
tests/data/checkpoints: models of tests/data/golden as training programs save them.

    tools/make_torch_cases.py OUT CHECKPOINTS GOLDEN

Requires torch and numpy; the files in the repository were made with torch 2.15.0. Sound files are written by torch itself (but for
the directory of zip64.pth, which torch only writes for archives of more than 4 GiB). Hostile files are put together by hand.
cases.json: "sound": {file: {tensor: [type, shape, bytes as hex]}}, row-major and little-endian; "notes": {file: member that is not
used}; "refused": {file: [code, words of the sentence]}.
"""
import argparse
import collections
import io
import json
import os
import pickle
import struct
import sys
import tarfile
import zipfile
from pathlib import Path
from unittest import mock

import numpy
import torch

TYPES = {
    torch.float32: "F32", torch.float64: "F64", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64",
    torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL", torch.complex64: "C64",
    torch.uint16: "U16", torch.uint32: "U32", torch.uint64: "U64", torch.float8_e4m3fn: "F8_E4M3", torch.float8_e5m2: "F8_E5M2",
    torch.float8_e8m0fnu: "F8_E8M0",
}


def expected(tensor):
    plain = tensor.detach().clone(memory_format=torch.contiguous_format).contiguous()
    raw = plain.reshape(-1).view(torch.uint8).numpy().tobytes() if plain.numel() else b""
    return [TYPES[tensor.dtype], list(tensor.shape), raw.hex()]


def counted(*shape, dtype=torch.float32):
    return (torch.arange(int(numpy.prod(shape, dtype=int)), dtype=torch.float32) - 3).reshape(shape).to(dtype)


# ------------------------------------------------------------------------------------------------ sound files

def all_types():
    state = collections.OrderedDict()
    for dtype, name in TYPES.items():
        values = torch.tensor([1, 2, 4, 0.5, 8, 16]) if dtype == torch.float8_e8m0fnu else torch.arange(6) % 2 if dtype == torch.bool \
            else torch.arange(6)
        state[f"{name}.weight"] = values.to(dtype).reshape(2, 3)
    state._metadata = {"": {"version": 1}}
    return state


def views():
    base, cube = counted(6, 4), counted(2, 3, 4)
    return {
        "base": base, "same": base, "rows": base[2:5], "offset": base.reshape(-1)[5:9], "turned": base.t(), "columns": base[:, 1:3],
        "step": base[::2, ::3], "cube": cube, "permuted": cube.permute(2, 0, 1), "inner": cube.permute(0, 2, 1)[1], "middle": cube[:, 1],
        "repeated": torch.tensor([7.0]).expand(5), "repeated_rows": counted(1, 3).expand(2, 3), "number": torch.tensor(2.5), "nothing": torch.zeros(0, 4),
        "nothing_inside": base[:, 2:2], "one": base[:1, :1], "half": counted(4, 2, dtype=torch.bfloat16).t(),
        "complex": torch.complex(counted(2, 2), counted(2, 2) + 10).t(), "parameter": torch.nn.Parameter(counted(2, 2)),
        "turned_again": base.t(),
    }


def swapped(state):
    """As a big-endian machine writes it."""
    seen = {}
    for tensor in state.values():
        seen[tensor.untyped_storage().data_ptr()] = tensor
    for tensor in seen.values():
        if tensor.numel() and tensor.element_size() > 1:
            tensor.untyped_storage().byteswap(tensor.dtype)
    return state


def save(path, value, **options):
    torch.save(value, path, **options)
    return path.read_bytes()


def make_sound(out):
    sound, notes = {}, {}

    def keep(name, state):
        sound[name] = {key: expected(value) for key, value in state.items() if isinstance(value, torch.Tensor)}

    for name, state, options in (("types.pth", all_types(), {}), ("views.pth", views(), {}), ("protocol3.pth", views(), {"pickle_protocol": 3}),
                                 ("protocol4.pth", views(), {"pickle_protocol": 4}), ("protocol5.pth", all_types(), {"pickle_protocol": 5})):
        save(out / name, state, **options)
        keep(name, state)
    state = views()
    buffer = io.BytesIO()  # the folder in the archive is then called "archive"
    torch.save(state, buffer)
    (out / "buffer.pth").write_bytes(buffer.getvalue())
    keep("buffer.pth", state)

    keep("big.pth", views())
    state = swapped(views())
    with mock.patch.object(sys, "byteorder", "big"):
        save(out / "big.pth", state)

    state = {"weight": counted(2, 2), "bias": counted(2)}
    checkpoint = {"epoch": 3, "lr": 1e-4, "big": 1 << 40, "negative": -5, "text": "\u00e4", "flags": [True, False, None, (1, 2)],
                  "state_dict": state, "optimizer": {"state": {0: {"exp_avg": counted(2)}}}, "size": torch.Size([1, 2])}
    save(out / "nested.pth", checkpoint)
    keep("nested.pth", state)
    notes["nested.pth"] = "optimizer"
    save(out / "member.pth", {"only": state, "step": 1})
    keep("member.pth", state)
    notes["member.pth"] = "step"
    save(out / "mixed.pth", {**state, "version": "1.0"})
    keep("mixed.pth", state)
    notes["mixed.pth"] = "version"

    torch.serialization.set_crc32_options(False)
    save(out / "unchecked.pth", state)
    torch.serialization.set_crc32_options(True)
    keep("unchecked.pth", state)

    (out / "zip64.pth").write_bytes(zip64(read_entries(save(out / "zip64.pth", state))))
    keep("zip64.pth", state)

    # What costs a reader that walks or copies values: each level twice the one before, a value within itself, deep nesting.
    entries = read_entries(save(out / "cyclic.pth", state))
    for name, member in (("doubled.pth", doubled(60)), ("cyclic.pth", b"]\x94h\x00a"), ("deep.pth", b"]" * 20000 + b"a" * 19999)):
        (out / name).write_bytes(stored(with_pickle(entries, add_member(entries, b"extra", member))))
        keep(name, state)
        notes[name] = "extra"
    return sound, notes


# ---------------------------------------------------------------------------------------------- zip by hand

def read_entries(data):
    archive = zipfile.ZipFile(io.BytesIO(data))
    return {info.filename: archive.read(info) for info in archive.infolist()}


def stored(entries, method=zipfile.ZIP_STORED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in entries.items():
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return buffer.getvalue()


def zip64(entries):
    """An archive in which every size and offset is in the zip64 fields."""
    body, directory = b"", b""
    for name, data in entries.items():
        name = name.encode()
        crc = zipfile.crc32(data)
        extra = struct.pack("<HHQQ", 1, 16, len(data), len(data))
        header = struct.pack("<IHHHHHIIIHH", 0x04034b50, 45, 0, 0, 0, 0, crc, 0xffffffff, 0xffffffff, len(name), len(extra))
        wide = struct.pack("<HHQQQ", 1, 24, len(data), len(data), len(body))
        wide = struct.pack("<HHH", 0x4246, 2, 0) + wide  # another field before it
        directory += struct.pack("<IHHHHHHIIIHHHHHII", 0x02014b50, 45, 45, 0, 0, 0, 0, crc, 0xffffffff, 0xffffffff, len(name), len(wide),
                                 0, 0, 0, 0, 0xffffffff) + name + wide
        body += header + name + extra + data
    end = struct.pack("<IQHHIIQQQQ", 0x06064b50, 44, 45, 45, 0, 0, len(entries), len(entries), len(directory), len(body))
    locator = struct.pack("<IIQI", 0x07064b50, 0, len(body) + len(directory), 1)
    last = struct.pack("<IHHHHIIH", 0x06054b50, 0, 0, 0xffff, 0xffff, 0xffffffff, 0xffffffff, 0)
    return body + directory + end + locator + last


def place_of(data, name, field):
    """Offset of a field of the directory's record of an entry: its data size, its offset, its flags."""
    end = data.rindex(b"PK\5\6")
    at, = struct.unpack_from("<I", data, end + 16)
    while True:
        lengths = struct.unpack_from("<HHH", data, at + 28)
        if data[at + 46:at + 46 + lengths[0]] == name.encode():
            return at + {"packed": 20, "size": 24, "offset": 42, "flags": 8, "count": 0}[field]
        at += 46 + sum(lengths)


def patched(data, at, layout, value):
    data = bytearray(data)
    struct.pack_into(layout, data, at, value)
    return bytes(data)


# ------------------------------------------------------------------------------------------- pickles by hand

def pickle_name(entries):
    return next(name for name in entries if name.endswith("/data.pkl"))


def with_pickle(entries, program):
    return {**entries, pickle_name(entries): program}


def text(words):
    return b"X" + struct.pack("<I", len(words)) + words


def number(value):
    return b"\x8a\x08" + struct.pack("<q", value)


def add_member(entries, key, member):
    """The pickle of a plain dictionary with one more member before its first; its memo is numbered after that of the member."""
    program = entries[pickle_name(entries)]
    assert program[:2] == b"\x80\x02" and program[2:5] == b"}q\x00"
    puts = member.count(b"\x94")
    # The member goes into a dictionary of its own that is then updated by the items of the real one.
    state = shifted(program[2:-1], puts)
    return b"\x80\x04" + b"}" + text(b"extra") + member + b"s" + text(b"state_dict") + state + b"s."


def shifted(program, by):
    """The same instructions with all places of the memo moved up."""
    import pickletools
    out, ops = b"", list(pickletools.genops(program + b"."))
    for (op, argument, at), (_, _, end) in zip(ops, ops[1:]):
        out += {"BINPUT": b"q", "BINGET": b"h"}[op.name] + bytes([argument + by]) if op.name in ("BINPUT", "BINGET") else program[at:end]
    return out


def doubled(levels):
    """x = []; repeatedly x = (x, x)."""
    program = b"]\x94"
    for level in range(levels):
        program += b"h" + bytes([level]) + b"\x86\x94"
    return program


def storage(kind=b"torch\nFloatStorage\n", key=b"0", count=4):
    return b"(" + text(b"storage") + b"c" + kind + text(key) + text(b"cpu") + number(count) + b"tQ"


def sizes(*values):
    return b"(" + b"".join(number(value) for value in values) + b"t"


def tensor(where=None, offset=0, shape=(4,), strides=(1,), tail=b""):
    return (b"ctorch._utils\n_rebuild_tensor_v2\n(" + (where or storage()) + number(offset) + sizes(*shape) + sizes(*strides) +
            b"\x89ccollections\nOrderedDict\n)R" + tail + b"tR")


def holding(value, key=b"w"):
    return b"\x80\x02}" + text(key) + value + b"s."


FOUR = struct.pack("<4f", 1, 2, 3, 4)


def archive(program, data=FOUR, **more):
    return stored({"a/data.pkl": program, "a/data/0": data, "a/version": b"3\n", **more})


class Evil:
    def __reduce__(self):
        return os.system, ("touch /tmp/tenebra-was-executed",)


class Sub(torch.Tensor):
    pass


def make_hostile(out):
    refused = {}

    def put(name, data, code, words):
        (out / name).write_bytes(data)
        refused[name] = [code, words]

    def saved(name, value, words, code="UNSUPPORTED", **options):
        buffer = io.BytesIO()
        torch.save(value, buffer, **options)
        put(name, buffer.getvalue(), code, words)

    good = {"w": counted(2, 2), "b": counted(4)}
    buffer = io.BytesIO()
    torch.save(good, buffer)
    data = buffer.getvalue()
    entries = read_entries(data)

    # Other things that torch saves.
    saved("system.pth", {**good, "w2": Evil()}, "posix.system")
    saved("namespace.pth", {"model": good, "args": argparse.Namespace(lr=1)}, "argparse.Namespace")
    saved("module.pth", torch.nn.Linear(2, 2), "torch.nn.modules.linear.Linear")
    saved("array.pth", {**good, "x": numpy.zeros(2)}, "numpy")
    saved("set.pth", {**good, "x": {1, 2}}, "EMPTY_SET", pickle_protocol=4)
    saved("old.pth", good, "torch before 1.6", _use_new_zipfile_serialization=False)
    saved("complex128.pth", {"w": counted(2).to(torch.complex128)}, "complex128")
    saved("conjugate.pth", {"w": torch.complex(counted(2), counted(2)).conj()}, "conjugate")
    saved("sparse.pth", {"w": counted(2, 2).to_sparse()}, "_rebuild_sparse_tensor")
    saved("meta.pth", {"w": torch.zeros(2, device="meta")}, "meta device")
    saved("subclass.pth", {"w": counted(2).as_subclass(Sub)}, "subclass")
    saved("ranks.pth", {"w": counted(1, 1, 1, 1, 1, 1, 1, 1, 2)}, "9 dimensions")
    saved("list.pth", [counted(2)], "not a dictionary", "FORMAT")
    saved("nothing.pth", {"epoch": 1}, "contains no tensors", "FORMAT")
    saved("several.pth", {"one": good, "two": good}, "one, two")
    try:
        saved("quantised.pth", {"w": torch.quantize_per_tensor(counted(4), 0.5, 0, torch.qint8)}, "is quantised")
    except (AttributeError, RuntimeError):
        put("quantised.pth", archive(holding(tensor(storage(b"torch\nQInt8Storage\n")))), "UNSUPPORTED", "is quantised")
    put("script.pth", stored({"a/data.pkl": b"\x80\x02}.", "a/constants.pkl": b"\x80\x02).", "a/code/x.py": b""}), "UNSUPPORTED", "TorchScript")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name in ("sys_info", "pickle", "tensors", "storages"):
            tar.addfile(tarfile.TarInfo(name))
    put("tar.pth", buffer.getvalue(), "UNSUPPORTED", "tar archive")
    put("plain.pth", pickle.dumps({"w": 1}), "FORMAT", "as a plain pickle")
    put("text.pth", b"this is no archive at all", "FORMAT", "does not begin as a zip archive")

    # The archive.
    put("compressed.pth", stored(entries, zipfile.ZIP_DEFLATED), "UNSUPPORTED", "is compressed (method 8)")
    put("other.pth", stored({"README": b"x"}), "FORMAT", "has no data.pkl")
    put("cut.pth", data[:-30], "FORMAT", "is the file complete?")
    put("encrypted.pth", patched(data, place_of(data, "archive/data/0", "flags"), "<H", 1), "UNSUPPORTED", "is encrypted")
    put("two-sizes.pth", patched(data, place_of(data, "archive/data/0", "size"), "<I", 15), "FORMAT", "two different sizes")
    put("outside.pth", patched(data, place_of(data, "archive/data/0", "offset"), "<I", len(data) + 100), "FORMAT", "is not where")
    put("misplaced.pth", patched(data, place_of(data, "archive/data/0", "offset"), "<I", 7), "FORMAT", "is not where")
    at = place_of(data, "archive/data/1", "offset")
    first, = struct.unpack_from("<I", data, place_of(data, "archive/data/0", "offset"))
    put("another-name.pth", patched(data, at, "<I", first), "FORMAT", "has another name")
    long = patched(patched(data, place_of(data, "archive/data/0", "size"), "<I", 100), place_of(data, "archive/data/0", "packed"), "<I", 100)
    put("overlap.pth", long, "FORMAT", "overlaps another")
    huge = patched(patched(data, place_of(data, "archive/data/0", "size"), "<I", 0xfffffffe), place_of(data, "archive/data/0", "packed"), "<I",
                   0xfffffffe)
    put("longer.pth", huge, "FORMAT", "longer than the archive")
    put("no-zip64.pth", patched(patched(data, place_of(data, "archive/data/0", "size"), "<I", 0xffffffff),
                                place_of(data, "archive/data/0", "packed"), "<I", 0xffffffff), "FORMAT", "zip64 requires")
    end = data.rindex(b"PK\5\6")
    put("many.pth", patched(patched(data, end + 10, "<H", 0xfffe), end + 8, "<H", 0xfffe), "FORMAT", "too short for its entries")
    put("parts.pth", patched(data, end + 4, "<H", 1), "UNSUPPORTED", "several files")
    put("far-list.pth", patched(data, end + 16, "<I", 0x7fffffff), "FORMAT", "lies outside")
    short = stored(entries)  # torch writes the records of zip64 in any case
    put("no-locator.pth", patched(short, short.rindex(b"PK\5\6") + 16, "<I", 0xffffffff), "FORMAT", "zip64 directory of the archive is missing")
    wide = zip64(entries)
    put("far-zip64.pth", patched(wide, len(wide) - 22 - 20 + 8, "<Q", 1 << 62), "FORMAT", "not where the archive says")
    put("far-zip64-list.pth", patched(wide, len(wide) - 22 - 20 - 8, "<Q", (1 << 64) - 8), "FORMAT", "lies outside")
    put("zip64-count.pth", patched(patched(wide, len(wide) - 22 - 20 - 24, "<Q", 1 << 60), len(wide) - 22 - 20 - 32, "<Q", 1 << 60), "FORMAT",
        "too short for its entries")
    import warnings
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        twice = io.BytesIO()
        with zipfile.ZipFile(twice, "w") as both:
            for name, value in list(entries.items()) + [("archive/data/0", FOUR)]:
                both.writestr(zipfile.ZipInfo(name), value)
    put("twice.pth", twice.getvalue(), "FORMAT", "is in the archive twice")
    put("byteorder.pth", archive(holding(tensor()), **{"a/byteorder": b"middle"}), "FORMAT", "neither little nor big")

    # The pickle.
    for name, program, words in (
            ("empty-pickle.pth", b"", "ends within an instruction"),
            ("no-stop.pth", b"\x80\x02}", "ends within an instruction"),
            ("after-stop.pth", b"\x80\x02}..", "does not end with one value"),
            ("two-values.pth", b"\x80\x02}}.", "does not end with one value"),
            ("only-mark.pth", b"\x80\x02(.", "does not end with one value"),
            ("no-mark.pth", b"\x80\x02t.", "a mark is missing"),
            ("no-values.pth", b"\x80\x02\x86.", "values are missing"),
            ("no-instruction.pth", b"\x80\x02\xff.", "is no instruction"),
            ("unkept.pth", b"\x80\x02h\x05.", "was not kept"),
            ("far-memo.pth", b"\x80\x02}r\xff\xff\xff\x7f.", "out of order"),
            ("long-text.pth", b"\x80\x02X\xff\xff\xff\x7fab.", "ends within an instruction"),
            ("long-text8.pth", b"\x80\x04\x8d" + b"\xff" * 8 + b"ab.", "ends within an instruction"),
            ("long-frame.pth", b"\x80\x04\x95" + b"\xff" * 8 + b"}.", "frame that is longer"),
            ("odd-items.pth", b"\x80\x02}(K\x01u.", "a key without a value"),
            ("set-in-list.pth", b"\x80\x02]K\x01K\x02s.", "what is not a dictionary"),
            ("add-to-dict.pth", b"\x80\x02}K\x01a.", "what is not a list"),
            ("call-text.pth", b"\x80\x02X\x01\0\0\0a)R.", "what is not a name"),
            ("no-name.pth", b"\x80\x04K\x01K\x02\x93.", "a name that is not one"),
            ("open-name.pth", b"\x80\x02ctorch", "a name that is not one"),
            ("long-name.pth", b"\x80\x02c" + b"a" * 300 + b"\nb\n.", "a name that is not one"),
            ("dict-of.pth", b"\x80\x02ccollections\nOrderedDict\n](K\x01K\x02\x86e\x85R.", "a dictionary made of arguments"),
            ("call-class.pth", b"\x80\x02ctorch\nFloatStorage\n)R.", "which is no function"),
            ("persistent.pth", b"\x80\x02K\x01Q.", "something else than a storage"),
            ("no-type.pth", holding(tensor(b"(" + text(b"storage") + text(b"x") + text(b"0") + text(b"cpu") + b"K\x04tQ")), "something else"),
            ("missing-storage.pth", holding(tensor(storage(key=b"9"))), "\"data/9\" is missing"),
            ("escape.pth", holding(tensor(storage(key=b"../data.pkl"))), "is missing"),
            ("short-storage.pth", holding(tensor(storage(count=5))), "is said to hold 5"),
            ("huge-storage.pth", holding(tensor(storage(count=1 << 62))), "is said to hold"),
            ("negative-storage.pth", holding(tensor(storage(count=-1))), "something else"),
            ("outside-tensor.pth", holding(tensor(offset=1)), "lies outside"),
            ("far-offset.pth", holding(tensor(offset=(1 << 63) - 1)), "lies outside"),
            ("negative-offset.pth", holding(tensor(offset=-1)), "lies outside"),
            ("negative-stride.pth", holding(tensor(offset=3, strides=(-1,))), "whole number from 0"),
            ("far-stride.pth", holding(tensor(shape=(2,), strides=((1 << 63) - 1,))), "lies outside"),
            ("huge-shape.pth", holding(tensor(shape=(1 << 40, 1 << 40), strides=(0, 0))), "does not fit into memory"),
            ("empty-far.pth", holding(tensor(shape=(0,), offset=5)), "lies outside"),
            ("ranks-differ.pth", holding(tensor(shape=(2, 2))), "no stride for each dimension"),
            ("no-shape.pth", holding(b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage() + b"K\x00]]\x89NtR"), "has no shape"),
            ("no-arguments.pth", holding(b"ctorch._utils\n_rebuild_tensor_v2\n)R"), "is not made of a storage"),
            ("of-tensor.pth", holding(tensor(tensor())), "is not made of a storage"),
            ("no-parameter.pth", holding(b"ctorch._utils\n_rebuild_parameter\n(K\x01\x89NtR"), "a parameter without a tensor"),
            ("untyped.pth", holding(tensor(storage(b"torch.storage\nUntypedStorage\n", count=16))), "do not agree"),
            ("control-name.pth", holding(tensor(), b"a\x1bb"), "control characters"),
            ("no-utf8.pth", holding(tensor(), b"a\xffb"), "is not UTF-8"),
            ("zero-name.pth", holding(tensor(), b"a\0b"), "is not a text"),
            ("empty-name.pth", holding(tensor(), b""), "is empty"),
            ("long-key.pth", holding(tensor(), b"a" * 257), "is not a text of at most 256"),
            ("number-name.pth", b"\x80\x02}K\x05" + tensor() + b"s.", "is not a text")):
        put(name, archive(program), "FORMAT", words)
    put("repeated.pth", archive(holding(tensor(shape=(1000, 4), strides=(0, 1)))), "LIMIT",
        "more bytes than the file")
    put("protocol.pth", archive(b"\x80\x09}."), "UNSUPPORTED", "protocol 9")
    put("new-object.pth", archive(b"\x80\x02ccollections\nOrderedDict\n)\x81."), "UNSUPPORTED", "NEWOBJ")
    put("build.pth", archive(b"\x80\x02K\x01}b."), "UNSUPPORTED", "BUILD")
    put("extension.pth", archive(b"\x80\x02\x82\x01."), "UNSUPPORTED", "EXT1")
    put("instance.pth", archive(b"\x80\x02(ios\nsystem\n."), "UNSUPPORTED", "INST")
    put("stack-global.pth", archive(b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93."), "UNSUPPORTED", "builtins.eval")
    put("attribute.pth", archive(b"\x80\x02ctorch\n_utils._rebuild_tensor_v2\n."), "UNSUPPORTED", "_utils._rebuild_tensor_v2")
    put("long-number.pth", archive(b"\x80\x02\x8a\x09" + b"\1" * 9 + b"."), "LIMIT", "a number of 9 bytes")
    return refused


# ------------------------------------------------------------------------------------------------- checkpoints

def read_safetensors(path):
    data = path.read_bytes()
    length, = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + length])
    header.pop("__metadata__", None)
    tensors = {}
    for name, tensor in header.items():
        assert tensor["dtype"] == "F32"
        begin, end = (8 + length + offset for offset in tensor["data_offsets"])
        tensors[name] = torch.from_numpy(numpy.frombuffer(data[begin:end], dtype="<f4").reshape(tensor["shape"]).copy())
    return tensors


def more_rows(tensor, count):
    """A training program appends rows for its tokens; here copies of the first, so that the others stay most likely."""
    return torch.cat([tensor, tensor[:1].expand(count, -1)])


def wrapped(model, adapter, front, rows):
    """As the training program of IVT-LR saves a model, with its adapter if there is one."""
    adapted = {name.split(".lora_")[0].removeprefix("base_model.model.") for name in adapter}
    state = collections.OrderedDict()
    for name, tensor in model.items():
        module, leaf = name.rsplit(".", 1)
        if name in ("model.embed_tokens.weight", "lm_head.weight"):
            tensor = more_rows(tensor, rows)
        state[f"{front}{module}.base_layer.{leaf}" if module in adapted else front + name] = tensor
        for part in ("lora_A", "lora_B") if module in adapted and leaf == "weight" else ():
            state[f"{front}{module}.{part}.default.weight"] = adapter[f"base_model.model.{module}.{part}.weight"]
    return state


def make_checkpoints(out, golden):
    front = "base_causallm.base_model.model."
    untied = read_safetensors(golden / "qwen2vl_untied/model/model.safetensors")
    adapter = read_safetensors(golden / "qwen2vl_untied/adapter/adapter_model.safetensors")
    state = wrapped(untied, adapter, front, 3)
    state["embedding.weight"] = state[front + "model.embed_tokens.weight"]  # the same storage
    torch.save(state, out / "latent.pth")

    torch.save(adapter, out / "adapter_model.bin")  # as PEFT with safe_serialization=False

    tied = read_safetensors(golden / "qwen2vl_tied/model/model.safetensors")
    state = wrapped(tied, {}, "module." + front, 3)
    embedding = state["module." + front + "model.embed_tokens.weight"]
    state["module." + front + "lm_head.weight"] = state["module.embedding.weight"] = embedding
    torch.save(state, out / "tied.pth")


def main():
    out, checkpoints, golden = (Path(argument) for argument in sys.argv[1:4])
    out.mkdir(parents=True, exist_ok=True)
    checkpoints.mkdir(parents=True, exist_ok=True)
    make_checkpoints(checkpoints, golden)
    sound, notes = make_sound(out)
    refused = make_hostile(out)
    cases = {"sound": sound, "notes": notes, "refused": refused}
    (out / "cases.json").write_text(json.dumps(cases, indent=1, sort_keys=True) + "\n")
    print(f"{len(sound)} sound and {len(refused)} refused files in {out}")


if __name__ == "__main__":
    main()
