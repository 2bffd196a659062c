#!/usr/bin/env python3
"""Chameleon from outside: a random model is written, inspected, quantised, measured, asked, traced, trained and resumed, and its
layers are computed again in plain Python, with norms before and after attention and MLP.

    chameleon.py PROGRAM DATA [TEST ...]
"""
import hashlib
import json
import math
import random
import re
import shutil
import struct
import sys
import zlib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "support"))
from program import DATA, PICTURE, WORK, Case, main, run  # noqa: E402

GOLDEN = DATA / "golden/chameleon_64"
TOKENIZER = DATA / "tokenizer-chameleon"
CELLS = 64  # of an image of shape chameleon-tiny


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


# --------------------------------------------------------------- a random model --

CODES = range(4, 68)  # the tokens of images in this tokenizer


def make_chameleon(name="model", seed=7):
    directory = WORK / name
    if not directory.exists():
        done = run("bench", "--shape", "chameleon-tiny", "--type", "F32", "--seed", seed, "--tokenizer", TOKENIZER, "-o", directory)
        if done.returncode != 0:
            raise RuntimeError(done.stderr)
    return directory


def ask(*arguments, model=None, **more):
    return run("run", "-m", model or make_chameleon(), "-n", 6, "-t", 1, *arguments, **more)


def ask_json(*arguments, **more):
    done = ask("--json", *arguments, **more)
    if done.returncode != 0:
        raise AssertionError(f"exit code {done.returncode}: {done.stderr}")
    return json.loads(done.stdout)


def write_png(path, width, height, seed=1):
    """Squares of random colours."""
    dice = random.Random(seed)
    colours = [[bytes(dice.randrange(256) for _ in range(3)) for _ in range(width // 8 + 1)] for _ in range(height // 8 + 1)]
    raw = b"".join(b"\0" + b"".join(colours[y // 8][x // 8] for x in range(width)) for y in range(height))

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    Path(path).write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) +
                           chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b""))
    return path


class Asked(Case):
    def test_inspect(self):
        seen = json.loads(run("inspect", "-m", make_chameleon(), "--json").stdout)
        self.assertEqual(seen["config"]["backbone"], "chameleon")
        self.assertEqual({name: count for name, count in seen["counts"].items() if count > 0}, {"matched": 98})

    def test_codes_are_those_of_the_tokenizer(self):
        swapped = WORK / "swapped"
        shutil.copytree(make_chameleon(), swapped)
        config = json.loads((swapped / "config.json").read_text())
        names = config["vocabulary_map"]
        names["IMGIMGBAZ"], names["IMGIMGCFZ"] = names["IMGIMGCFZ"], names["IMGIMGBAZ"]
        (swapped / "config.json").write_text(json.dumps(config))
        done = ask("-p", "What?", model=swapped)
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"the token of code 10 of images is {names['IMGIMGBAZ']} in config.json, but in the tokenizer IMGIMGBAZ is "
                      f"{names['IMGIMGCFZ']}\n", done.stderr)

    def test_misshapen(self):
        """The shape in the file and the expected one are told in full: q_norm has values of its own for each head."""
        flat = WORK / "flat"
        shutil.copytree(make_chameleon(), flat)
        tensors = {key: ("F32", *value) for key, value in floats(flat / "model.safetensors").items()}
        name = "model.layers.0.self_attn.q_norm.weight"
        for shape, words in (([64], "tensor has the shape [64] and type F32; [4, 16] of"), ([4, 16], "")):
            write_tensors(flat / "model.safetensors", {**tensors, name: ("F32", shape, tensors[name][2])})
            done = ask("-p", "What?", model=flat)
            self.assertEqual(done.returncode, 1 if words else 0, done.stderr)
            self.assertIn(words, done.stderr)

    def test_tied_in_words_only(self):
        """A head in the files counts, and is told. Without one, a tied head has the values of the embedding."""
        model = make_chameleon()
        config = json.loads((model / "config.json").read_text())
        own = [ask_json("--image", PICTURE, "-p", "What?")["tokens"]]
        for name, drop in (("tied-in-words", False), ("tied", True)):
            shutil.copytree(model, WORK / name)
            (WORK / name / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": True}))
            if drop:
                tensors = {key: ("F32", *value) for key, value in floats(model / "model.safetensors").items() if key != "lm_head.weight"}
                write_tensors(WORK / name / "model.safetensors", tensors)
            told = "config.json: tie_word_embeddings (true, but the files contain a head)"
            self.assertEqual(told in ask("-p", "a", model=WORK / name).stderr, not drop)
            seen = run("inspect", "-m", WORK / name).stdout
            self.assertEqual((told in seen, "head       tied" in seen), (not drop, drop), seen)
            self.assertIn("images     all in 32 x 32 pixels, 64 tokens each\n", seen)
            own.append(ask_json("--image", PICTURE, "-p", "What?", model=WORK / name)["tokens"])
        self.assertEqual(own[0], own[1])
        self.assertNotEqual(own[0], own[2])

    def test_bench(self):
        done = run("bench", "-m", make_chameleon(), "-t", 1, "--compare-recompute", "-r", 1)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(f"({CELLS} of the image)", done.stdout)
        self.assertNotIn("--prompt-tokens", done.stderr)
        done = run("bench", "-m", make_chameleon(), "-t", 1, "-r", 1, "--prompt-tokens", 20)
        self.assertIn(f"note       the image alone has {CELLS} rows, so the prompt has {CELLS + 8}, not 20", done.stderr)

    def test_every_method_answers(self):
        names = re.search(r"--method ([a-z|-]+)", run("run", "--help").stdout).group(1).split("|")
        self.assertIn("ivt-lr", names)
        for name in names:
            done = ask("--image", PICTURE, "-p", "What is it?", "--method", name)
            if name == "lare":  # computes with a module, which a new model does not have
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertIn("train it first", done.stderr)
                continue
            self.assertEqual(done.returncode, 0, f"{name}: {done.stderr}")

    def test_rows_of_an_image(self):
        out = ask_json("--image", PICTURE, "-p", "What is it?")
        self.assertEqual(out["counts"]["image"], CELLS)
        text = ask_json("-p", "What is it?")
        self.assertEqual(out["counts"]["prompt"], text["counts"]["prompt"] + CELLS + 2)  # with the tokens around it

    def test_the_number_of_placeholders(self):
        """Other programs would take that of the published models."""
        told = json.loads((make_chameleon() / "processor_config.json").read_text())
        self.assertEqual(told, {"processor_class": "ChameleonProcessor", "image_seq_length": CELLS})
        other = WORK / "no-placeholders"
        self.assertEqual(run("bench", "--shape", "tiny", "-o", other).returncode, 0)
        self.assertFalse((other / "processor_config.json").exists())

    def test_too_many_rows(self):
        """A larger context is only advised if the model has the positions."""
        small = WORK / "few-positions"
        shutil.copytree(make_chameleon(), small)
        config = json.loads((small / "config.json").read_text())
        (small / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 70}))
        for few, model, told in ((("-c", 50), None, "but the context has 50; raise -c, show fewer"),
                                 ((), small, "but the context has 70, all that the model has; show fewer"),
                                 (("-c", 66), None, "do not fit into 66; raise -c, shorten the prompt")):
            pictures = ("--image", PICTURE) * (1 if few else 2)
            self.assert_fails(ask(*pictures, "-p", "What is it?", *few, model=model), 1, told)
        self.assert_fails(ask("--image", PICTURE, "-p", "What is it?", model=small), 1, "do not fit into 70, all that the model has; shorten")

    def test_sizes_of_single_images(self):
        turns = [{"role": "user", "content": [{"type": "image", "image": str(PICTURE), "resized_height": 32, "resized_width": 32}]}]
        self.assert_fails(ask("--messages", "-", stdin=json.dumps(turns)), 1, "--image-size (image_size in a request) gives all of them one")

    def test_without_a_processor_file(self):
        """Images then have the size of the encoder, "resolution"."""
        bare = WORK / "bare"
        shutil.copytree(make_chameleon(), bare)
        for name in ("preprocessor_config.json", "processor_config.json"):
            (bare / name).unlink(missing_ok=True)
        out = [ask_json("--image", PICTURE, "-p", "What is it?", model=model) for model in (None, bare)]
        self.assertEqual(out[1]["counts"]["image"], CELLS)
        self.assertEqual(out[0]["answer"], out[1]["answer"])

    def test_images_matter(self):
        """Latent steps and the first words depend on the image, whose codes differ."""
        pictures = [write_png(WORK / f"noise-{seed}.png", 64, 64, seed) for seed in (1, 2)]
        out = [ask_json("--image", picture, "-p", "What?", "--method", "ivt-lr", "--n-latent", 1, "--k-select", 4) for picture in pictures]
        self.assertNotEqual(out[0]["steps"][0]["hidden_norm"], out[1]["steps"][0]["hidden_norm"])

    def test_rectangles(self):
        """64 x 32 pixels: the middle square of 32 is seen, in 8 x 8 cells of 4 pixels. 96 x 128: resized to 32 x 42 first."""
        for width, height, side, left, top in ((64, 32, 4, 16, 0), (32, 64, 4, 0, 16), (96, 128, 12, 0, 15)):
            picture = write_png(WORK / f"{width}x{height}.png", width, height)
            out = ask_json("--image", picture, "-p", "What?", "--method", "ivt-lr", "--n-latent", 2, "--k-select", 5)
            picks = [pick for step in out["steps"] for pick in step["picks"]]
            self.assertEqual(len({pick["index"] for pick in picks}), 10)
            for pick in picks:
                row, column = divmod(pick["index"], 8)
                expected = (left + side * column, top + side * row, left + side * (column + 1), top + side * (row + 1))
                for got, wanted in zip(pick["rectangle"], expected):
                    self.assertLess(abs(got - wanted), 0.03 * max(width, height), (width, height, pick))
                    if width < 96:
                        self.assertEqual(got, wanted)

    def test_rectangles_of_few_pixels(self):
        """They cover what was seen, inside of the image, also where the crop ends within a pixel."""
        for width, height, size, seen in ((1, 1, "64x32", (0, 0, 1, 1)), (40, 1, "32x96", (19, 0, 21, 1)),
                                          (640, 400, "32x32", (112, 0, 515, 400))):
            picture = write_png(WORK / f"few-{width}.png", width, height)
            out = ask_json("--image", picture, "-p", "What?", "--method", "ivt-lr", "--n-latent", 1, "--k-select", 4096, "--image-size",
                           size)
            places = [pick["rectangle"] for pick in out["steps"][0]["picks"]]
            self.assertEqual(len(places), out["counts"]["image"])
            self.assertEqual(tuple(pick(sides) for pick, sides in zip((min, min, max, max), zip(*places))), seen)

    def test_interventions(self):
        usual = ["--image", PICTURE, "-p", "What?", "--method", "ivt-lr", "--n-latent", 2, "--k-select", 4]
        plain = ask_json(*usual)
        for change in (["--latent-text", "noise"], ["--latent-text", "zero"], ["--latent-picks", "random"], ["--latent-picks", "lowest"]):
            out = ask_json(*usual, *change)
            self.assertNotEqual((out["steps"][1]["hidden_norm"], out["steps"][1]["picks"]),
                                (plain["steps"][1]["hidden_norm"], plain["steps"][1]["picks"]), change)
        again = ask_json(*usual, "--recompute")
        self.assertEqual(again["tokens"], plain["tokens"])
        self.assertEqual([s["picks"] for s in again["steps"]][0][0]["index"], plain["steps"][0]["picks"][0]["index"])

    def test_codes_are_never_generated(self):
        """Not even by sampling at a temperature at which all other tokens are about as likely."""
        tokens = []
        for seed in range(3):
            tokens += ask_json("--image", PICTURE, "-p", "What?", "--temp", 100, "--seed", seed, "-n", 400)["tokens"]
        others = range(100, 100 + len(CODES))
        self.assertGreater(sum(token in others for token in tokens), 20)  # the control: as many tokens that may be generated
        self.assertEqual(sum(token in CODES for token in tokens), 0)

    def test_an_image_is_encoded_once(self):
        lines = [{"prompt": text, "images": [PICTURE]} for text in ("What?", "What?", "Where?")]
        done = run("run", "-m", make_chameleon(), "-n", 3, "--jsonl", "--json", stdin="".join(json.dumps(line) + "\n" for line in lines))
        self.assertEqual(done.returncode, 0, done.stderr)
        counts = [json.loads(line)["counts"] for line in done.stdout.splitlines()]
        self.assertEqual([count["vision_cached"] for count in counts], [0, 1, 1])
        self.assertGreaterEqual(counts[2]["prompt_reused"], CELLS)

    def test_quantised(self):
        for name in ("Q8_0", "Q4_256", "IQ4_NL"):
            directory = WORK / f"quantised-{name}"
            done = run("quantize", make_chameleon(), "-o", directory, "--type", name)
            self.assertEqual(done.returncode, 0, done.stderr)
            seen = json.loads(run("inspect", "-m", directory, "--json").stdout)
            self.assertEqual({kind: count for kind, count in seen["counts"].items() if count > 0}, {"matched": 98})
            tower = {line["type"] for line in seen["tensors"] if line["name"].endswith("conv1.weight")}
            self.assertEqual(tower, {"F16"}, "errors of 8 bits would change codes")
            out = ask_json("--image", PICTURE, "-p", "What?", "--method", "ivt-lr", "--n-latent", 1, "--k-select", 4, model=directory)
            self.assertEqual(len(out["steps"][0]["picks"]), 4)

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

    def test_a_damaged_codebook(self):
        """An entry that no cell is near to, too, is named instead of being passed over."""
        damaged = WORK / "damaged"
        shutil.copytree(make_chameleon(), damaged)
        data, name = bytearray((damaged / "model.safetensors").read_bytes()), "model.vqmodel.quantize.embedding.weight"
        header, _ = read_tensors(damaged / "model.safetensors")
        at = 8 + struct.unpack("<Q", data[:8])[0] + header[name]["data_offsets"][1]
        data[at - 4:at] = struct.pack("<f", math.nan)
        (damaged / "model.safetensors").write_bytes(data)
        done = ask("--image", PICTURE, "-p", "What?", model=damaged)
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"{name}: contains a value that is NaN or infinite", done.stderr)
        self.assertEqual(ask("-p", "What?", model=damaged).returncode, 0)

    def test_evaluated(self):
        results, page = WORK / "results.jsonl", WORK / "results.html"
        done = run("eval", "-m", make_chameleon(), "--data", f"hops:{make_data()}", "--method", "direct,ivt-lr:k-select=3", "-n", 4, "-t", 1,
                   "--scores", "-o", results)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(run("eval", "report", results, "-o", page).returncode, 0)
        self.assertEqual(len(results.read_text().splitlines()), 1 + 2 * 2)


# -------------------------------------------------------------------- training --

def make_data():
    directory = WORK / "hops"
    if not directory.exists():
        done = run("data", "make", "hops", directory, "--train", 12, "--dev", 2, "--test", 2, "--seed", 5)
        assert done.returncode == 0, done.stderr
    return directory


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def contents(path):
    header, body = read_tensors(path)
    return {name: body[slice(*entry["data_offsets"])] for name, entry in header.items() if name != "__metadata__"}


class Trained(Case):
    SETTINGS = {"method": "ivt-lr", "k_select": 3, "epochs_per_stage": 1, "max_latent_stage": 1, "num_epochs": 2, "batch_size": 2,
                "gradient_accumulation_steps": 1, "validate": "false", "save_steps": 1, "lr": "1e-3", "max_samples": 8}

    def run_training(self, name, resume=False, **settings):
        changes = [f"--set={key}={value}" for key, value in {**self.SETTINGS, **settings}.items()]
        return run("train", "-m", make_chameleon(), "-d", f"hops:{make_data()}", "-o", WORK / name, "-t", 1, *changes,
                   *(["--resume"] if resume else []))

    def train(self, name, **settings):
        done = self.run_training(name, **settings)
        self.assertEqual(done.returncode, 0, done.stderr)
        return WORK / name

    def losses(self, folder):
        rows = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
        return [row["loss"] for row in rows if "loss" in row]

    def check_resumed(self, kind, weights, **settings):
        whole = self.train(f"{kind}-whole", **settings)
        self.train(f"{kind}-cut", max_updates=3, **settings)
        cut = self.train(f"{kind}-cut", resume=True, **settings)
        self.assertEqual(digest(whole / weights), digest(cut / weights), "a resumed run gives other weights")
        losses = self.losses(whole)
        self.assertEqual(len(losses), 8)
        self.assertTrue(all(0 < loss < 20 for loss in losses), losses)  # a label that is a code would add 3e38
        return whole

    def test_adapter(self):
        whole = self.check_resumed("lora", "adapter/adapter_model.safetensors", lora_rank=4)
        names = set(contents(whole / "adapter/adapter_model.safetensors"))
        self.assertIn("base_model.model.model.layers.1.self_attn.q_proj.lora_A.weight", names)
        self.assertFalse([name for name in names if "vqmodel" in name or "norm" in name], "what is no linear layer has an adapter")
        usual = ["--image", PICTURE, "-p", "What?", "-n", 12]
        adapted = ask_json(*usual, "--lora", whole / "adapter")
        self.assertEqual(adapted["counts"]["image"], CELLS)
        self.assertNotEqual(adapted["tokens"], ask_json(*usual)["tokens"])

    def test_full(self):
        whole = self.check_resumed("full", "model/model.safetensors", finetuning_type="full")
        losses = self.losses(whole)
        self.assertLess(sum(losses[2:4]), sum(losses[:2]))
        before, after = (contents(folder / "model.safetensors") for folder in (make_chameleon(), whole / "model"))
        self.assertEqual(set(before), set(after))
        same = {name for name in before if before[name] == after[name]}
        self.assertEqual(same, {name for name in before if ".vqmodel." in name}, "the image encoder is frozen, all else is trained")
        self.assertEqual(json.loads((whole / "model/config.json").read_text())["vocabulary_map"],
                         json.loads((make_chameleon() / "config.json").read_text())["vocabulary_map"])
        self.assertEqual(ask_json("--image", PICTURE, "-p", "What?", model=whole / "model")["counts"]["image"], CELLS)

    def test_the_image_encoder_is_never_trained(self):
        """What asks for it is told."""
        note = "freeze_vision_tower has no effect: in models whose images are tokens"
        for freeze in (False, True):
            done = self.run_training(f"encoder-{freeze}", finetuning_type="full", freeze_vision_tower=str(freeze).lower(), max_updates=1)
            self.assertEqual((done.returncode, note in done.stderr), (0, not freeze), done.stderr)
        done = self.run_training("encoder-alone", finetuning_type="full", trainable="model.vqmodel.*")
        self.assertEqual(done.returncode, 2)
        self.assertIn("matches the patterns outside of the image encoder, which is never trained", done.stderr)
        done = self.run_training("encoder-adapter", lora_target="q_proj,conv1", max_updates=1)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("target_modules matches nothing outside of the image encoder, which is not trained: conv1\n", done.stderr)
        done = self.run_training("encoder-adapters", lora_target="conv1")
        self.assertEqual(done.returncode, 2)
        self.assertIn('["conv1"] matches no module of the model outside of the image encoder', done.stderr)

    def test_bounds_that_no_image_keeps(self):
        """Both the option and the key of a recipe that change the size are told."""
        done = self.run_training("bounds", image_max_pixels=100)
        self.assertEqual(done.returncode, 2)
        self.assertIn("--image-size sets another one (image_size in a recipe)", done.stderr)
        self.train("bounds-kept", image_max_pixels=100, image_size="8x8", max_updates=1)

    def test_methods_that_cannot_be_trained(self):
        done = run("train", "-m", make_chameleon(), "-d", f"hops:{make_data()}", "-o", WORK / "icot", "--set", "method=icot", "-t", 1)
        self.assertEqual(done.returncode, 2)
        self.assertRegex(done.stderr, "the method 'icot' cannot be trained; these can: [a-z, -]*direct, ivt-lr, ")
        self.assertNotIn("scaffold", done.stderr)

    def test_heads_of_codes_are_not_trained(self):
        """Their logits are replaced, so only weight decay could move their rows of the head; here there is none."""
        folder = self.train("decay", finetuning_type="full", weight_decay=0, max_updates=2)
        before, after = (contents(place / "model.safetensors")["lm_head.weight"] for place in (make_chameleon(), folder / "model"))
        width = 4 * 64
        moved = [i for i in range(len(before) // width) if before[i * width:(i + 1) * width] != after[i * width:(i + 1) * width]]
        self.assertFalse(set(moved) & set(CODES))
        self.assertEqual(len(moved), len(before) // width - len(CODES))


if __name__ == "__main__":
    main()
