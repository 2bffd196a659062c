#!/usr/bin/env python3
"""Chameleon from outside: its layers are computed again in plain Python, with norms before and after attention and MLP, and
quantising does not change what it sees.

    chameleon.py PROGRAM DATA [TEST ...]
"""
import json
import math
import struct
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "support"))
from program import DATA, WORK, Case, main, run  # noqa: E402

GOLDEN = DATA / "golden/chameleon_64"


def read_tensors(path):
    data = Path(path).read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8:8 + length]), data[8 + length:]


def floats(path):
    """Tensors as flat lists, with their shapes."""
    header, body = read_tensors(path)
    kinds = {"F32": "f", "I64": "q"}
    found = {}
    for name, entry in header.items():
        if name != "__metadata__" and entry["dtype"] in kinds:
            begin, end = entry["data_offsets"]
            kind = kinds[entry["dtype"]]
            found[name] = (entry["shape"], struct.unpack(f"<{(end - begin) // struct.calcsize(kind)}{kind}", body[begin:end]))
    return found


def write_tensors(path, tensors):
    """tensors: name to (dtype, shape, values)."""
    header, body = {}, b""
    for name, (dtype, shape, values) in tensors.items():
        data = struct.pack(f"<{len(values)}{'f' if dtype == 'F32' else 'q'}", *values)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    text = json.dumps(header).encode()
    Path(path).write_bytes(struct.pack("<Q", len(text)) + text + body)


# ------------------------------------------------- the decoder in plain Python --

class Decoder:
    """Written from the formulas of docs/backbones/chameleon.md; nothing is fast."""

    def __init__(self, model, config):
        self.tensors, self.config = floats(model / "model.safetensors"), config
        self.width, self.heads = config["hidden_size"], config["num_attention_heads"]
        self.keys, self.size = config["num_key_value_heads"], config["hidden_size"] // config["num_attention_heads"]

    def values(self, name):
        return self.tensors[name][1]

    def rows(self, name):
        (_, columns), values = self.tensors[name]
        return [values[at:at + columns] for at in range(0, len(values), columns)]

    def linear(self, name, x):
        matrix = self.rows(name)
        return [[math.fsum(a * b for a, b in zip(line, row)) for line in matrix] for row in x]

    def rms(self, name, x):
        weight, out = self.values(name), []
        for row in x:
            scale = 1 / math.sqrt(sum(v * v for v in row) / len(row) + self.config["rms_norm_eps"])
            out.append([v * scale * w for v, w in zip(row, weight)])
        return out

    def head(self, name, row, number):
        """Head `number` of a row: its layer norm with weight and bias of its own."""
        at, size = number * self.size, self.size
        part, weight, bias = row[at:at + size], self.values(f"{name}.weight")[at:at + size], self.values(f"{name}.bias")[at:at + size]
        mean = sum(part) / size
        scale = 1 / math.sqrt(sum((v - mean) ** 2 for v in part) / size + 1e-5)
        return [(v - mean) * scale * w + b for v, w, b in zip(part, weight, bias)]

    def turn(self, part, position):
        half, out = self.size // 2, list(part)
        for i in range(half):
            angle = position * self.config["rope_theta"] ** (-2 * i / self.size)
            cos, sin = math.cos(angle), math.sin(angle)
            out[i], out[i + half] = part[i] * cos - part[i + half] * sin, part[i + half] * cos + part[i] * sin
        return out

    def attention(self, layer, x):
        name = f"model.layers.{layer}.self_attn"
        q, k, v = (self.linear(f"{name}.{part}_proj.weight", x) for part in "qkv")
        k = [[self.turn(self.head(f"{name}.k_norm", row, n), t) for n in range(self.keys)] for t, row in enumerate(k)]
        mixed = []
        for t, row in enumerate(q):
            out = []
            for n in range(self.heads):
                query, key = self.turn(self.head(f"{name}.q_norm", row, n), t), n * self.keys // self.heads
                scores = [sum(a * b for a, b in zip(query, k[s][key])) / math.sqrt(self.size) for s in range(t + 1)]
                top = max(scores)
                weights = [math.exp(s - top) for s in scores]
                total = sum(weights)
                at = key * self.size
                out += [sum(w * v[s][at + i] for s, w in enumerate(weights)) / total for i in range(self.size)]
            mixed.append(out)
        return self.linear(f"{name}.o_proj.weight", mixed)

    def mlp(self, layer, x):
        name = f"model.layers.{layer}.mlp"
        gate, up = self.linear(f"{name}.gate_proj.weight", x), self.linear(f"{name}.up_proj.weight", x)
        return self.linear(f"{name}.down_proj.weight", [[g / (1 + math.exp(-g)) * u for g, u in zip(*pair)] for pair in zip(gate, up)])

    def last_logits(self, ids):
        embed = self.rows("model.embed_tokens.weight")
        x = [list(embed[i]) for i in ids]
        for layer in range(self.config["num_hidden_layers"]):
            for norm, part in (("input_layernorm", self.attention), ("post_attention_layernorm", self.mlp)):
                norm = f"model.layers.{layer}.{norm}.weight"
                change = self.rms(norm, part(layer, x)) if self.config["swin_norm"] else part(layer, self.rms(norm, x))
                x = [[a + b for a, b in zip(*pair)] for pair in zip(x, change)]
        logits = self.linear("lm_head.weight", self.rms("model.norm.weight", x[-1:]))[0]
        for name, token in self.config["vocabulary_map"].items():
            if name.startswith("IMGIMG"):
                logits[token] = -3.4028234663852886e38
        return logits


class Layers(Case):
    def check(self, swin, wrong=False):
        """The logits of a text, computed here, as a golden case. `wrong`: with the norms of the other order."""
        config = json.loads((GOLDEN / "model/config.json").read_text())
        model = WORK / f"layers-{swin}-{wrong}"
        model.mkdir()
        (model / "model.safetensors").write_bytes((GOLDEN / "model/model.safetensors").read_bytes())
        (model / "config.json").write_text(json.dumps(dict(config, swin_norm=swin)))
        ids = floats(GOLDEN / "case.safetensors")["textonly.ids"][1]
        logits = Decoder(model, dict(config, swin_norm=swin != wrong)).last_logits(ids)
        case = WORK / f"layers-{swin}-{wrong}.safetensors"
        write_tensors(case, {"textonly.ids": ("I64", [len(ids)], ids), "textonly.last_logits": ("F32", [len(logits)], logits)})
        done = run("verify", "--json", "-m", model, case)
        rows = json.loads(done.stdout)["rows"]
        self.assertEqual([row["name"] for row in rows], ["textonly.last_logits"])
        return rows[0]["verdict"] == "ok"

    def test_norms_before(self):
        self.assertTrue(self.check(False))

    def test_norms_after(self):
        self.assertTrue(self.check(True))

    def test_the_other_order_differs(self):
        self.assertFalse(self.check(True, wrong=True))


class Quantised(Case):
    def test_codes_of_a_quantised_model(self):
        """With the default types, at most 1 % of the codes of a golden case change; with 8 bits in the image encoder, more do."""
        changed = {}
        for name, more in (("default", []), ("all", ["--vision", "Q8_0"])):
            directory = WORK / f"golden-{name}"
            done = run("quantize", DATA / "golden/chameleon_1024/model", "-o", directory, "--type", "Q8_0", *more)
            self.assertEqual(done.returncode, 0, done.stderr)
            done = run("verify", "--json", "-m", directory, DATA / "golden/chameleon_1024/case.safetensors")
            changed[name] = next(row for row in json.loads(done.stdout)["rows"] if row["name"] == "vq.codes")["max_abs"]
        self.assertLessEqual(changed["default"], 10)
        self.assertGreater(changed["all"], 10)


if __name__ == "__main__":
    main()
