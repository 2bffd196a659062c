"""Files of torch.save without torch: a zip archive of stored entries with a pickle that describes the tensors."""
import json
import random
import struct
import zipfile


def read_safetensors(path):
    """{name: (type, shape, bytes)} in the order of the data."""
    data = path.read_bytes()
    length, = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + length])
    header.pop("__metadata__", None)
    found = sorted(header.items(), key=lambda item: item[1]["data_offsets"])
    return {name: (t["dtype"], t["shape"], data[8 + length + t["data_offsets"][0]:8 + length + t["data_offsets"][1]]) for name, t in found}


def text(words):
    return b"X" + struct.pack("<I", len(words)) + words.encode()


def numbers(values):
    return b"(" + b"".join(b"\x8a\x08" + struct.pack("<q", value) for value in values) + b"t"


def write_checkpoint(path, tensors, more=b""):
    """{name: (type, shape, bytes)}; tensors of one bytes object share a storage. `more`: instructions for one more value."""
    storages, program = [], b"\x80\x02ccollections\nOrderedDict\n)R("
    for name, (kind, shape, data) in tensors.items():
        key = next((i for i, known in enumerate(storages) if known is data), len(storages))
        if key == len(storages):
            storages.append(data)
        width = {"F32": 4, "BF16": 2}[kind]
        strides = [1] * len(shape)
        for i in reversed(range(len(shape) - 1)):
            strides[i] = strides[i + 1] * shape[i + 1]
        place = b"(" + text("storage") + {"F32": b"ctorch\nFloatStorage\n", "BF16": b"ctorch\nBFloat16Storage\n"}[kind] + text(str(key)) + \
            text("cuda:0") + b"\x8a\x08" + struct.pack("<q", len(data) // width) + b"tQ"
        program += text(name) + b"ctorch._utils\n_rebuild_tensor_v2\n(" + place + b"K\x00" + numbers(shape) + numbers(strides) + \
            b"\x89ccollections\nOrderedDict\n)RtR"
    program += (text("more") + more if more else b"") + b"u."
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("model/data.pkl", program)
        archive.writestr("model/byteorder", "little")
        for key, data in enumerate(storages):
            archive.writestr(f"model/data/{key}", data)
        archive.writestr("model/version", "3\n")


FRONT = "base_causallm.base_model.model."
TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def adapted(tensors, rank=2, size=0.1, seed=3):
    """The tensors as the training program of IVT-LR saves them: wrapped, with adapters, and three more rows."""
    draw, state = random.Random(seed), {}

    def values(count):
        return struct.pack(f"<{count}f", *(draw.uniform(-size, size) for _ in range(count)))

    for name, (kind, shape, data) in tensors.items():
        module, leaf = name.rsplit(".", 1)
        if name in ("model.embed_tokens.weight", "lm_head.weight"):
            shape, data = [shape[0] + 3, shape[1]], data + bytes(3 * len(data) // shape[0])
        if module.startswith("model.layers.") and module.endswith(TARGETS):
            state[f"{FRONT}{module}.base_layer.{leaf}"] = (kind, shape, data)
            if leaf == "weight":
                state[f"{FRONT}{module}.lora_A.default.weight"] = ("F32", [rank, shape[1]], values(rank * shape[1]))
                state[f"{FRONT}{module}.lora_B.default.weight"] = ("F32", [shape[0], rank], values(shape[0] * rank))
        else:
            state[FRONT + name] = (kind, shape, data)
    state["embedding.weight"] = state[FRONT + "model.embed_tokens.weight"]
    return state
