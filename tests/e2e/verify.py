#!/usr/bin/env python3
"""`tenebra verify` over all golden cases, and its negative controls: a changed expectation, a changed weight, a NaN, the
model of another case, or a case without known names must not pass.

    verify.py PROGRAM DATA      DATA: tests/data
"""
import json
import math
import os
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

PROGRAM, GOLDEN = sys.argv[1], Path(sys.argv[2]) / "golden"
failures = []


def check(condition, sentence):
    if not condition:
        failures.append(sentence)
        print("FAILED:", sentence)


def run(*arguments, **more):
    environment = dict(os.environ, **more.pop("environment", {}))
    return subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, env=environment, **more)


# ------------------------------------------------------------ safetensors --

SIZES = {"F32": 4, "BF16": 2, "I64": 8, "U8": 1}


def load(path):
    data = Path(path).read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8:8 + length]), bytearray(data[8 + length:])


def save(path, header, body):
    text = json.dumps(header).encode()
    Path(path).write_bytes(struct.pack("<Q", len(text)) + text + bytes(body))


def change(header, body, name, how, at=0):
    """Replaces element `at` of a tensor by how(old value)."""
    entry = header[name]
    kind = {"F32": "<f", "I64": "<q", "U8": "<B"}[entry["dtype"]]
    place = entry["data_offsets"][0] + at * SIZES[entry["dtype"]]
    old = struct.unpack_from(kind, body, place)[0]
    struct.pack_into(kind, body, place, how(old))


# ------------------------------------------------------------------ tests --

def passes_with_every_kernel_set():
    names = run("bench", "--list-kernels").stdout.split()
    check("reference" in names, f"kernel sets: {names}")
    for name in names:
        for case, least in (("preprocess/case", 5), ("qwen2vl_tied/case", 150), ("qwen2vl_untied/case", 150),
                            ("other_shape/case", 100), ("qwen2vl_untied/lora", 220), ("other_shape/lora", 250),
                            ("chameleon_64/case", 162), ("chameleon_1024/case", 82), ("chameleon_64/lora", 61)):
            result = run("verify", "--json", "--strict", GOLDEN / f"{case}.safetensors", environment={"TENEBRA_KERNELS": name})
            report = json.loads(result.stdout)
            wrong = [row["name"] for row in report["rows"] if row["verdict"] != "ok"]
            check((result.returncode == 0 or report["not_covered"]) and not wrong, f"{case} with {name}: {wrong} {result.stderr}")
            check(len(report["rows"]) >= least, f"{case} with {name}: only {len(report['rows'])} quantities")


def threads_change_nothing():
    case = GOLDEN / "qwen2vl_tied/case.safetensors"
    outputs = {run("verify", "--json", "-t", count, case).stdout for count in (1, 2, 3)}
    check(len(outputs) == 1 and "" not in outputs, "the report depends on the number of threads")


CHANGED = {
    "qwen2vl_untied": ["vision.embeds", "vision.block.1", "multi.embeds", "plain.mrope.position_ids", "plain.mrope.logits_last24",
                       "plain.arange.hidden.2", "textonly.last_logits", "ivtlr.K5.N2.cuda.selected", "ivtlr.K5.N2.cuda.scores",
                       "ivtlr.K5.N2.desc.latent_hidden", "ivtlr.K5.N4.asc.generated", "ivtlr.K5.N3.cuda.loss",
                       "ivtlr.K8.N4.cuda.label_logits", "ivtlr.K5.N2.cuda.gen_calls", "eos.later.generated", "batch2.selected"],
    "chameleon_64": ["vq.codes", "vq.token_ids", "vq.prequant", "vq.mid.attn", "plain.hidden.1", "plain.logits_last32", "plain.hidden.2",
                     "ivtlr.K12.N2.cuda.selected", "ivtlr.K16.N4.desc.scores", "ivtlr.K21.N3.desc.generated",
                     "ivtlr.K12.N4.cuda.latent_hidden", "ivtlr.K12.N2.asc.loss", "ivtlr.K12.N2.cuda.label_logits"],
    "chameleon_1024": ["ivtlr.K64.N1.cuda.train_last_logits", "ivtlr.K64.N2.cuda.selected", "ivtlr.K64.N3.asc.loss",
                       "ivtlr.K64.N4.cuda.gen_calls", "ivtlr.K64.N0.any.train_calls"],
}


def changed_expectations_are_noticed(work, folder):
    """One element of one quantity of every kind; verify must name just that one."""
    case = GOLDEN / folder / "case.safetensors"
    header, _ = load(case)
    broken = Path(work) / "broken.safetensors"
    for number, name in enumerate(CHANGED[folder]):
        if name not in header:
            check(False, f"the case has no {name}")
            continue
        changes = [("changed", lambda old: old + (1 if isinstance(old, int) else max(1e-2, 1e-2 * abs(old))))]
        if header[name]["dtype"] == "F32" and number % 3 == 0:
            changes.append(("NaN", lambda old: math.nan))
        for word, how in changes:
            header_now, body = load(case)
            change(header_now, body, name, how)
            save(broken, header_now, body)
            result = run("verify", "--json", "-m", case.parent / "model", broken)
            wrong = [row["name"] for row in json.loads(result.stdout)["rows"] if row["verdict"] != "ok"]
            check(result.returncode == 1 and wrong == [name], f"{name} {word}: exit {result.returncode}, failed {wrong}")


def tokens_never_generated_are_exact(work):
    """The logits of codes are the lowest float. Those of chameleon_64 are ids 200 to 247."""
    case = GOLDEN / "chameleon_64/case.safetensors"
    broken = Path(work) / "broken.safetensors"
    for word, how in (("higher", lambda old: -1e30), ("minus infinity", lambda old: -math.inf)):
        header, body = load(case)
        change(header, body, "textonly.last_logits", how, 210)
        save(broken, header, body)
        result = run("verify", "--json", "-m", case.parent / "model", broken)
        wrong = [row["name"] for row in json.loads(result.stdout)["rows"] if row["verdict"] != "ok"]
        check(result.returncode == 1 and wrong == ["textonly.last_logits"], f"a code's logit {word}: failed {wrong}")


def ends_of_sequences_must_fit(work):
    """A case that holds only the ends of its sequences: they must be those of prompt_ids."""
    case = GOLDEN / "chameleon_1024/case.safetensors"
    broken = Path(work) / "broken.safetensors"
    for name, at in (("ids.N2.gen_tail", 0), ("ids.N3.gen_tail", 9), ("ids.N1.train_tail", 3), ("prompt_ids", 3)):
        header, body = load(case)
        change(header, body, name, lambda old: old + 1, at)
        save(broken, header, body)
        result = run("verify", "--json", "-m", case.parent / "model", broken)
        report = json.loads(result.stdout)
        wrong = [row["name"] for row in report["rows"] if row["verdict"] != "ok"]
        check(result.returncode == 1 and wrong, f"{name} changed: exit {result.returncode}, failed {wrong}")


WEIGHTS = {
    "qwen2vl_tied": ["visual.blocks.0.attn.qkv.bias", "model.layers.1.self_attn.k_proj.bias", "model.norm.weight"],
    "chameleon_64": ["model.layers.0.self_attn.q_norm.weight", "model.layers.1.self_attn.k_norm.bias", "lm_head.weight",
                     "model.vqmodel.encoder.down.1.block.0.nin_shortcut.bias", "model.vqmodel.quant_conv.bias"],
}


def changed_weights_are_noticed(work, folder):
    case = GOLDEN / folder / "case.safetensors"
    model = Path(work) / f"model-{folder}"
    model.mkdir()
    (model / "config.json").write_bytes((case.parent / "model/config.json").read_bytes())
    for name in WEIGHTS[folder]:
        header, body = load(case.parent / "model/model.safetensors")
        for at in range(4):
            change(header, body, name, lambda old: old + 0.25, at)
        save(model / "model.safetensors", header, body)
        result = run("verify", "-q", "-m", model, case)
        check(result.returncode == 1 and "first divergence:" in result.stdout, f"a changed {name} passed")


def changed_configurations_are_noticed(work):
    """Norms after attention and MLP, another base of the rotary embedding, two codes with each other's tokens."""
    case = GOLDEN / "chameleon_64/case.safetensors"
    model = Path(work) / "model-configured"
    model.mkdir()
    (model / "model.safetensors").write_bytes((case.parent / "model/model.safetensors").read_bytes())
    original = json.loads((case.parent / "model/config.json").read_text())
    tokens = dict(original["vocabulary_map"])
    tokens["IMGIMGCFZ"], tokens["IMGIMGEBZ"] = tokens["IMGIMGEBZ"], tokens["IMGIMGCFZ"]
    for changes in ({"swin_norm": True}, {"rope_theta": 20000.0}, {"vocabulary_map": tokens}, {"num_key_value_heads": 4}, {}):
        (model / "config.json").write_text(json.dumps(dict(original, **changes)))
        result = run("verify", "-q", "-m", model, case)
        check(result.returncode == (1 if changes else 0), f"{list(changes)} changed: exit {result.returncode}")


TRAINED = {
    "qwen2vl_untied": ["stage2.loss", "stage0.last_logits", "stage2.selected", "stage2.grad_norm", "seq.1.loss", "seq.2.grad_norm",
                       "seq.2.position_ids", "stage0.grad.model.layers.1.mlp.up_proj.lora_B.weight",
                       "stage2.after.model.layers.0.self_attn.v_proj.lora_A.weight",
                       "seq.2.after.model.layers.2.mlp.down_proj.lora_A.weight"],
    "chameleon_64": ["stage0.loss", "stage2.selected", "stage2.grad_norm", "stage0.grad.model.layers.1.self_attn.q_proj.lora_A.weight",
                     "stage2.grad.model.layers.0.self_attn.k_proj.lora_B.weight"],
}


def largest_at(path, name):
    """The element of a F32 tensor with the largest gradient, so that no small one is looked at."""
    header, body = load(path)
    gradient = name.replace(".after.", ".grad.").replace("seq.2.", "stage2.")
    begin, end = header[gradient]["data_offsets"]
    values = struct.unpack(f"<{(end - begin) // 4}f", body[begin:end])
    return max(range(len(values)), key=lambda i: abs(values[i]))


def training_copy(work, number, name="qwen2vl_untied"):
    """A copy of a case of training steps with all its files, to be changed."""
    source, folder = GOLDEN / name, Path(work) / f"training-{name}-{number}"
    for part in ("adapter", "model"):
        (folder / part).mkdir(parents=True)
        for file in (source / part).iterdir():
            (folder / part / file.name).write_bytes(file.read_bytes())
    for file in ("case.safetensors", "lora.safetensors"):
        (folder / file).write_bytes((source / file).read_bytes())
    return folder


def changed_training_is_noticed(work, source):
    original = GOLDEN / source / "lora.safetensors"
    case = training_copy(work, 0, source) / "lora.safetensors"
    for name in TRAINED[source]:
        header, body = load(original)
        # A weight moves by about 4e-5 in a step; gradients by more than a thousandth of the largest.
        at, least = (largest_at(original, name), 4e-7) if ".after." in name or ".grad." in name \
            else (0, 1e-2)
        change(header, body, name, lambda old: old + (1 if isinstance(old, int) else max(least, 1e-3 * abs(old))), at)
        save(case, header, body)
        report = run("verify", "--json", case)
        wrong = [row["name"] for row in json.loads(report.stdout)["rows"] if row["verdict"] != "ok"]
        check(report.returncode == 1 and wrong == [name], f"{name} changed: exit {report.returncode}, failed {wrong}")


def changed_adapters_are_noticed(work):
    """A perturbed matrix, another scale, no adapter at all, another picture: gradients and weights must not agree."""
    def perturb(folder):
        path = folder / "adapter/adapter_model.safetensors"
        header, body = load(path)
        name = next(name for name in header if name.endswith("layers.1.self_attn.o_proj.lora_B.weight"))
        for at in range(8):
            change(header, body, name, lambda old: old + 0.01, at)
        save(path, header, body)

    def rescale(folder):
        path = folder / "adapter/adapter_config.json"
        config = json.loads(path.read_text())
        config["lora_alpha"] = 16.1
        path.write_text(json.dumps(config))

    def remove(folder):
        (folder / "adapter/adapter_config.json").unlink()

    def repaint(folder):
        header, body = load(folder / "case.safetensors")
        for at in range(1000):
            change(header, body, "pixel_values", lambda old: old + 0.5, at)
        save(folder / "case.safetensors", header, body)

    for number, how in enumerate((perturb, rescale, remove, repaint), 1):
        folder = training_copy(work, number)
        how(folder)
        result = run("verify", "--json", folder / "lora.safetensors")
        wrong = [row["name"] for row in json.loads(result.stdout)["rows"] if row["verdict"] != "ok"]
        check(result.returncode == 1 and len(wrong) > 40, f"{how.__name__}: exit {result.returncode}, {len(wrong)} failed")
    (folder / "case.safetensors").unlink()
    result = run("verify", folder / "lora.safetensors")
    check(result.returncode == 1 and "case.safetensors" in result.stdout + result.stderr, "a missing picture passed")


def refusals(work):
    tied = GOLDEN / "qwen2vl_tied"
    result = run("verify", "-m", GOLDEN / "qwen2vl_untied/model", tied / "case.safetensors")
    check(result.returncode == 1, f"the model of another case: exit {result.returncode}")
    unknown = Path(work) / "unknown.safetensors"
    save(unknown, {"nobody.knows.this": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, bytes(4))
    result = run("verify", "-m", tied / "model", unknown)
    check(result.returncode == 1, f"nothing recognised: exit {result.returncode}")
    header, body = load(GOLDEN / "chameleon_64/case.safetensors")
    header["pixel_values"]["shape"] = [64, 48]
    header["image_grid_thw"] = {"dtype": "I64", "shape": [1, 3], "data_offsets": [len(body), len(body) + 24]}
    body += struct.pack("<3q", 1, 8, 8)
    save(unknown, header, body)
    result = run("verify", "--json", "-m", GOLDEN / "chameleon_64/model", unknown)
    check(result.returncode == 1 and "vq.codes" in [row["name"] for row in json.loads(result.stdout)["rows"] if row["verdict"] != "ok"],
          f"patches for an encoder that reads pixels: exit {result.returncode}")
    covered = run("verify", "--strict", "-q", tied / "case.safetensors")
    partly = run("verify", "--strict", "-q", GOLDEN / "preprocess/case.safetensors")
    check(covered.returncode == 0 and partly.returncode == 1, "--strict is about what is not covered")
    check(run("verify", Path(work) / "absent.safetensors").returncode == 1, "a missing case")
    check(run("verify").returncode == 2, "no case: wrong usage")


def main():
    with tempfile.TemporaryDirectory() as work:
        passes_with_every_kernel_set()
        threads_change_nothing()
        for folder in CHANGED:
            changed_expectations_are_noticed(work, folder)
        tokens_never_generated_are_exact(work)
        ends_of_sequences_must_fit(work)
        for folder in WEIGHTS:
            changed_weights_are_noticed(work, folder)
        changed_configurations_are_noticed(work)
        for source in TRAINED:
            changed_training_is_noticed(work, source)
        changed_adapters_are_noticed(work)
        refusals(work)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
