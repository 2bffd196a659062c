"""Model directories as others write them: processor files, keys without use, chat templates, caches, damaged weights, and what training
writes beside weights.

    directories.py PROGRAM DATA [TEST ...]
"""
import json
import os
import shutil
import struct
import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))
from program import DATA, PICTURE, WORK, Case, ask_json, main, make_model, run  # noqa: E402

QUESTION = ("-p", "What is small and green?", "-n", 2, "-t", 1)


def copy_model(name, **files):
    """A copy of the model; each file (its dots as __) replaced by this object or text, or with None removed."""
    directory = WORK / name
    shutil.copytree(make_model("model"), directory)
    for key, value in files.items():
        path = directory / key.replace("__", ".")
        if value is None:
            path.unlink()
        else:
            path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return directory


def read(path):
    return json.loads(Path(path).read_text(encoding="utf-8"))


def read_header(path):
    data = Path(path).read_bytes()
    return json.loads(data[8:8 + struct.unpack("<Q", data[:8])[0]])


def change_config(directory, **changes):
    path = directory / "config.json"
    path.write_text(json.dumps({**read(path), **changes}), encoding="utf-8")


def spoil(directory, name):
    """Makes the first value of an F32 tensor NaN."""
    path = directory / "model.safetensors"
    data = bytearray(path.read_bytes())
    length = struct.unpack("<Q", data[:8])[0]
    begin = 8 + length + json.loads(data[8:8 + length])[name]["data_offsets"][0]
    data[begin:begin + 4] = struct.pack("<f", float("nan"))
    path.write_bytes(data)


class Reading(Case):
    def image_rows(self, directory):
        done = run("run", "-m", directory, "--image", PICTURE, *QUESTION, "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)["counts"]["image"]

    def test_processor_files(self):
        part = {"image_processor_type": "Qwen2VLImageProcessor", "size": {"shortest_edge": 784, "longest_edge": 1568}}
        old = copy_model("old", preprocessor_config__json={"min_pixels": 784, "max_pixels": 1568})
        new = copy_model("new", preprocessor_config__json=None, processor_config__json={"image_processor": part})
        both = copy_model("both", processor_config__json={"image_processor": part})
        rows = self.image_rows(make_model("model"))
        self.assertEqual(self.image_rows(old), self.image_rows(new))
        self.assertEqual(self.image_rows(both), self.image_rows(new))
        self.assertLessEqual(self.image_rows(new), 1568 // 784)
        self.assertGreater(rows, self.image_rows(new))
        done = run("run", "-m", both, *QUESTION)
        self.assertIn("preprocessor_config.json: all of it", done.stderr)
        self.assertEqual(json.loads(run("inspect", "-m", new, "--json").stdout)["config"]["max_pixels"], 1568)

    def test_one_note(self):
        directory = copy_model("noted", generation_config__json={"repetition_penalty": 1.05})
        change_config(directory, logit_scale=2)
        done = run("run", "-m", directory, *QUESTION)
        self.assertEqual(done.returncode, 0)
        self.assertEqual(done.stderr, "note: settings in the files of the model that are not used: config.json: logit_scale; "
                                      "generation_config.json: repetition_penalty\n")
        told = run("inspect", "-m", directory)
        self.assertIn("not used   config.json: logit_scale; generation_config.json: repetition_penalty", told.stdout)
        self.assertEqual(json.loads(run("inspect", "-m", directory, "--json").stdout)["not_used"],
                         [{"file": "config.json", "key": "logit_scale"}, {"file": "generation_config.json", "key": "repetition_penalty"}])
        self.assertEqual(run("run", "-m", make_model("model"), *QUESTION).stderr, "")

    def test_an_index_of_weights(self):
        """One shard, and an index whose other keys are noted; if there is a model.safetensors, the index is ignored."""
        header = read_header(Path(make_model("model")) / "model.safetensors")
        index = {"metadata": {"total_size": 1}, "weight_map": {name: "model-1.safetensors" for name in header if name != "__metadata__"}}
        directory = copy_model("shards", model__safetensors__index__json=index)
        (directory / "model.safetensors").rename(directory / "model-1.safetensors")
        done = run("run", "-m", directory, *QUESTION)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        (directory / "model.safetensors.index.json").write_text(json.dumps({**index, "quantized": {"bits": 4}, "empty": None}), encoding="utf-8")
        self.assertIn("model.safetensors.index.json: quantized\n", run("run", "-m", directory, *QUESTION).stderr)
        self.assertEqual(json.loads(run("inspect", "-m", directory, "--json").stdout)["not_used"],
                         [{"file": "model.safetensors.index.json", "key": "quantized"}])
        beside = copy_model("beside", model__safetensors__index__json=index)
        self.assertIn("model.safetensors.index.json: all of it\n", run("run", "-m", beside, *QUESTION).stderr)

    def test_other_commands_tell_it(self):
        config = read(Path(make_model("model")) / "tokenizer_config.json")
        directory = copy_model("told", tokenizer_config__json={**config, "odd": 1})
        change_config(directory, logit_scale=2)
        note = "note: settings in the files of the model that are not used: "
        done = run("tokenize", "-m", directory, "-p", "a", "--jsonl", stdin='{"text": "a"}\n{"text": "a", "skip": 1}\n')
        self.assertEqual(done.stderr, note + "tokenizer_config.json: odd\n")
        self.assertIn("unknown members: skip", json.loads(done.stdout.splitlines()[1])["error"]["sentence"])
        few = ("--prompt-tokens", 40, "--image-size", "112x112", "--k-select", 2, "-n", 1, "-r", 1, "-t", 1, "--json")
        for name, command in (("bench", ("-m", directory, *few)), ("quantize", (directory, "-o", WORK / "told-small", "--type", "BF16"))):
            done = run(name, *command)
            self.assertEqual((done.returncode, done.stderr), (0, note + "config.json: logit_scale\n"), name)
        done = run("verify", DATA / "golden/qwen2vl_tied/case.safetensors", "-m", directory)
        self.assertIn(note + "config.json: logit_scale\n", done.stderr)
        for name in (("tokenize", "-m", make_model("model"), "-p", "a"), ("bench", "-m", make_model("model"), *few)):
            self.assertEqual(run(*name).stderr, "")

    def test_tokenizer_notes(self):
        config = read(Path(make_model("model")) / "tokenizer_config.json")
        directory = copy_model("tokens", tokenizer_config__json={**config, "add_bos_token": True, "odd": 1},
                               special_tokens_map__json={"eos_token": "<|nowhere|>"})
        done = run("run", "-m", directory, *QUESTION)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("tokenizer_config.json: odd, add_bos_token; special_tokens_map.json: eos_token (\"<|nowhere|>\" is not in the "
                      "vocabulary)", done.stderr)

    def test_tokens_of_images_are_those_of_the_prompt(self):
        for name, token in (("image_token_id", "<|image_pad|>"), ("vision_start_token_id", "<|vision_start|>"),
                            ("vision_end_token_id", "<|vision_end|>")):
            directory = copy_model(name)
            real = read(directory / "config.json")[name]
            change_config(directory, **{name: real - 3})
            self.assert_fails(run("run", "-m", directory, *QUESTION), 1,
                              f'"{name}" of config.json is {real - 3}, but in the tokenizer {token} is {real}')
        change_config(directory, vision_end_token_id=None)  # nothing is stated
        self.assertEqual(run("run", "-m", directory, *QUESTION).returncode, 0)
        tokenizer = (directory / "tokenizer.json").read_text(encoding="utf-8")
        self.assertIn("<|vision_start|>", tokenizer)
        (directory / "tokenizer.json").write_text(tokenizer.replace("<|vision_start|>", "<|another|>"), encoding="utf-8")
        self.assert_fails(run("run", "-m", directory, *QUESTION), 1, "vision_start_token_id", "the tokenizer has no <|vision_start|>")

    def test_rotary_scaling(self):
        directory = copy_model("yarn")
        config = read(directory / "config.json")
        change_config(directory, rope_scaling={**config["rope_scaling"], "rope_type": "yarn", "factor": 4})
        self.assert_fails(run("run", "-m", directory, *QUESTION), 1, "rope_scaling.rope_type", "yarn")

    def test_quantised_by_others(self):
        for method in ("gptq", "awq", "fp8", "bitsandbytes", "compressed-tensors"):
            directory = copy_model(method)
            change_config(directory, quantization_config={"quant_method": method})
            for command in ("run", "inspect"):
                done = run(command, "-m", directory, *(QUESTION if command == "run" else ()))
                self.assert_fails(done, 1, "quantization_config", method)

    def test_a_vector_has_one_dimension(self):
        directory = copy_model("vector")
        path = directory / "model.safetensors"
        data = path.read_bytes()
        length = struct.unpack("<Q", data[:8])[0]
        header = json.loads(data[8:8 + length])
        header["model.norm.wait"] = header.pop("model.norm.weight")
        text = json.dumps(header).encode()
        path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length:])
        done = run("run", "-m", directory, *QUESTION)
        self.assert_fails(done, 1, "model.norm.weight", "[128] expected")
        told = json.loads(run("inspect", "-m", directory, "--json").stdout)
        self.assertEqual([row["expected"] for row in told["tensors"] if row["verdict"] == "missing"], [[128]])

    def test_parts_of_files_and_unknown_sizes_are_named(self):
        directory = copy_model("parts")
        config, told = read(directory / "config.json"), read(directory / "preprocessor_config.json")
        for change, words in (({"vision_config": {**config["vision_config"], "depth": 0}}, 'config.json: vision_config: "depth" must be'),
                              ({"model_type": None}, "is a model without a type"),
                              ({"tie_word_embeddings": False, "vocab_size": None},
                               "lm_head.weight: tensor is missing: [vocab_size, 128] expected (1 tensor does not match")):
            (directory / "config.json").write_text(json.dumps({**config, **change}), encoding="utf-8")
            self.assert_fails(run("run", "-m", directory, *QUESTION), 1, words)
        lines = json.loads(run("inspect", "-m", directory, "--json").stdout)["tensors"]
        self.assertEqual([line["expected"] for line in lines if line["verdict"] == "missing"], [[None, 128]])
        (directory / "config.json").write_text(json.dumps(config), encoding="utf-8")
        (directory / "processor_config.json").write_text(json.dumps({"image_processor": {**told, "do_resize": 1}}), encoding="utf-8")
        self.assert_fails(run("run", "-m", directory, *QUESTION), 1, 'processor_config.json: image_processor: "do_resize" must be')
        tokenizer = read(directory / "tokenizer.json")
        for change, words in (({"normalizer": {"type": "Strip", "strip_left": 3}}, 'tokenizer.json: normalizer: "strip_left" must be'),
                              ({"pre_tokenizer": {"type": "Digits", "individual_digits": 3}}, 'pre_tokenizer: "individual_digits" must be'),
                              ({"model": {**tokenizer["model"], "ignore_merges": 3}}, 'tokenizer.json: model: "ignore_merges" must be'),
                              ({"added_tokens": [{**tokenizer["added_tokens"][0], "special": 3}]}, 'added token 640: "special" must be')):
            (directory / "tokenizer.json").write_text(json.dumps({**tokenizer, **change}), encoding="utf-8")
            self.assert_fails(run("tokenize", "-m", directory, "-p", "a"), 1, words)

    def test_templates_by_name(self):
        config = read(Path(make_model("model")) / "tokenizer_config.json")
        text = config["chat_template"]
        named = [{"name": "tool_use", "template": "{{ x }}"}, {"name": "default", "template": text}]
        listed = copy_model("listed", tokenizer_config__json={**config, "chat_template": named})
        self.assertEqual(run("run", "-m", listed, *QUESTION).returncode, 0)
        mapped = copy_model("mapped", chat_template__json={"chat_template": {"default": text, "tool_use": "{{ x }}"}})
        self.assertEqual(run("run", "-m", mapped, *QUESTION).returncode, 0)
        without = copy_model("without", chat_template__json={"chat_template": {"tool_use": text}})
        self.assert_fails(run("run", "-m", without, *QUESTION), 1, "tool_use", "--chat-template")
        self.assertEqual(run("run", "-m", without, "--chat-template", "qwen2-vl", *QUESTION).returncode, 0)

    def test_bench_asks_nothing_of_the_text(self):
        few = ("--prompt-tokens", 40, "--image-size", "112x112", "--k-select", 2, "-n", 1, "-r", 1, "-t", 1, "--json")
        strange = copy_model("strange", chat_template__jinja="{{ nobody knows }}")
        self.assert_fails(run("run", "-m", strange, *QUESTION), 1, "chat template")
        self.assertEqual(run("bench", "-m", strange, *few).returncode, 0)
        dumb = copy_model("dumb", tokenizer__json=None)
        for name in ("vocab.json", "merges.txt"):
            (dumb / name).unlink(missing_ok=True)
        self.assertEqual(run("bench", "-m", dumb, *few).returncode, 0)

    def test_where_a_model_is(self):
        for command in (("run", *QUESTION), ("inspect",), ("bench",)):
            done = run(command[0], "-m", "Qwen/Qwen2-VL-2B-Instruct", *command[1:])
            self.assert_fails(done, 1, "hf download Qwen/Qwen2-VL-2B-Instruct --local-dir")
        cache = WORK / "hub" / "models--someone--tiny"
        (cache / "refs").mkdir(parents=True)
        (cache / "refs" / "main").write_text("0123abcd")
        (cache / "blobs").mkdir()
        snapshot = cache / "snapshots" / "0123abcd"
        snapshot.mkdir(parents=True)
        for number, path in enumerate(sorted(Path(make_model("model")).iterdir())):
            shutil.copy(path, cache / "blobs" / str(number))
            (snapshot / path.name).symlink_to(f"../../blobs/{number}")
        answers = {ask_json(*QUESTION, model=str(path))["answer"] for path in (make_model("model"), cache, snapshot)}
        self.assertEqual(len(answers), 1)
        for command in (("inspect", "-m", cache), ("tokenize", "-m", cache, "-p", "a"),
                        ("quantize", "-m", cache, "-o", WORK / "small", "--type", "Q8_0")):
            self.assertEqual(run(*command).returncode, 0, command)

    def test_where_a_training_run_has_its_model(self):
        for what, name, words in (("model", "config.json", "contains one: use {}/model\n"),
                                  ("adapter", "adapter_config.json", "contains an adapter: use --lora {}/adapter, with the model")):
            folder = WORK / f"run-with-{what}"
            (folder / what).mkdir(parents=True)
            (folder / what / name).write_text("{}", encoding="utf-8")
            for command in (("run", *QUESTION), ("inspect",), ("bench",)):
                for end in ("", "/"):
                    self.assert_fails(run(command[0], "-m", f"{folder}{end}", *command[1:]), 1, words.format(folder))

    def test_git_lfs_pointers(self):
        pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n"
        for name in ("model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json"):
            directory = copy_model(f"pointer-{name}", **{name.replace(".", "__"): pointer})
            self.assert_fails(run("run", "-m", directory, *QUESTION), 1, name, "git lfs pull")
        picture = WORK / "pointer.png"
        picture.write_text(pointer)
        self.assert_fails(run("run", "-m", make_model("model"), "--image", picture, *QUESTION), 1, "pointer.png", "git lfs pull")


class Adapters(Case):
    """A tokenizer in the directory of an adapter, as PEFT saves it if tokens were added."""

    def test_its_tokenizer(self):
        data, model = WORK / "adapter-data", Path(make_model("model"))
        self.assertEqual(run("data", "make", "hops", data, "--train", 2, "--dev", 1, "--test", 1).returncode, 0)
        settings = ("finetuning_type=lora", "method=direct", "max_updates=1", "validate=false", "batch_size=1", "gradient_accumulation_steps=1")
        done = run("train", "-m", model, "-d", f"hops:{data}", "-o", WORK / "adapter-run", *(word for key in settings for word in ("--set", key)))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(": 1 of 1 update, loss ", done.stdout)
        adapter = WORK / "adapter-run/adapter"
        self.assertFalse((adapter / "tokenizer.json").exists())

        def ask(change):
            tokenizer = read(model / "tokenizer.json")
            change(tokenizer["added_tokens"])
            (adapter / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
            return run("run", "-m", model, "--lora", adapter, *QUESTION)

        rows = read_header(model / "model.safetensors")["model.embed_tokens.weight"]["shape"][0]
        last = read(model / "tokenizer.json")["added_tokens"][-1]
        done = ask(lambda added: None)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotIn("tokenizer", done.stderr)
        done = ask(lambda added: added.__setitem__(-1, {**last, "content": "<|point|>"}))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(f"its tokenizer is not used, and differs from the model's in the tokens {last['id']} (<|point|>)\n", done.stderr)
        more = [{**last, "id": last["id"] + 1 + i, "content": f"<|{i}|>"} for i in range(rows - last["id"])]
        done = ask(lambda added: added.extend(more[:-1]))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual("<|0|>" in done.stderr, len(more) > 1)
        self.assert_fails(ask(lambda added: added.extend(more)), 1, "adapter-run/adapter", f"{rows} rows", "tokens were added")
        (adapter / "tokenizer.json").write_text('{"model": {"type": "Unigram"}}', encoding="utf-8")
        done = run("run", "-m", model, "--lora", adapter, *QUESTION)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("its tokenizer is neither used nor compared: ", done.stderr)


class NoNumbers(Case):
    def test_an_answer(self):
        directory = copy_model("nan")
        spoil(directory, "model.layers.2.mlp.down_proj.weight")
        for more in ((), ("--method", "ivt-lr", "--image", PICTURE)):
            done = run("run", "-m", directory, *QUESTION, *more)
            self.assertEqual((done.returncode, done.stdout), (1, ""))
            self.assertIn("model.layers.2.mlp.down_proj.weight: contains a value that is NaN or infinite (row 0, column 0), so nothing can "
                          "be computed with decoder layer 2", done.stderr)

    def test_a_picture(self):
        directory = copy_model("nan-tower")
        spoil(directory, "visual.blocks.1.norm1.weight")
        done = run("run", "-m", directory, "--image", PICTURE, *QUESTION)
        self.assert_fails(done, 1, "visual.blocks.1.norm1.weight", "vision block 1")
        self.assertEqual(run("run", "-m", directory, *QUESTION).returncode, 0)  # without a picture the tower does not run

    def test_an_evaluation(self):
        directory, data, output = copy_model("nan-eval"), WORK / "nan-data", WORK / "nan.jsonl"
        spoil(directory, "model.layers.0.input_layernorm.weight")
        self.assertEqual(run("data", "make", "hops", data, "--train", 1, "--dev", 1, "--test", 2).returncode, 0)
        done = run("eval", "-m", directory, "--data", f"hops:{data}", "--method", "direct", "-n", 2, "-t", 1, "-o", output)
        self.assertEqual(done.returncode, 1)
        records = [json.loads(line) for line in output.read_text().splitlines()[1:]]
        self.assertEqual(len(records), 2)
        for record in records:
            self.assertIn("model.layers.0.input_layernorm.weight", json.dumps(record["error"]))

    def test_training(self):
        directory, data = copy_model("nan-train"), WORK / "nan-train-data"
        spoil(directory, "model.layers.1.self_attn.o_proj.weight")
        self.assertEqual(run("data", "make", "hops", data, "--train", 2, "--dev", 1, "--test", 1).returncode, 0)
        done = run("train", "-m", directory, "-d", f"hops:{data}", "-o", WORK / "nan-run", "--set", "finetuning_type=full", "--set",
                   "method=direct", "--set", "max_updates=1", "--set", "validate=false", "--set", "batch_size=1", "--set",
                   "gradient_accumulation_steps=1")
        self.assertEqual(done.returncode, 1)
        self.assertIn("model.layers.1.self_attn.o_proj.weight: update 1: the weights from which training started hold a value that is NaN",
                      done.stderr)


class Writing(Case):
    """The files that full training writes with the weights, for this program and for old and new versions of transformers."""

    def train(self, source, name, *changes, options=()):
        data = WORK / "export-data"
        if not data.exists():
            self.assertEqual(run("data", "make", "hops", data, "--train", 2, "--dev", 1, "--test", 1).returncode, 0)
        done = run("train", "-m", source, "-d", f"hops:{data}", "-o", WORK / name, "--set", "finetuning_type=full", "--set", "method=direct",
                   "--set", "max_updates=1", "--set", "validate=false", "--set", "batch_size=1", "--set",
                   "gradient_accumulation_steps=1", *options, *(word for change in changes for word in ("--set", change)))
        self.assertEqual(done.returncode, 0, done.stderr)
        return WORK / name / "model"

    def test_the_new_processor_file(self):
        part = {"image_processor_type": "Qwen2VLImageProcessor", "size": {"shortest_edge": 784, "longest_edge": 200704}}
        source = copy_model("source", preprocessor_config__json=None,
                            processor_config__json={"image_processor": part, "processor_class": "Qwen2VLProcessor"})
        config = read(source / "config.json")
        config.pop("torch_dtype", None)
        config.update(dtype="bfloat16", vision_config={**config["vision_config"], "dtype": "bfloat16"})
        (source / "config.json").write_text(json.dumps(config))
        kept = self.train(source, "kept")
        self.assertEqual(read(kept / "processor_config.json"), read(source / "processor_config.json"))
        self.assertEqual(read(kept / "preprocessor_config.json"), {**part, "min_pixels": 784, "max_pixels": 200704})
        written = read(kept / "config.json")
        self.assertEqual((written["dtype"], written["vision_config"]["dtype"]), ("float32", "float32"))
        self.assertNotIn("torch_dtype", written)
        ruled = self.train(source, "ruled", "image_max_pixels=12544")
        new, old = read(ruled / "processor_config.json"), read(ruled / "preprocessor_config.json")
        for rule in (new["image_processor"], old):
            self.assertEqual((rule["max_pixels"], rule["min_pixels"], rule["size"]),
                             (12544, 784, {"shortest_edge": 784, "longest_edge": 12544}))
        self.assertEqual(run("run", "-m", ruled, *QUESTION).stderr.count("note: the files"), 0)
        self.assertEqual(json.loads(run("inspect", "-m", ruled, "--json").stdout)["config"]["max_pixels"], 12544)

    def test_further_templates(self):
        """additional_chat_templates/ is part of a model: its default is the template where nothing else is."""
        config = read(Path(make_model("model")) / "tokenizer_config.json")
        text = config.pop("chat_template")
        source = copy_model("further", tokenizer_config__json=config)
        (source / "additional_chat_templates").mkdir()
        for name, content in (("default.jinja", text), ("tool_use.jinja", "{{ x }}"), ("notes.txt", "none")):
            (source / "additional_chat_templates" / name).write_text(content, encoding="utf-8")
        for name, more in (("copied", ()), ("copied", ("--overwrite",))):
            kept = self.train(source, name, options=more) / "additional_chat_templates"
            self.assertEqual(sorted(path.name for path in kept.iterdir()), ["default.jinja", "tool_use.jinja"])
            self.assertEqual((kept / "default.jinja").read_text(encoding="utf-8"), text)
            self.assertEqual([path.name for path in (WORK / name).iterdir() if path.name.startswith("model.")], [])
        self.assertEqual(run("run", "-m", WORK / "copied/model", *QUESTION).returncode, 0)
        packed = WORK / "packed-further"
        for more in ((), ("--force",)):
            done = run("quantize", source, "-o", packed, "--type", "BF16", *more)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(sorted(path.name for path in (packed / "additional_chat_templates").iterdir()), ["default.jinja", "tool_use.jinja"])
        self.assertEqual(run("run", "-m", packed, *QUESTION).returncode, 0)
        (kept / "mine.txt").write_text("mine", encoding="utf-8")
        (kept.parent / "empty").mkdir()
        plain = self.train(make_model("model"), "copied", options=("--overwrite",))
        self.assertFalse((plain / "additional_chat_templates/default.jinja").exists())
        self.assertEqual((plain / "additional_chat_templates/mine.txt").read_text(encoding="utf-8"), "mine")
        self.assertTrue((plain / "empty").is_dir())

    def test_number_types(self):
        source = copy_model("types")
        self.assertEqual(read(self.train(source, "f32") / "config.json")["torch_dtype"], "float32")
        # frozen weights stay F32, trained ones are BF16
        mixed = self.train(source, "mixed", "save_dtype=bf16", "trainable=model.layers.*")
        self.assertEqual(read(mixed / "config.json")["torch_dtype"], "float32")
        whole = self.train(source, "bf16", "save_dtype=bf16", "freeze_vision_tower=false")
        self.assertEqual(read(whole / "config.json")["torch_dtype"], "bfloat16")

    def test_no_processor_file(self):
        source = copy_model("bare", preprocessor_config__json=None)
        self.assertEqual(read(self.train(source, "bare-run", "image_max_pixels=12544") / "preprocessor_config.json")["max_pixels"], 12544)


if __name__ == "__main__":
    main()
